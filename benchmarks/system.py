"""The machine that a result was measured on, without what identifies it, and whether it was quiet meanwhile."""

from __future__ import annotations

import os
import platform
import re
import time
from pathlib import Path
from typing import Any

import numpy as np

from snl_edge import provenance
from snl_edge.jetson.board import l4t_release
from snl_edge.jetson.power_mode import power_modes
from snl_edge.runtime.gpu import present_gpus
from snl_edge.runtime.processor import instruction_sets

from .sensors import Sensor

FLAGS = re.compile(r"^(sse4_2|avx2?|fma|f16c|avx512\w*|avx_vnni\w*|amx_\w+|asimd\w*|sve\w*|i8mm|bf16|fphp)$")
"""Instruction sets that decide how fast a network runs."""
VARIABLES = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "CUDA_VISIBLE_DEVICES")


def describe_system(sensors: list[Sensor], root: Path = Path("/")) -> dict[str, Any]:
    """Processor, memory, limits, system and GPUs; a thing that this system does not tell is left out."""
    described: dict[str, Any] = {
        "cpu": _cpu(root),
        "memory": _memory(root),
        "limits": _limits(root),
        "os": _os(root),
        "gpus": [
            {"name": g.name, "compute_capability": g.compute_capability, "memory_bytes": g.memory_bytes}
            for g in present_gpus()
        ],
        "power_mode": _power_mode(root),
        "sensors": {sensor.name: getattr(sensor, "describe", dict)() for sensor in sensors},
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "versions": provenance.versions(),
    }
    return {name: value for name, value in described.items() if value not in (None, [], {})}


def _cpu(root: Path) -> dict[str, Any]:
    text = _read(root / "proc/cpuinfo")
    cores = set(re.findall(r"^physical id\s*: (\d+)$[\s\S]*?^core id\s*: (\d+)$", text, re.MULTILINE))
    first = root / "sys/devices/system/cpu/cpu0"
    frequency = _read(first / "cpufreq/cpuinfo_max_freq")
    return {
        "model": provenance.machine()["processor"],
        "usable": len(os.sched_getaffinity(0)),
        "logical": os.cpu_count(),
        "physical": len(cores) or None,
        "flags": sorted(word for word in instruction_sets(root) if FLAGS.match(word)),
        "governor": _read(first / "cpufreq/scaling_governor") or "not told (virtual machine?)",
        "highest_mhz": round(int(frequency) / 1e3) if frequency else None,
        "simultaneous_multithreading": _read(root / "sys/devices/system/cpu/smt/active") == "1",
        "last_level_cache": _read(first / "cache/index3/size") or _read(first / "cache/index2/size") or None,
    }


def _power_mode(root: Path) -> str | None:
    """The power mode of a Jetson, and the fullest where that is another."""
    modes = power_modes(root)
    if modes is None or modes.current is None:
        return None
    limited = modes.fullest is not None and modes.fullest != modes.current
    return f"{modes.current}, not {modes.fullest}" if limited else str(modes.current)


def _memory(root: Path) -> dict[str, int]:
    found = dict(re.findall(r"^(MemTotal|MemAvailable|SwapTotal):\s+(\d+) kB$", _read(root / "proc/meminfo"), re.M))
    return {f"{name}_bytes": int(kilobytes) * 1024 for name, kilobytes in found.items()}


def _limits(root: Path) -> dict[str, str]:
    """What a container may use at most (cgroup v2, then v1)."""
    places = {
        "cpu": ("sys/fs/cgroup/cpu.max", "sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
        "memory": ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"),
    }
    found = {name: next((t for p in paths if (t := _read(root / p))), "") for name, paths in places.items()}
    return {name: text for name, text in found.items() if text and not _unlimited(text)}


def _unlimited(text: str) -> bool:
    """``max`` in cgroup v2; -1, or all that a page counter holds, in v1."""
    first = text.split(maxsplit=1)[0]
    return first in ("max", "-1") or (first.isdecimal() and int(first) > 1 << 60)


def _os(root: Path) -> dict[str, str]:
    pretty = re.search(r'^PRETTY_NAME="?([^"\n]*)', _read(root / "etc/os-release"), re.MULTILINE)
    named = {"name": pretty[1] if pretty else platform.system(), "kernel": platform.release(), "l4t": l4t_release(root)}
    return {name: value for name, value in named.items() if value}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


LOUD_LOAD = 0.5
"""Load average, per usable core, from which something else must be running before we start."""
LOUD_STEAL = 0.02
"""Share of processor time that the host of a virtual machine took away."""
LOUD_SPREAD = 0.10
"""Spread of the fixed work's time, from its fastest tenth to its slowest, as a share of the median."""


class Watch:
    """Watches the machine during a measurement: made before it, ``probe`` called in each round, then ``findings``."""

    def __init__(self) -> None:
        self._load = os.getloadavg()[0] / len(os.sched_getaffinity(0))
        self._ticks = _ticks()
        self._probes: list[float] = []
        self._values = np.random.default_rng(0).random(200_000, np.float32)

    def probe(self) -> None:
        """Times a small fixed piece of work, a few times."""
        for _ in range(5):
            started = time.perf_counter()
            np.exp(self._values)  # on one core, whatever the machine has
            self._probes.append(time.perf_counter() - started)

    def findings(self) -> dict[str, Any]:
        """Figures, and a warning in words for each of them that is too high."""
        before, after = self._ticks, _ticks()
        total = sum(after) - sum(before)
        steal = (after[7] - before[7]) / total if total > 0 and len(after) > 7 else 0.0
        probes = np.array(self._probes) if self._probes else np.ones(1)
        spread = float((np.percentile(probes, 90) - np.percentile(probes, 10)) / np.median(probes))
        warnings = []
        if self._load > LOUD_LOAD:
            warnings.append(f"before the start the load was {self._load:.1f} per core: something else was running")
        if steal > LOUD_STEAL:
            warnings.append(f"the host took {100 * steal:.0f} % of the processor's time for others")
        if spread > LOUD_SPREAD:
            warnings.append(f"a fixed piece of work varied by {100 * spread:.0f} %: trust ratios, not absolute times")
        return {
            "load_per_core": round(self._load, 2),
            "steal": round(steal, 4),
            "spread": round(spread, 4),
            "warnings": warnings,
        }


def _ticks() -> list[int]:
    try:
        return [int(word) for word in Path("/proc/stat").read_text(encoding="utf-8").split("\n")[0].split()[1:9]]
    except (OSError, ValueError):
        return [0] * 8
