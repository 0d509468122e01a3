"""Power, clocks and temperature while something runs: many readings of several sensors, and their figures."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from statistics import mean
from types import TracebackType
from typing import Any

from .sensors import Reading, Sensor

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
