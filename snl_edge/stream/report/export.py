"""A journal's records for other programs: CSV for spreadsheets, JSON lines with every value as it is."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal

from ...atomic import replacing
from ..journal.journal import Journal
from ..journal.soundness import damage_told, require_journal
from ..records.record import Record
from .period import Period, local
from .shift_report import line_name

MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"
"""At the start of the CSV: spreadsheet programs take the file for UTF-8 by it."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes text that begins so for a formula, and would run what somebody wrote as a part's id (OWASP,
"CSV Injection"): an apostrophe before it makes it text."""
_AT_A_TIME = 1000
_EXPORTED = ("actuator", "outcome", "time", "late_ms", "detail", "acknowledged")
"""What is exported of each outcome; the rest is in the record."""
_AS_JSON = ("blobs", "fields", "outcomes")
_TIMES = ("captured", "decided")
_HEADER = [
    *("id", "run", "message_id", "line"),
    *(
        name
        for one in fields(Record)
        for name in ((one.name, f"{one.name}_local") if one.name in _TIMES else (one.name,))
    ),
    "outcomes",
]


def export_journal(folder: Path, target: Path, kind: Literal["csv", "jsonl"], period: Period | None = None) -> int:
    """Writes the records (of a period, by their trigger) to ``target``, whole or not at all; returns how many.

    Raises:
        DataError: there is no journal, or it cannot be read.
        OutputError: the file cannot be written.
    """
    require_journal(folder)
    journal = Journal(folder, existing=True)
    count = 0
    try:
        with (
            damage_told(folder),
            replacing(target) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            if kind == "csv":
                file.write(csv_header())
            for row in rows(journal, period):
                file.write(json.dumps(row) + "\n" if kind == "jsonl" else csv_line(row))
                count += 1
    finally:
        journal.close()
    return count


def rows(journal: Journal, period: Period | None = None) -> Iterator[dict[str, Any]]:
    """Each record with its line's name and the outcomes at actuators, oldest first."""
    with journal.reading() as connection:
        lines = {run: line_name(config) for run, config in connection.execute("SELECT id, config FROM run")}
        span = (0.0, float("inf")) if period is None else (period.since, period.until)
        ids = connection.execute("SELECT MIN(id), MAX(id) FROM verdict WHERE captured >= ? AND captured < ?", span)
        first, last = ids.fetchone()
    position = -1 if first is None else first - 1
    while first is not None and position < last:
        found = journal.select("id > ? AND id <= ? ORDER BY id LIMIT ?", (position, last, _AT_A_TIME))
        if not found:
            return  # retention took the rest
        position = found[-1].id
        entries = [entry for entry in found if span[0] <= entry.record.captured < span[1]]
        outcomes = journal.outcomes([entry.id for entry in entries])
        for entry in entries:
            own = {"id": entry.id, "run": entry.run, "message_id": entry.message_id, "line": lines.get(entry.run, "")}
            moved = [{name: getattr(one, name) for name in _EXPORTED} for one in outcomes.get(entry.id, [])]
            yield {**own, **asdict(entry.record), "outcomes": moved}


def csv_header() -> str:
    """The first line of the CSV."""
    return MARK + _line(_HEADER)


def csv_line(row: dict[str, Any]) -> str:
    """One of `rows` as a line of the CSV: times in local time, too, and no text that a spreadsheet would run."""
    cells = {**row, **{name: json.dumps(row[name]) for name in _AS_JSON}}
    cells |= {f"{name}_local": local(row[name]) for name in _TIMES}
    return _line([_text(cells[name]) for name in _HEADER])


def _text(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def _line(cells: list[Any]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue()
