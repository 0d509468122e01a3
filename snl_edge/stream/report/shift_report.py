"""What a line did in a period: parts, rejects, what was not judged, what moved, who changed what. From its journal."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import time
from pathlib import Path
from time import time as wall_clock
from typing import Any

from ..journal.gaps import UNRECORDED
from ..journal.journal import AuditEntry, Journal
from ..journal.soundness import damage_told, require_journal
from ..records.actuation import Outcome
from ..records.record import REASONS, VerdictName
from .figures import OUTCOMES, VERDICTS, Moved, Reason, Row, ShiftReport, Worst
from .period import Period, shifts_of
from .standstill import open_run, standstills

NOT_JUDGED, NOT_LEARNED, ANOTHER = "(not judged)", "(unknown product)", "(another than the camera's)"
WITHOUT_ORDER = "(no order)"
MOST_CHANGES = 500
MOST_WORST = 12
_COUNTS = """
SELECT camera, product, verdict, reason, "order", lot, shadow, COUNT(*), MIN(captured), MAX(captured) FROM verdict
WHERE captured >= ? AND captured < ? GROUP BY 1, 2, 3, 4, 5, 6, 7
"""
_BY_VERDICT = "SELECT verdict, COUNT(*) FROM verdict WHERE captured >= ? AND captured < ? GROUP BY verdict"
_OUTCOMES = """
SELECT actuator, outcome, COUNT(*), COUNT(acknowledged), MAX(late_ms) FROM verdict
JOIN actuation USING (run, camera, sequence) WHERE captured >= ? AND captured < ? GROUP BY actuator, outcome
UNION ALL
SELECT actuator, 'open', COUNT(*), 0, NULL FROM verdict
JOIN intent USING (run, camera, sequence) WHERE captured >= ? AND captured < ? GROUP BY actuator
"""
_CONFIG = """
SELECT config FROM run WHERE id = COALESCE(
  (SELECT run FROM verdict WHERE captured >= ? AND captured < ? ORDER BY captured DESC LIMIT 1),
  (SELECT MAX(id) FROM run)
)
"""
_WORST = """
SELECT id, camera, part, product, score, threshold, captured, image, heatmap FROM verdict
WHERE captured >= ? AND captured < ? AND verdict = 'reject' AND score IS NOT NULL AND threshold > 0
ORDER BY score / threshold DESC, id DESC LIMIT ?
"""


def read_report(folder: Path, period: Period, shifts: Sequence[time]) -> ShiftReport:
    """`shift_report` of the journal in a folder; a line may be writing it.

    Raises:
        DataError: there is no journal, or it cannot be read.
        ConfigError: the period has too many shifts.
    """
    require_journal(folder)
    journal = Journal(folder, existing=True)
    try:
        with damage_told(folder), journal.reading() as connection:
            return shift_report(connection, period, shifts, wall_clock())
    finally:
        journal.close()


def shift_report(connection: sqlite3.Connection, period: Period, shifts: Sequence[time], now: float) -> ShiftReport:
    """Reads it, as the journal is at one moment.

    Args:
        connection: to the journal; only read.
        period: which parts, by their trigger; which changes.
        shifts: when shifts begin; none: not by shift.
        now: seconds since 1970, noted in the report.

    Raises:
        sqlite3.Error: the journal cannot be read.
        ConfigError: the period has too many shifts.
    """
    span = (period.since, period.until)
    connection.execute("BEGIN")
    counted = connection.execute(_COUNTS, span).fetchall()
    named: dict[str, defaultdict[str, Counter[VerdictName]]] = {
        kind: defaultdict(Counter) for kind in ("total", "product", "camera", "order")
    }
    reasons: Counter[tuple[VerdictName, str]] = Counter()
    for camera, product, verdict, reason, order, lot, _, count, *_ in counted:
        names = {"total": "all", "product": product or _nameless(verdict, reason), "camera": camera}
        for kind, name in {**names, "order": _order(order, lot)}.items():
            named[kind][name][verdict] += count
        if reason is not None:
            reasons[verdict, reason] += count
    by_shift = [(one, _by_verdict(connection, one)) for one in shifts_of(period, shifts)]
    changes, left_out, unrecorded = _changes(connection, span)
    config = connection.execute(_CONFIG, span).fetchone()
    orders = _rows(named["order"])
    return ShiftReport(
        line=line_name(config[0]) if config else "",
        period=period,
        generated=now,
        first=min((row[8] for row in counted), default=None),
        last=max((row[9] for row in counted), default=None),
        kept_from=_kept_from(connection, period),
        total=_row("all", named["total"]["all"]),
        shifts=tuple(by_shift),
        products=_rows(named["product"]),
        cameras=_rows(named["camera"]),
        orders=() if [row.name for row in orders] == [WITHOUT_ORDER] else orders,
        shadow=sum(row[7] for row in counted if row[6]),
        unrecorded=unrecorded,
        reasons=tuple(
            Reason(verdict, reason, REASONS.get(reason, ""), count)
            for (verdict, reason), count in reasons.most_common()
        ),
        actuators=tuple(_moved(connection.execute(_OUTCOMES, span * 2))),
        standstills=tuple(standstills(connection, period)),
        open_run=open_run(connection),
        changes=changes,
        changes_left_out=left_out,
        worst=tuple(Worst(*row) for row in connection.execute(_WORST, (*span, MOST_WORST))),
    )


def line_name(config: str) -> str:
    """Of the line whose settings these are, as the journal keeps them of each run; empty where they do not say."""
    return str(json.loads(config).get("name", ""))


def _kept_from(connection: sqlite3.Connection, period: Period) -> float | None:
    first = connection.execute("SELECT MIN(id) FROM verdict").fetchone()[0]
    if first is None or first == 1:
        return None
    oldest = connection.execute("SELECT MIN(captured) FROM verdict").fetchone()[0]
    return oldest if oldest > period.since else None


def _nameless(verdict: VerdictName, reason: str | None) -> str:
    if verdict == "failsafe":
        return NOT_JUDGED
    return ANOTHER if reason == "mismatch" else NOT_LEARNED


def _order(order: str | None, lot: str | None) -> str:
    told = [f"{name} {value}" for name, value in (("order", order), ("lot", lot)) if value is not None]
    return ", ".join(told) or WITHOUT_ORDER


def _by_verdict(connection: sqlite3.Connection, period: Period) -> Row:
    rows = connection.execute(_BY_VERDICT, (period.since, period.until)).fetchall()
    return _row(str(period), Counter(dict(rows)))


def _row(name: str, counts: Counter[VerdictName]) -> Row:
    return Row(name, {verdict: counts[verdict] for verdict in VERDICTS})


def _rows(named: dict[str, Counter[VerdictName]]) -> tuple[Row, ...]:
    """Most parts first."""
    rows = [_row(name, counts) for name, counts in named.items()]
    return tuple(sorted(rows, key=lambda row: (-row.parts, row.name)))


def _moved(rows: Iterable[tuple[str, Outcome, int, int, float | None]]) -> list[Moved]:
    counts: defaultdict[str, Counter[Outcome]] = defaultdict(Counter)
    acknowledged: Counter[str] = Counter()
    late: defaultdict[str, list[float]] = defaultdict(list)
    for actuator, outcome, count, seen, latest_ms in rows:
        counts[actuator][outcome] += count
        acknowledged[actuator] += seen
        late[actuator] += [] if latest_ms is None else [latest_ms]
    return [
        Moved(name, {kind: own[kind] for kind in OUTCOMES}, acknowledged[name], max(late[name], default=None))
        for name, own in sorted(counts.items())
    ]


def _changes(connection: sqlite3.Connection, span: tuple[float, float]) -> tuple[tuple[AuditEntry, ...], int, int]:
    """The latest changes, how many more there were, and the parts that were declared as not recorded."""
    rows = connection.execute("SELECT * FROM audit WHERE time >= ? AND time < ? ORDER BY id DESC", span).fetchall()
    entries = [
        AuditEntry(number, when, actor, action, json.loads(detail)) for number, when, actor, action, detail in rows
    ]
    missed: list[dict[str, Any]] = [entry.detail for entry in entries if entry.action == UNRECORDED]
    shown = tuple(entries[:MOST_CHANGES][::-1])
    return shown, len(entries) - len(shown), sum(detail["count"] for detail in missed)
