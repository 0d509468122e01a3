"""Changes are on record: one that cannot be is not made, and those that were refused are, too, with who and why."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import OutputError, SnlEdgeError
from ..journal.journal import Journal

ACTION = "refused"
AGAIN_S = 60.0
"""The same refusal is noted once in so many seconds, with how often it came: a program that asks in a loop must not
fill the audit."""
_REMEMBERED = 64
_log = logging.getLogger(__name__)


class Refusals:
    """Writes refused changes into the audit. Any thread may call it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._last: OrderedDict[tuple[str, str, str], tuple[float, int]] = OrderedDict()

    def note(self, actor: str, change: str, error: SnlEdgeError) -> None:
        """Notes that ``change`` was refused to ``actor``; a journal that cannot be written is no second refusal."""
        key = actor, change, error.what
        with self._lock:
            noted, more = self._last.get(key, (-AGAIN_S, 0))
            now = time.monotonic()
            again = now - noted < AGAIN_S
            self._last[key] = (noted, more + 1) if again else (now, 0)
            self._last.move_to_end(key)
            while len(self._last) > _REMEMBERED:
                self._last.popitem(last=False)
        if again:
            return
        _log.warning("%s refused to %s: %s", change, actor, error)
        try:
            self._journal.audit(actor, ACTION, change=change, why=str(error)[:1000], **({"more": more} if more else {}))
        except sqlite3.Error as failed:
            _log.error("the refusal is not in the audit: %s", failed)


@contextmanager
def audited() -> Iterator[None]:
    """A change that cannot be put on record is not made.

    Raises:
        OutputError: it cannot.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise OutputError(
            "nothing was changed", f"the journal cannot be written: {error}", "free or repair its disk"
        ) from error
