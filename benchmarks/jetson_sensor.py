"""A Jetson's own sensors, read where tegrastats reads them: power, temperatures, clock, over-current events.

Paths after NVIDIA's developer guide ("Jetson Orin: power and thermal"); ``oc*_event_cnt`` count throttling by
over-current. What the rails mean is in `snl_edge.jetson.rails`.
"""

from __future__ import annotations

from pathlib import Path

from snl_edge.jetson.board import is_jetson
from snl_edge.jetson.rails import Total, find_rails, find_total

from .sensors import Reading


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
        zones = [_number(path) / 1e3 for path in self._root.glob("sys/class/thermal/thermal_zone*/temp")]
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
    """What the file says; a zone that is switched off fails to read and counts as 0."""
    try:
        return float(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0.0
