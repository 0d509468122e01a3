"""What is removed from a journal, and when."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from ..timing import Clock
from .journal import Journal
from .kept_pictures import Pictures

_DAY_S = 86400.0


class Retention(threading.Thread):
    """Removes old pictures and old verdicts now and then, and at once when the disk is full."""

    def __init__(
        self,
        journal: Journal,
        pictures: Pictures,
        clock: Clock,
        keep_days: float | None,
        readers: Sequence[str],
        every_s: float = 60.0,
    ) -> None:
        super().__init__(name="retention", daemon=True)
        self._journal = journal
        self._pictures = pictures
        self._clock = clock
        self._keep_days = keep_days
        self._readers = readers
        self._every = every_s
        self._wake = threading.Event()
        self._stopping = False

    def hurry(self) -> None:
        """Does it now."""
        self._wake.set()

    def run(self) -> None:
        """The thread's body."""
        while not self._stopping:
            with suppress(sqlite3.Error, OSError):  # the recorder says when the disk is in trouble
                self._pictures.prune()
                while not self._stopping and self._keep_days is not None and self._clock.steady:
                    if not self._journal.forget(time.time() - self._keep_days * _DAY_S, self._readers):
                        break
            self._wake.wait(self._every)
            self._wake.clear()

    def stop(self) -> None:
        """Ends it."""
        self._stopping = True
        self._wake.set()
