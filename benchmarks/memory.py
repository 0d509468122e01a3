"""Memory of a process and of the GPU, as the kernel and the driver count it."""

from __future__ import annotations

from pathlib import Path


def process_memory(status: Path = Path("/proc/self")) -> dict[str, int]:
    """Bytes of this process: resident (RSS), its share of what is shared (PSS), and the most resident so far.

    A figure that the kernel does not give is left out.
    """
    found = _fields(status / "status", {"VmRSS": "rss_bytes", "VmHWM": "peak_rss_bytes"})
    return found | _fields(status / "smaps_rollup", {"Pss": "pss_bytes"})


def _fields(path: Path, names: dict[str, str]) -> dict[str, int]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    found: dict[str, int] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if name in names and value.split()[1:] == ["kB"]:
            found[names[name]] = int(value.split()[0]) * 1024
    return found
