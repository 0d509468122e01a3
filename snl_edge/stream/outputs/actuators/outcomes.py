"""Outcomes of actuations go into the journal from a thread of their own: an actuator never waits for the disk."""

from __future__ import annotations

import json
import logging
import sqlite3
import sys
import threading
import time
from dataclasses import asdict

from ...journal.journal import Journal
from ...records.actuation import Actuation

MOST_WAITING = 10_000
RETRY_S = 1.0

_log = logging.getLogger(__name__)


class OutcomeLog(threading.Thread):
    """Writes what became of rejects; one serves all actuators of a line.

    Attributes:
        lost: outcomes that were dropped, since the journal could not be written for too long.
    """

    def __init__(self, journal: Journal) -> None:
        super().__init__(name="outcomes", daemon=True)
        self.lost = 0
        self._journal = journal
        self._waiting: list[Actuation] = []
        self._changed = threading.Condition()
        self._give_up_at: float | None = None
        self._problem = ""

    def note(self, actuation: Actuation) -> None:
        """Takes an outcome; returns at once."""
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                self.lost += 1
                return
            self._waiting.append(actuation)
            self._changed.notify()

    def stop(self, timeout_s: float) -> bool:
        """Writes what waits and ends the thread; whether nothing was lost. Call it after the actuators have stopped."""
        with self._changed:
            self._give_up_at = time.monotonic() + timeout_s
            self._changed.notify()
        if self.is_alive():
            self.join(timeout_s + RETRY_S)
        return not self._waiting and not self.lost

    @property
    def trouble(self) -> str:
        """What keeps outcomes out of the journal; empty while nothing does."""
        if not self.is_alive():
            return "not running"
        if self._problem or self.lost:
            return f"{len(self._waiting)} outcomes wait, {self.lost} lost: {self._problem or 'the journal works again'}"
        return ""

    def run(self) -> None:
        """The thread's body."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._give_up_at is not None)
                batch = list(self._waiting)
            if not batch:
                return
            try:
                self._journal.actuated(batch)
            except sqlite3.Error as error:  # disk full: they wait, and are written when there is room again
                if not self._problem:
                    _log.warning("outcomes of actuations cannot be written: %s", error)
                self._problem = str(error)
                if self._give_up_at is not None and time.monotonic() >= self._give_up_at:
                    self._last_resort(batch)
                    return
                time.sleep(RETRY_S if self._give_up_at is None else RETRY_S / 10)
                continue
            self._problem = ""
            with self._changed:
                del self._waiting[: len(batch)]

    def _last_resort(self, batch: list[Actuation]) -> None:
        """The disk still refuses and the process ends: what is not on disk goes to the log."""
        for actuation in batch:
            sys.stderr.write(f"snl-edge: not in the journal: {json.dumps(asdict(actuation))}\n")
