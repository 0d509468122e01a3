"""The figures of a shift report, and the same as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ...scoring.intervals import Share
from ..journal.journal import AuditEntry
from ..records.actuation import Outcome
from ..records.record import VerdictName
from .period import Period, local
from .standstill import Standstill

VERDICTS: tuple[VerdictName, ...] = ("good", "reject", "unknown", "failsafe")
OUTCOMES: tuple[Outcome, ...] = ("done", "late", "failed", "unknown", "open")


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
    kept_from: float | None
    """Trigger of the oldest record that retention left, where the period begins before it: what it took is in no
    figure here. None where all of the period is there."""
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
            "kept_from": self.kept_from,
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


def _span(period: Period) -> dict[str, Any]:
    return {
        "since": period.since,
        "until": period.until,
        "since_local": local(period.since),
        "until_local": local(period.until),
    }
