"""A Jetson's power modes: their numbers differ from board to board, so they are read from nvpmodel's own file.

Format after the comments in ``/etc/nvpmodel.conf`` of L4T: ``< POWER_MODEL ID=2 NAME=MAXN_SUPER >`` for each mode,
``< PM_CONFIG DEFAULT=1 >`` for the one at the first start; ``/var/lib/nvpmodel/status`` keeps ``pmode:0002``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

CONFIGURATION = "etc/nvpmodel.conf"
STATUS = "var/lib/nvpmodel/status"
_MODEL = re.compile(r"^\s*<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", re.MULTILINE)
_DEFAULT = re.compile(r"^\s*<\s*PM_CONFIG\s+DEFAULT=(\d+)\s*>", re.MULTILINE)
_WATTS = re.compile(r"(\d+(?:\.\d+)?)W")
_UNLIMITED = ("MAXN_SUPER", "MAXN")
"""The modes without a power budget, the faster first."""


@dataclass(frozen=True)
class PowerMode:
    """One mode of nvpmodel."""

    number: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (nvpmodel {self.number})"

    @property
    def command(self) -> str:
        """What sets it and holds its clocks."""
        return f"sudo nvpmodel -m {self.number} && sudo jetson_clocks"


@dataclass(frozen=True)
class PowerModes:
    """All modes of a board, the one in force, and the one that lets it run fastest."""

    modes: tuple[PowerMode, ...]
    current: PowerMode | None
    """None where neither nvpmodel's status nor its default tells it."""
    fullest: PowerMode | None
    """None where the names do not tell."""


def power_modes(root: Path = Path("/")) -> PowerModes | None:
    """Reads them; None on a machine without nvpmodel."""
    text, status = _text(root / CONFIGURATION), _text(root / STATUS)
    if not text and not status:
        return None
    modes = tuple(PowerMode(int(number), name) for number, name in _MODEL.findall(text))
    kept = re.search(r"pmode:(\d+)", status) or _DEFAULT.search(text)
    current = None
    if kept:
        number = int(kept[1])
        unnamed = PowerMode(number, "of no name in nvpmodel.conf")
        current = next((mode for mode in modes if mode.number == number), unnamed)
    return PowerModes(modes, current, _fullest(modes))


def _fullest(modes: tuple[PowerMode, ...]) -> PowerMode | None:
    for name in _UNLIMITED:
        for mode in modes:
            if mode.name == name:
                return mode
    budgets = {mode: float(found[1]) for mode in modes if (found := _WATTS.search(mode.name))}
    if len(budgets) < len(modes) or not modes:
        return None
    most = max(budgets.values())
    best = [mode for mode, watts in budgets.items() if watts == most]
    return best[0] if len(best) == 1 else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
