"""Verdicts for spreadsheets: one row a picture."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from ..atomic import write_text
from ..outside.files import opened
from .lines import Line
from .table import kind_of

MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
"""Spreadsheet programs take a file that begins so for UTF-8."""
COLUMNS = (
    *("path", "verdict", "product", "recognised", "score", "threshold", "relation", "product_distance", "regions"),
    *("region_x", "region_y", "region_width", "region_height", "region_area", "region_peak"),
    *("reason", "doubts", "overlay", "error", "path_bytes"),
)
"""``region_…`` are of the region with the highest peak, in pixels of the picture; its area is a share of it."""
_HEADER = f"{MARK}{','.join(COLUMNS)}\r\n".encode()
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes text that begins so for a formula (OWASP, "CSV Injection"): an apostrophe makes it text."""


def is_ours(path: Path) -> bool:
    """Whether `write_csv` wrote this file, by its first line; an empty one holds nothing to lose."""
    try:
        with opened(path, sys.maxsize) as (file, size):
            return not size or file.read(len(_HEADER)) == _HEADER
    except OSError:
        return False


def write_csv(target: Path, lines: Sequence[Line]) -> None:
    """Writes the lines in their order, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(_row(line) for line in lines)
    write_text(target, MARK + text.getvalue())


def _row(line: Line) -> list[object]:
    values: Line = {**line, "verdict": line.get("verdict") or kind_of(line)}
    regions = line.get("regions") or []
    values["regions"] = len(regions) if "verdict" in line else None
    values["doubts"] = "; ".join(line.get("doubts", ()))
    if regions:
        corner = ("region_x", "region_y", "region_width", "region_height")
        values |= dict(zip(corner, regions[0]["box"], strict=True))
        values |= {"region_area": regions[0]["area"], "region_peak": regions[0]["peak"]}
    return [_cell(values.get(name)) for name in COLUMNS]


def _cell(value: object) -> object:
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
