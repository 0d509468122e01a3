"""A Jetson's power rails, and which of them make up the power of the whole.

Sources: NVIDIA's Jetson Linux Developer Guide r36.4.3, "Software-Based Power Consumption Modeling" (AGX Orin: the
DDR rail VDDQ_VDD2_1V8AO is fed by VIN_SYS_5V0 and counted there already); Linux' device trees tegra234-p3701 and
-p3767 (labels); Linux' hwmon drivers ina3221 (mV, mA) and ina238 (µW). On Thor an INA238 on the carrier board measures
what comes in, the carrier's own use with it (NVIDIA's forum on Thor's power monitor).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HWMON = "sys/class/hwmon"
INPUT = "VIN"
"""What the INA238 measures, by the name that tegrastats gives it; its driver has no labels."""
_OF_THE_CARRIER = re.compile(r"CVB_")
_UNUSED = ("NC", "")


@dataclass(frozen=True)
class Rail:
    """One monitored rail: its name, and the files with its millivolts and milliamperes, or with its microwatts."""

    name: str
    files: tuple[Path, ...]

    def watts(self) -> float | None:
        """Power now; None while the monitor cannot be read."""
        try:
            values = [float(path.read_text(encoding="ascii")) for path in self.files]
        except (OSError, ValueError):
            return None
        return values[0] * values[1] / 1e6 if len(values) == 2 else values[0] / 1e6


@dataclass(frozen=True)
class Layout:
    """The rails of a family of boards."""

    boards: str
    total: tuple[str, ...]
    """Added up they are the whole, and none is part of another."""
    within: tuple[str, ...]
    """Measured too, and already part of one of ``total``."""
    scope: str
    """What the whole is."""


LAYOUTS = (
    # First: a Thor has a VIN_SYS_5V0 too.
    Layout(
        "Thor", (INPUT,), ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"), "everything behind the carrier board's input"
    ),
    Layout("Orin NX, Orin Nano", ("VDD_IN",), ("VDD_CPU_GPU_CV", "VDD_SOC"), "the whole module"),
    Layout("AGX Orin", ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"), ("VDDQ_VDD2_1V8AO",), "the whole module"),
)


@dataclass(frozen=True)
class Total:
    """The rails that make up the whole."""

    layout: Layout
    rails: tuple[Rail, ...]

    @property
    def name(self) -> str:
        """As ``VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0``."""
        return " + ".join(rail.name for rail in self.rails)

    def watts(self) -> float | None:
        """Power of the whole now; None if one of the rails cannot be read, as the rest would be too little."""
        found = [rail.watts() for rail in self.rails]
        return None if None in found else sum(watts for watts in found if watts is not None)


def find_rails(root: Path = Path("/")) -> tuple[Rail, ...]:
    """All rails that INA3221 and INA238 monitors measure, unused channels left out."""
    rails: list[Rail] = []
    for chip in sorted((root / HWMON).glob("hwmon*")):
        kind = _text(chip / "name")
        if kind == "ina238" and (power := chip / "power1_input").is_file():
            rails.append(Rail(INPUT, (power,)))
        if kind == "ina3221":
            rails += _channels(chip)
    return tuple(rails)


def find_total(rails: tuple[Rail, ...]) -> Total | str:
    """The rails that make up the whole, or in words why that is not known: a wrong sum would be worse than none."""
    if not rails:
        return "no INA3221 or INA238 power monitor can be read"
    by_name: Mapping[str, Rail] = {rail.name: rail for rail in rails}
    names = [rail.name for rail in rails]
    for layout in LAYOUTS:
        if all(names.count(name) == 1 for name in layout.total):
            unknown = [name for name in names if not _known(name, layout)]
            # One rail that feeds the whole stays that, whatever else is measured; a sum might lack a new rail.
            if len(layout.total) == 1 or not unknown:
                return Total(layout, tuple(by_name[name] for name in layout.total))
    return f"these power rails are not known, so their sum would prove nothing: {', '.join(sorted(names))}"


def _known(name: str, layout: Layout) -> bool:
    return name in layout.total or name in layout.within or _OF_THE_CARRIER.match(name) is not None


def _channels(chip: Path) -> list[Rail]:
    """A channel is one that has a label, a voltage and a current; the driver's sum of shunt voltages has no current."""
    found: list[Rail] = []
    for label in sorted(chip.glob("in[1-3]_label")):
        number = label.name[2]
        volts, amperes = chip / f"in{number}_input", chip / f"curr{number}_input"
        if volts.is_file() and amperes.is_file() and (name := _text(label)) not in _UNUSED:
            found.append(Rail(name, (volts, amperes)))
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
