"""What the dashboard asks the journal. A question that would read for long is broken off: the disk is the line's."""

from __future__ import annotations

import heapq
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import DataError
from ..stream.journal.actuations import UNACCOUNTED
from ..stream.journal.journal import Journal
from ..stream.records.record import Entry, VerdictName

VERDICTS: tuple[VerdictName, ...] = ("reject", "unknown", "failsafe", "good")
LONGEST_QUERY = 2.0  # seconds
_SCORES_FROM_LATEST = 200_000  # records; a product not seen among them has no histogram


@dataclass(frozen=True)
class Filter:
    """Which parts to show; None does not restrict."""

    verdicts: Sequence[VerdictName] = ("reject", "unknown", "failsafe")
    product: str | None = None
    camera: str | None = None
    part: str | None = None
    order: str | None = None
    lot: str | None = None
    since: float | None = None
    """Seconds since 1970, of the capture; from this moment on."""
    until: float | None = None
    """Before this moment."""
    score_above: float | None = None
    score_to: float | None = None
    """Scores with ``score_above < score <= score_to``: those that change sides when a threshold moves."""
    unaccounted: bool = False
    """Only rejects of unknown outcome that nobody has acknowledged."""

    def conditions(self) -> tuple[str, list[object]]:
        """SQL for all but the verdicts, and its values."""
        pairs = [
            ("product = ?", self.product),
            ("camera = ?", self.camera),
            ("part = ?", self.part),
            ('"order" = ?', self.order),
            ("lot = ?", self.lot),
            ("+captured >= ?", self.since),  # +: no walk by time, whose finds would have to be sorted by id
            ("+captured < ?", self.until),
            ("score > ?", self.score_above),
            ("score <= ?", self.score_to),
        ]
        used = [(sql, value) for sql, value in pairs if value is not None]
        only = f" AND id IN ({UNACCOUNTED})" if self.unaccounted else ""
        return only + "".join(f" AND {sql}" for sql, _ in used), [value for _, value in used]


@dataclass(frozen=True)
class Scored:
    """A judged part as the histogram needs it."""

    id: int
    score: float
    verdict: VerdictName


def parts(journal: Journal, wanted: Filter, before: int | None, limit: int) -> list[Entry]:
    """Up to ``limit`` entries with an id below ``before``, newest first.

    Raises:
        DataError: the filter makes the journal read for too long.
    """
    condition, values = wanted.conditions()
    query = f"SELECT id FROM verdict WHERE verdict = ? AND id < ?{condition} ORDER BY id DESC LIMIT ?"
    start = before if before is not None else 2**62
    with limited(journal) as connection:
        # One walk down the index per verdict, merged: never a sort of the whole journal.
        walks = [connection.execute(query, (verdict, start, *values, limit)).fetchall() for verdict in wanted.verdicts]
    newest = [row[0] for row in heapq.merge(*walks, reverse=True)][:limit]
    marks = ", ".join("?" * len(newest))
    return journal.select(f"id IN ({marks}) ORDER BY id DESC", newest) if newest else []


def latest(journal: Journal, count: int) -> list[Entry]:
    """The last ``count`` entries, oldest first."""
    return journal.select("id > (SELECT MAX(id) FROM verdict) - ? ORDER BY id", (count,))


def scores(journal: Journal, product: str | None, others: Sequence[str], last: int) -> list[Scored]:
    """The last judged parts of one product, newest first; all from the engine that runs now, so scores compare.

    Args:
        journal: where to look.
        product: whose parts; None takes all parts that the bundle's own threshold decides, and unknown ones.
        others: products with a threshold of their own, left out when ``product`` is None.
        last: how many, at most.
    """
    if product is None:
        marks = ", ".join("?" * len(others))
        condition, values = f"(product IS NULL OR product NOT IN ({marks}))", list(others)
    else:
        condition, values = "product = ?", [product]
    query = (
        f"SELECT id, score, verdict FROM verdict WHERE id > (SELECT MAX(id) FROM verdict) - {_SCORES_FROM_LATEST}"
        f" AND score IS NOT NULL AND verdict != 'failsafe' AND {condition}"
        " AND engine = (SELECT engine FROM verdict WHERE score IS NOT NULL ORDER BY id DESC LIMIT 1)"
        " ORDER BY id DESC LIMIT ?"
    )
    with limited(journal) as connection:
        return [Scored(*row) for row in connection.execute(query, (*values, last))]


@contextmanager
def limited(
    journal: Journal, seconds: float | None = None, fix: str = "narrow it by time or verdict"
) -> Iterator[sqlite3.Connection]:
    """A connection that can only read, and no longer than that (None: `LONGEST_QUERY`).

    Raises:
        DataError: it took longer.
    """
    longest = LONGEST_QUERY if seconds is None else seconds
    end = time.monotonic() + longest
    try:
        with journal.reading() as connection:
            connection.set_progress_handler(lambda: time.monotonic() > end, 20_000)
            yield connection
    except sqlite3.OperationalError as error:
        if "interrupted" not in str(error):
            raise
        raise DataError("the search took too long", f"it was broken off after {longest:.0f} s", fix) from error
