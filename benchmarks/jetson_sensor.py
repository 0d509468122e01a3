"""A Jetson's own sensors, read where tegrastats reads them: power rails, temperatures, clock, over-current events.

Paths after NVIDIA's developer guide ("Jetson Orin: power and thermal"): INA3221 monitors under the i2c driver of
that name give mV and mA of each rail; ``oc*_event_cnt`` count throttling by over-current.
"""

from __future__ import annotations

import re
from pathlib import Path

from .sensors import Reading

INPUT_RAILS = ("VDD_IN", "VIN_SYS_5V0", "VIN")
"""The rail that feeds the whole module, by name on the different boards."""


class JetsonSensor:
    """Power of the whole module: of its input rail, or of all rails where it has none."""

    def __init__(self, root: Path, rails: dict[str, tuple[Path, Path]]) -> None:
        self._root = root
        whole = next((name for name in INPUT_RAILS if name in rails), None)
        self._rails = [rails[whole]] if whole else list(rails.values())
        self.name = f"Jetson {whole or ' + '.join(rails)}"
        self._events = sorted(root.glob("sys/class/hwmon/hwmon*/oc*_event_cnt"))
        self._before = self._count()

    def read(self) -> Reading:
        """Power now; temperature of the hottest zone; the GPU's clock; over-current since the last reading."""
        events = self._count()
        throttled = ("over-current",) if events > self._before else ()
        self._before = events
        milliwatts = [_number(volt) * _number(current) / 1e3 for volt, current in self._rails]
        zones = [_number(path) / 1e3 for path in self._root.glob("sys/class/thermal/thermal_zone*/temp")]
        clocks = [_number(path) / 1e6 for path in self._root.glob("sys/class/devfreq/*gpu*/cur_freq")]
        return Reading(
            power_w=sum(milliwatts) / 1e3,
            temperature_c=max(zones, default=None),
            clock_mhz=max(clocks, default=None),
            throttled=throttled,
        )

    def _count(self) -> float:
        return sum(_number(path) for path in self._events)


def find_jetson(root: Path = Path("/")) -> JetsonSensor | str:
    """The sensor of this board, or why there is none."""
    if not (root / "etc/nv_tegra_release").is_file():
        return "Jetson sensors: this is no Jetson"
    rails: dict[str, tuple[Path, Path]] = {}
    for label in sorted(root.glob("sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*/in*_label")):
        number = re.findall(r"\d+", label.name)[0]
        volt, current = label.with_name(f"in{number}_input"), label.with_name(f"curr{number}_input")
        if volt.is_file() and current.is_file():
            rails[label.read_text(encoding="utf-8").strip()] = (volt, current)
    return JetsonSensor(root, rails) if rails else "Jetson sensors: no INA3221 power monitor can be read"


def power_mode(root: Path = Path("/")) -> str | None:
    """The number of the power mode that nvpmodel set, as it keeps it; None elsewhere."""
    try:
        text = (root / "var/lib/nvpmodel/status").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"pmode:(\d+)", text)
    return f"mode {int(found[1])}" if found else text.strip() or None


def _number(path: Path) -> float:
    """What the file says; a zone that is switched off fails to read and counts as 0."""
    try:
        return float(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0.0
