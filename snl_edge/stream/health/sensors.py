"""Temperatures and power of board and GPU, where there are sensors; nothing where there are none."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ...jetson.board import is_jetson
from ...jetson.rails import find_rails, find_total
from ...machine.nvml import all_gpus
from ...machine.thermal import thermal_zones

MODULE = "module"
"""The sensor's name under which the power of a whole Jetson stands beside its rails, which must not be added up."""


class Reading(NamedTuple):
    """One sensor's value now."""

    sensor: str
    value: float


def temperatures() -> list[Reading]:
    """In degrees Celsius: the kernel's thermal zones (SoC, CPU, board) and NVIDIA GPUs."""
    found = [Reading(*zone) for zone in thermal_zones()]
    gpus = {gpu.name: gpu.temperature_c() for gpu in all_gpus()}
    return found + [Reading(name, float(celsius)) for name, celsius in gpus.items() if celsius is not None]


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
    gpus = {gpu.name: gpu.power_w() for gpu in all_gpus()}
    return found + [Reading(name, watts) for name, watts in gpus.items() if watts is not None]
