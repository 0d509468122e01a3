"""Store and forward: a thread that hands the journal's records to one receiver, in order, at least once.

It only reads the journal, from its own cursor on, so a slow or dead receiver cannot delay a verdict or lose one.
"""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
import time
from contextlib import suppress

from ....errors import SnlEdgeError
from ...control.interface import Check
from ...journal.journal import Journal
from ...records.record import Entry
from .sink_settings import SinkSettings
from .transport import DeliveryError, PoisonError, Transport

POLL_S = 1.0
"""How often it looks at the journal when nobody wakes it, and counts its backlog while the receiver is away."""
GATHER_S = 0.05
"""Pause after it was woken, so that a fast line costs it one look at the journal and not one for each part."""
READ = 100
"""Records read from the journal at a time, at least."""
ACKNOWLEDGE_S = 0.5
"""How often a busy sink notes its cursor. A crash in between repeats what was delivered since."""
DRAIN_RETRY_S = 0.2
_HANGS_AFTER = 6
"""A turn connects and waits for confirmations, at most ``timeout_s`` each; one that takes so many of them hangs."""
MOST_POISON = 10
"""So many messages refused one after the other are the receiver's fault, not theirs: then none is parked any more."""

_log = logging.getLogger(__name__)


class Forwarder(threading.Thread):
    """One running sink. ``start()`` it before the first verdict; `wake` and `stop` it from any thread.

    Attributes:
        name: its name, which is also that of its cursor.
        delivered: messages that the receiver has confirmed in this run.
        parked: messages refused for good; each is noted in the journal's audit.
        failures: failed tries.
        backlog: records of the journal that it has not dealt with.
    """

    def __init__(self, name: str, settings: SinkSettings, transport: Transport, journal: Journal) -> None:
        super().__init__(name=name, daemon=True)
        self.delivered = 0
        self.parked = 0
        self.failures = 0
        self.backlog = 0
        self._settings = settings
        self._transport = transport
        self._journal = journal
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._give_up_at = float("inf")
        self._open = False
        self._problem = ""
        self._since = 0.0
        self._poison = 0
        self._begun: float | None = None
        self._read: list[Entry] = []
        self._more = False
        position = journal.position(name)
        if position is None:
            position = 0 if settings.backfill else journal.last()
            journal.acknowledge(name, position)
        self._position = self._acknowledged = position
        self._acknowledged_at = time.monotonic()

    def wake(self) -> None:
        """Says that the journal has something new; returns at once."""
        self._wake.set()

    def finish(self, timeout_s: float) -> None:
        """Asks it to deliver what the journal holds, at most ``timeout_s`` long, and to end; returns at once.

        Nothing may come into the journal any more. Where several sinks stop, all are asked first, so that they share
        the time.
        """
        self._give_up_at = min(self._give_up_at, time.monotonic() + timeout_s)
        self._stopping.set()
        self._wake.set()

    def stop(self, timeout_s: float) -> bool:
        """Asks it to `finish` and waits for the end.

        Returns:
            whether nothing is left. What is left goes out after the next start.
        """
        self.finish(timeout_s)
        if self.is_alive():
            self.join(max(0.0, self._give_up_at - time.monotonic()) + self._settings.timeout_s)
        self._count_backlog()
        return self.backlog == 0

    def check(self) -> Check:
        """Its line on the health page."""
        name = f"sink {self.name}"
        if not self.is_alive():
            return Check(name, "failed", "not running")
        problem, waiting = self._problem, f"{self.backlog} records wait in the journal"
        begun = self._begun
        busy = 0.0 if begun is None else time.monotonic() - begun
        if busy > _HANGS_AFTER * self._settings.timeout_s:  # a share that hangs holds whoever writes to it
            self._count_backlog()
            light = "failed" if busy >= self._settings.alarm_after_s else "warning"
            waiting = f"{self.backlog} records wait in the journal"
            return Check(name, light, f"one delivery has hung for {busy:.0f} s, {waiting}, nothing is lost")
        if not problem:
            behind = self._behind()
            if behind >= self._settings.alarm_after_s:
                text = f"its receiver is {behind:.0f} s behind: it takes less than the line gives; {waiting}"
                return Check(name, "warning", text)
            return Check(name, "ok", f"{self.delivered} delivered, {waiting}")
        away = time.monotonic() - self._since
        light = "failed" if away >= self._settings.alarm_after_s else "warning"
        return Check(name, light, f"{problem}; for {away:.0f} s, {waiting}, nothing is lost")

    def _behind(self) -> float:
        """Seconds since the verdict that is the next to deliver; 0 where there is none."""
        waiting = self._read  # replaced as a whole by the thread, never changed
        return max(0.0, time.time() - waiting[0].record.decided) if waiting else 0.0

    def run(self) -> None:
        """The thread's body."""
        failed = 0
        while time.monotonic() < self._give_up_at:
            # Asked before the journal is read: what came between reading and asking would stay behind.
            stopping = self._stopping.is_set()
            try:
                self._begun = time.monotonic()
                try:
                    handled = self._turn()
                finally:
                    self._begun = None
            except Exception as error:  # whatever a library raises: a sink that ends tells the plant nothing any more
                self._failed(error)
                self._pause(failed, error.retry_after_s if isinstance(error, DeliveryError) else 0.0)
                failed += 1
                continue
            self._well()
            failed = 0
            if stopping:
                if not handled:
                    break
            elif not self._read and not self._more:
                self._wake.wait(POLL_S)
                self._stopping.wait(GATHER_S)
                self._wake.clear()
        self._note_position()
        self._close()

    def _turn(self) -> bool:
        """Delivers one batch; False if the journal has nothing more."""
        if not self._open:
            self._transport.open()
            self._open = True
        if not self._read:
            limit = max(READ, self._settings.batch)
            self._read = self._journal.deliverable(self._position, limit)
            self._more = len(self._read) == limit
        entries = self._read[: self._settings.batch]
        chosen = [entry for entry in entries if self._wanted(entry)]
        try:
            confirmed = self._transport.deliver(chosen)
        except DeliveryError as error:
            self._advance(chosen, error.confirmed)
            raise
        except PoisonError as error:
            self._advance(chosen, error.confirmed)
            self._park(chosen[error.confirmed], str(error))
        else:
            self._advance(chosen, confirmed)
            if entries and confirmed == len(chosen):
                self._position = entries[-1].id
        finally:
            self._read = [entry for entry in self._read if entry.id > self._position]
        if not entries or time.monotonic() - self._acknowledged_at >= ACKNOWLEDGE_S:
            self._note_position()
            self._count_backlog()
        return bool(entries)

    def _wanted(self, entry: Entry) -> bool:
        return self._settings.verdicts == "all" or entry.record.verdict != "good"

    def _advance(self, entries: list[Entry], confirmed: int) -> None:
        if confirmed:
            self._position = entries[confirmed - 1].id
            self._poison = 0
            self.delivered += confirmed

    def _park(self, entry: Entry, answer: str) -> None:
        if self._poison >= MOST_POISON:
            raise DeliveryError(f"the receiver refused {self._poison} messages one after the other, the last: {answer}")
        self._journal.audit(
            f"sink {self.name}", "parked", record=entry.id, message_id=entry.message_id, answer=answer[:500]
        )
        _log.warning("sink %s: message %s parked: %s", self.name, entry.message_id, answer)
        self._poison += 1
        self.parked += 1
        self._position = entry.id

    def _failed(self, error: Exception) -> None:
        expected = isinstance(error, DeliveryError | SnlEdgeError | sqlite3.Error)
        text = str(error) if expected else f"{type(error).__name__}: {error}"
        if not self._problem:
            self._since = time.monotonic()
            _log.warning("sink %s: %s", self.name, text, exc_info=None if expected else error)
        self._problem = text
        self.failures += 1
        self._close()
        self._note_position()

    def _well(self) -> None:
        if self._problem:
            _log.warning("sink %s: delivers again", self.name)
        self._problem = ""

    def _pause(self, failed: int, at_least_s: float) -> None:
        """Waits for the next try: twice as long with each failure, and not all sinks of a plant at the same moment."""
        longest = min(self._settings.retry_most_s, self._settings.retry_first_s * 2 ** min(failed, 20))
        end = time.monotonic() + max(at_least_s, random.uniform(longest / 2, longest))
        if self._stopping.is_set():  # draining: there is little time, so try often
            time.sleep(DRAIN_RETRY_S)
        while (left := end - time.monotonic()) > 0 and not self._stopping.wait(min(left, POLL_S)):
            self._count_backlog()

    def _note_position(self) -> None:
        if self._position != self._acknowledged:
            try:
                self._journal.acknowledge(self.name, self._position)
            except sqlite3.Error as error:  # disk full: after a restart some go out twice, with the same id
                _log.warning("sink %s: cannot note its cursor: %s", self.name, error)
                return
            self._acknowledged = self._position
        self._acknowledged_at = time.monotonic()

    def _count_backlog(self) -> None:
        with suppress(sqlite3.Error):  # then the last count stands; the next turn meets the error itself
            self.backlog = max(0, self._journal.last() - self._position)

    def _close(self) -> None:
        self._open = False
        try:
            self._transport.close()
        except Exception as error:
            _log.warning("sink %s: closing: %s", self.name, error)
