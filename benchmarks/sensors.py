"""Power, clocks and temperature of an NVIDIA GPU, a Jetson, an x86 processor: now, and while something runs.

A Jetson is read where tegrastats reads it. Paths after NVIDIA's developer guide ("Jetson Orin: power and thermal");
``oc*_event_cnt`` count throttling by over-current. What the rails mean is in `snl_edge.jetson.rails`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from types import TracebackType
from typing import Any, Protocol

from snl_edge.jetson.board import is_jetson
from snl_edge.jetson.rails import Total, find_rails, find_total
from snl_edge.machine.nvml import NvmlGpu, find_gpu
from snl_edge.machine.thermal import thermal_zones

POWERCAP = Path("/sys/class/powercap")
BUSY_PERCENT = 5


@dataclass(frozen=True)
class Reading:
    """What a sensor says now; None where it has no such thing."""

    power_w: float | None = None
    energy_j: float | None = None
    """A counter since some moment; only differences mean something."""
    temperature_c: float | None = None
    clock_mhz: float | None = None
    throttled: tuple[str, ...] = ()
    """Why the clock is held down at this moment; empty if it is not."""


class Sensor(Protocol):
    """Something to read."""

    name: str

    def read(self) -> Reading:
        """Reads it now; fast enough for ten times a second."""
        ...


def find_sensors(device: int = 0) -> tuple[list[Sensor], list[str]]:
    """The sensors of this machine, and in words why it lacks others that could have been."""
    sensors: list[Sensor] = []
    missing: list[str] = []
    for find in (lambda: find_nvml(device), find_jetson, find_rapl):
        found = find()
        if isinstance(found, str):
            missing.append(found)
        else:
            sensors.append(found)
    return sensors, missing


class NvmlSensor:
    """An NVIDIA GPU in a workstation or server."""

    def __init__(self, gpu: NvmlGpu) -> None:
        self.name, self._gpu = gpu.name, gpu

    def read(self) -> Reading:
        """What the GPU gives."""
        gpu = self._gpu
        return Reading(gpu.power_w(), gpu.energy_j(), gpu.temperature_c(), gpu.clock_mhz(), gpu.throttled())

    def busy(self, own: set[int]) -> str | None:
        """In words what else runs on the GPU, besides the processes ``own``; None if nothing does."""
        others, used = set(self._gpu.processes()) - own, self._gpu.busy_percent() or 0
        if others:
            return f"{len(others)} other processes compute on {self.name}"
        return f"{self.name} is {used} % busy before the start" if used > BUSY_PERCENT else None

    def used_bytes(self, process: int) -> int | None:
        """Device memory of one process, if the driver tells it."""
        return self._gpu.processes().get(process)

    def describe(self) -> dict[str, Any]:
        """Driver and limits."""
        return self._gpu.describe()


def find_nvml(device: int = 0) -> NvmlSensor | str:
    """The sensor of the CUDA device of this number, or why there is none."""
    found = find_gpu(device)
    return found if isinstance(found, str) else NvmlSensor(found)


class JetsonSensor:
    """Power of the whole module (of what is behind the carrier board's input on a Thor)."""

    def __init__(self, root: Path, total: Total) -> None:
        self._root, self._total = root, total
        self.name = f"Jetson {total.name}"
        self._events = sorted(root.glob("sys/class/hwmon/hwmon*/oc*_event_cnt"))
        self._before = self._count()

    def read(self) -> Reading:
        """Power now; temperature of the hottest zone; the GPU's clock; over-current since the last reading."""
        events = self._count()
        throttled = ("over-current",) if events > self._before else ()
        self._before = events
        zones = [celsius for _, celsius in thermal_zones(self._root)]
        clocks = [_number(path) / 1e6 for path in self._root.glob("sys/class/devfreq/*gpu*/cur_freq")]
        return Reading(
            power_w=self._total.watts(),
            temperature_c=max(zones, default=None),
            clock_mhz=max(clocks, default=None),
            throttled=throttled,
        )

    def describe(self) -> dict[str, str]:
        """What the power is that of."""
        return {"boards": self._total.layout.boards, "scope": self._total.layout.scope}

    def _count(self) -> float:
        return sum(_number(path) for path in self._events)


def find_jetson(root: Path = Path("/")) -> JetsonSensor | str:
    """The sensor of this board, or why there is none."""
    if not is_jetson(root):
        return "Jetson sensors: this is no Jetson"
    total = find_total(find_rails(root))
    return f"Jetson sensors: {total}" if isinstance(total, str) else JetsonSensor(root, total)


def _number(path: Path) -> float:
    """What the file says; what is switched off fails to read and counts as 0."""
    try:
        return float(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0.0


class RaplSensor:
    """Energy of x86 processors, from the kernel's counters: the sum over all packages, whatever runs on them.

    Counters that run over are carried on. Since 2020 most kernels let only root read them.
    """

    name = "CPU packages (RAPL)"

    def __init__(self, packages: list[Path]) -> None:
        self._packages = packages
        self._wraps = [int((package / "max_energy_range_uj").read_text()) for package in packages]
        self._last = [self._counter(package) for package in packages]
        self._total = 0

    def read(self) -> Reading:
        """Joules since this sensor was made."""
        for index, package in enumerate(self._packages):
            now = self._counter(package)
            self._total += (now - self._last[index]) % (self._wraps[index] + 1)
            self._last[index] = now
        return Reading(energy_j=self._total / 1e6)

    @staticmethod
    def _counter(package: Path) -> int:
        return int((package / "energy_uj").read_text())


def find_rapl(folder: Path = POWERCAP) -> RaplSensor | str:
    """The sensor of this machine's processors, or why there is none."""
    packages = [path for path in sorted(folder.glob("*-rapl:*")) if path.name.count(":") == 1]
    if not packages:
        return "RAPL: the kernel offers no energy counters (a virtual machine, or not x86)"
    try:
        return RaplSensor(packages)
    except OSError as error:
        return f"RAPL: {error.strerror} ({packages[0] / 'energy_uj'}; usually for root alone)"


PERIOD = 0.1
"""Seconds between readings."""


class Meter:
    """Reads sensors from the moment it is entered until it is left."""

    def __init__(self, sensors: Sequence[Sensor], period: float = PERIOD) -> None:
        self._sensors, self._period = sensors, period
        self._readings: dict[str, list[tuple[float, Reading]]] = {sensor.name: [] for sensor in sensors}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Meter:
        self._read()
        if self._sensors:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._sensors:
            self._stop.set()
            self._thread.join()
        self._read()

    def summary(self, images: int) -> dict[str, dict[str, Any]]:
        """By sensor: mean power, energy for each of the ``images`` that were judged meanwhile, hottest, slowest."""
        return {name: _summarise(readings, images) for name, readings in self._readings.items()}

    def _run(self) -> None:
        while not self._stop.wait(self._period):
            self._read()

    def _read(self) -> None:
        for sensor in self._sensors:
            self._readings[sensor.name].append((time.perf_counter(), sensor.read()))


def _summarise(timed: Sequence[tuple[float, Reading]], images: int) -> dict[str, Any]:
    readings = [reading for _, reading in timed]
    seconds = timed[-1][0] - timed[0][0]
    first, last = readings[0].energy_j, readings[-1].energy_j
    powers = [reading.power_w for reading in readings if reading.power_w is not None]
    joules = None
    if first is not None and last is not None and last >= first:
        joules = last - first
    elif powers:
        joules = mean(powers) * seconds
    clocks = [reading.clock_mhz for reading in readings if reading.clock_mhz is not None]
    heat = [reading.temperature_c for reading in readings if reading.temperature_c is not None]
    return {
        "power_w": round(joules / seconds, 2) if joules is not None and seconds else None,
        "joules_per_image": round(joules / images, 5) if joules is not None and images else None,
        "temperature_c": max(heat, default=None),
        "clock_mhz": round(mean(clocks)) if clocks else None,
        "lowest_clock_mhz": min(clocks, default=None),
        "throttled": sorted({reason for reading in readings for reason in reading.throttled}),
    }
