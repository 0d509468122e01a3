"""What a line did in a period: parts, rejects, what was not judged, what moved, who changed what. From its journal."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import time
from pathlib import Path
from time import time as wall_clock
from typing import Any

from ..errors import DataError
from ..evaluation.intervals import Share
from .actuation import Outcome
from .gaps import UNRECORDED
from .journal import AuditEntry, Journal
from .journal_report import require_journal
from .period import Period, local, shifts_of
from .reasons import REASONS
from .record import VerdictName
from .standstill import Standstill, open_run, standstills

VERDICTS: tuple[VerdictName, ...] = ("good", "reject", "unknown", "failsafe")
OUTCOMES: tuple[Outcome, ...] = ("done", "late", "failed", "unknown", "open")
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


@dataclass(frozen=True)
class Row:
    """Parts that have something in common, by verdict."""

    name: str
    counts: dict[VerdictName, int]

    @property
    def parts(self) -> int:
        """How many."""
        return sum(self.counts.values())

    @property
    def rejected(self) -> Share:
        """Rejects among the judged; what is fail-safe was not judged."""
        return Share(self.counts["reject"], self.parts - self.counts["failsafe"])

    def plain(self) -> dict[str, Any]:
        """As JSON has it; rate and interval (95 %) are fractions, null of no judged part."""
        share = self.rejected.figures()
        return {
            "name": self.name,
            "parts": self.parts,
            **self.counts,
            "reject_rate": share["rate"],
            "interval": share["interval"],
        }


@dataclass(frozen=True)
class Reason:
    """Why parts have the verdict they have."""

    verdict: VerdictName
    reason: str
    text: str
    """In words; empty where there are none."""
    count: int


@dataclass(frozen=True)
class Moved:
    """What became of parts at one actuator."""

    actuator: str
    outcomes: dict[Outcome, int]
    acknowledged: int
    """Of the unknown ones: somebody has looked for them."""
    latest_ms: float | None
    """The worst delay of an output that moved."""


@dataclass(frozen=True)
class Worst:
    """A reject far above its threshold."""

    id: int
    camera: str
    part: str | None
    product: str | None
    score: float
    threshold: float
    captured: float
    image: str | None
    """Path below the journal's folder; None where none was kept."""
    heatmap: str | None


@dataclass(frozen=True)
class ShiftReport:
    """All of it."""

    line: str
    """Its name; empty in a journal that does not know it."""
    period: Period
    generated: float
    first: float | None
    """Trigger of the first part in it; None without parts."""
    last: float | None
    total: Row
    shifts: tuple[tuple[Period, Row], ...]
    products: tuple[Row, ...]
    cameras: tuple[Row, ...]
    orders: tuple[Row, ...]
    """Empty where no part carried one."""
    shadow: int
    """Parts that were decided but not acted upon."""
    unrecorded: int
    """Fail-safe parts that the disk could not take one by one: in no other figure here."""
    reasons: tuple[Reason, ...]
    actuators: tuple[Moved, ...]
    standstills: tuple[Standstill, ...]
    open_run: int | None
    """A run without an end on record: it goes on, or its process died."""
    changes: tuple[AuditEntry, ...]
    """The latest, oldest first."""
    changes_left_out: int
    worst: tuple[Worst, ...]

    def plain(self) -> dict[str, Any]:
        """As JSON has it; times in seconds since 1970, those of the period in local time, too."""
        worst = [
            {**asdict(one), "image": one.image is not None, "heatmap": one.heatmap is not None} for one in self.worst
        ]
        stood = [{**asdict(one), "seconds": self.period.overlap(one.since, one.until)} for one in self.standstills]
        rows = {"products": self.products, "cameras": self.cameras, "orders": self.orders}
        return {
            "line": self.line,
            **_span(self.period),
            "generated": self.generated,
            "first": self.first,
            "last": self.last,
            "total": self.total.plain(),
            "shifts": [{**row.plain(), **_span(period)} for period, row in self.shifts],
            **{name: [row.plain() for row in some] for name, some in rows.items()},
            "shadow": self.shadow,
            "unrecorded": self.unrecorded,
            "reasons": [asdict(one) for one in self.reasons],
            "actuators": [{**asdict(one), **one.outcomes} for one in self.actuators],
            "standstills": stood,
            "open_run": self.open_run,
            "changes": [asdict(one) for one in self.changes],
            "changes_left_out": self.changes_left_out,
            "worst": worst,
        }


def read_report(folder: Path, period: Period, shifts: Sequence[time]) -> ShiftReport:
    """`shift_report` of the journal in a folder; a line may be writing it.

    Raises:
        DataError: there is no journal, or it cannot be read.
        ConfigError: the period has too many shifts.
    """
    require_journal(folder)
    journal = Journal(folder)
    try:
        with journal.reading() as connection:
            return shift_report(connection, period, shifts, wall_clock())
    except sqlite3.Error as error:
        fix = "check it: snl-edge stream journal"
        raise DataError(f"the journal in {folder} cannot be read", str(error), fix) from error
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


def _span(period: Period) -> dict[str, Any]:
    return {
        "since": period.since,
        "until": period.until,
        "since_local": local(period.since),
        "until_local": local(period.until),
    }


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
    by_actuator: defaultdict[str, list[tuple[Outcome, int, int, float | None]]] = defaultdict(list)
    for actuator, *outcome in rows:
        by_actuator[actuator].append((outcome[0], outcome[1], outcome[2], outcome[3]))
    found = []
    for actuator, outcomes in sorted(by_actuator.items()):
        counts = Counter({kind: count for kind, count, *_ in outcomes})
        late = [one for *_, one in outcomes if one is not None]
        acknowledged = sum(one for _, _, one, _ in outcomes)
        found.append(Moved(actuator, {kind: counts[kind] for kind in OUTCOMES}, acknowledged, max(late, default=None)))
    return found


def _changes(connection: sqlite3.Connection, span: tuple[float, float]) -> tuple[tuple[AuditEntry, ...], int, int]:
    """The latest changes, how many more there were, and the parts that were declared as not recorded."""
    rows = connection.execute("SELECT * FROM audit WHERE time >= ? AND time < ? ORDER BY id DESC", span).fetchall()
    entries = [
        AuditEntry(number, when, actor, action, json.loads(detail)) for number, when, actor, action, detail in rows
    ]
    missed: list[dict[str, Any]] = [entry.detail for entry in entries if entry.action == UNRECORDED]
    shown = tuple(entries[:MOST_CHANGES][::-1])
    return shown, len(entries) - len(shown), sum(detail["count"] for detail in missed)
