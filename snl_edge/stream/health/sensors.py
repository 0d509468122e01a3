"""Temperatures and power of board and GPU, where there are sensors; nothing where there are none."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ...jetson.board import is_jetson
from ...jetson.rails import find_rails, find_total

THERMAL = Path("/sys/class/thermal")
MODULE = "module"
"""The sensor's name under which the power of a whole Jetson stands beside its rails, which must not be added up."""


class Reading(NamedTuple):
    """One sensor's value now."""

    sensor: str
    value: float


def temperatures() -> list[Reading]:
    """In degrees Celsius: the kernel's thermal zones (SoC, CPU, board) and NVIDIA GPUs."""
    found: list[Reading] = []
    for zone in sorted(THERMAL.glob("thermal_zone*")):
        with suppress(OSError, ValueError):  # zones of parts that are switched off cannot be read
            found.append(Reading(_text(zone / "type"), int(_text(zone / "temp")) / 1000))
    for name, gpu, nvml in _nvidia():
        with suppress(nvml.NVMLError):
            found.append(Reading(name, float(nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU))))
    return found


def powers(root: Path = Path("/")) -> list[Reading]:
    """In watts: a Jetson's rails and, as ``module``, the whole of it where its rails are known; NVIDIA GPUs."""
    found: list[Reading] = []
    if is_jetson(root):
        rails = find_rails(root)
        measured = {rail.name: rail.watts() for rail in rails}
        total = find_total(rails)
        if not isinstance(total, str):
            measured[MODULE] = total.watts()
        found += [Reading(name, watts) for name, watts in measured.items() if watts is not None]
    for name, gpu, nvml in _nvidia():
        with suppress(nvml.NVMLError):
            found.append(Reading(name, nvml.nvmlDeviceGetPowerUsage(gpu) / 1000))
    return found


def _text(path: Path) -> str:
    return path.read_text(encoding="ascii", errors="replace").strip()


def _nvidia() -> list[tuple[str, Any, Any]]:
    """Name, handle and library of each GPU; none without nvidia-ml-py or a driver."""
    try:
        import pynvml as nvml  # pyright: ignore[reportMissingImports]
    except ImportError:
        return []
    try:
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError:
        return []
    return [(f"gpu{index}", handle, nvml) for index, handle in enumerate(handles)]
