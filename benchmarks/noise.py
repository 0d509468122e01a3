"""Whether the machine was quiet: what else ran, and how even a fixed piece of work stayed."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

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
