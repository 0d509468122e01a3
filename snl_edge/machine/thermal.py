"""The kernel's thermal zones: temperatures of SoC, CPU and board."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

ZONES = "sys/class/thermal"


def thermal_zones(root: Path = Path("/")) -> list[tuple[str, float]]:
    """Type and degrees Celsius of each zone; those of parts that are switched off cannot be read and are left out."""
    found: list[tuple[str, float]] = []
    for zone in sorted((root / ZONES).glob("thermal_zone*")):
        with suppress(OSError, ValueError):
            found.append((_type(zone), int(_text(zone / "temp")) / 1000))
    return found


def _type(zone: Path) -> str:
    try:
        return _text(zone / "type")
    except OSError:
        return zone.name


def _text(path: Path) -> str:
    return path.read_text(encoding="ascii", errors="replace").strip()
