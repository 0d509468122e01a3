"""Which Jetson this is and what JetPack put on it."""

from __future__ import annotations

import re
from pathlib import Path

L4T_RELEASE = "etc/nv_tegra_release"
COMPATIBLE = "proc/device-tree/compatible"
JETPACK_PACKAGE = "nvidia-jetpack"
_SOC = re.compile(r"^nvidia,tegra\d+$")


def is_jetson(root: Path = Path("/")) -> bool:
    """Whether this board has a Tegra SoC: by L4T's release file, or by the device tree, as a container may hide either.

    The GPU of such a board is integrated: it shares the memory of the processor.
    """
    names = _text(root / COMPATIBLE).split("\0")
    return (root / L4T_RELEASE).is_file() or any(_SOC.match(name) for name in names)


def l4t_release(root: Path = Path("/")) -> str:
    """The first line of L4T's release file, as ``R36 (release), REVISION: 4.3, …``; empty elsewhere."""
    return _text(root / L4T_RELEASE).split("\n")[0].lstrip("# ").strip()


def jetpack_version(root: Path = Path("/")) -> str | None:
    """The version of the package ``nvidia-jetpack`` in dpkg's data base; None where it is not installed as a whole."""
    for package in _text(root / "var/lib/dpkg/status").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in package.splitlines() if ": " in line and not line.startswith(" "))
        if fields.get("Package") == JETPACK_PACKAGE:
            return fields.get("Version", "of unknown version")
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
