"""Parts that could not even wait for the disk: noted as ranges, so memory stays bounded and none goes unmentioned."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, replace

from ..records.record import Record
from .journal import Journal

UNRECORDED = "unrecorded"
"""Action of the audit entry that declares a `Gap`."""


@dataclass
class Gap:
    """Parts that got the fail-safe verdict while the backlog was full: noted as a range, not one by one."""

    run: int
    camera: str
    first: int
    last: int
    count: int
    since: float
    until: float
    moved: int = 0
    """For so many of them actuators were told to move."""


class Gaps:
    """Collects ranges and puts them on record once the journal can be written. Any thread may call any method."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._gaps: dict[str, Gap] = {}

    def note(self, record: Record, *, moved: bool) -> None:
        """One more part; ``moved``: an actuator is told to move for it."""
        number, when = record.sequence, record.captured
        with self._lock:
            gap = self._gaps.get(record.camera)
            if gap is None:
                gap = self._gaps[record.camera] = Gap(self._journal.run, record.camera, number, number, 0, when, when)
            gap.first, gap.last = min(gap.first, number), max(gap.last, number)
            gap.count += 1
            gap.moved += moved
            gap.until = when

    def open(self) -> list[Gap]:
        """Those that are not on record."""
        with self._lock:
            return list(self._gaps.values())

    def declare(self) -> None:
        """Writes them into the audit.

        Raises:
            sqlite3.Error: it cannot be written; what is not in it stays here.
        """
        with self._lock:
            gaps, self._gaps = list(self._gaps.values()), {}
        while gaps:
            try:
                self._journal.audit("line", UNRECORDED, **asdict(gaps[0]))
            except BaseException:
                with self._lock:
                    for gap in gaps:
                        self._gaps[gap.camera] = _joined(gap, self._gaps.get(gap.camera))
                raise
            gaps.pop(0)


def _joined(gap: Gap, later: Gap | None) -> Gap:
    if later is None:
        return gap
    return replace(
        gap, last=later.last, count=gap.count + later.count, until=later.until, moved=gap.moved + later.moved
    )
