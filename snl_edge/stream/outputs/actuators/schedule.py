"""An actuator in time: it moves when the part stands before it, or not at all.

Never store-and-forward: a pulse that comes late hits the next part. What is late or fails is counted, shown by the
health page and on record in the journal.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from ...control.interface import Check
from ...records.actuation import Actuation, Outcome
from ...records.record import Record
from .actuator_settings import ActuatorSettings
from .outcomes import OutcomeLog
from .travel import ActuatedPart, Missed, Position, Travel

RETRY_FIRST_S = 0.2
RETRY_MOST_S = 5.0
WARN_FOR_S = 60.0
"""How long the health page shows a warning after a reject was missed."""
NEVER = float("inf")
SWITCH_S = 0.0005
REAL_TIME_PRIORITY = 10

_log = logging.getLogger(__name__)


class ActuationError(Exception):
    """An output that cannot be reached or moved; one line: what is wrong and what to do."""


class Output(Protocol):
    """What is switched. Only the actuator's thread calls it; each call returns within a fraction of a second.

    Attributes:
        beat_s: pause between two calls of `beat`; None if there is nothing to beat.
    """

    beat_s: float | None

    def open(self) -> None:
        """Connects and switches off. Raises `ActuationError`."""
        ...

    def on(self, record: Record) -> None:
        """Switches on for a part. Raises `ActuationError`."""
        ...

    def off(self) -> None:
        """Switches off. Raises `ActuationError`."""
        ...

    def beat(self) -> None:
        """Gives a sign of life. Raises `ActuationError`."""
        ...

    def close(self) -> None:
        """Switches off if it can, and disconnects; also after a failed `open`, and a second time."""
        ...


def _come_first() -> None:
    """Lets the calling thread run soon when its time has come, as far as we may.

    Python hands its lock over only every 5 ms where threads compute; a thread that waits behind a few of them would be
    late by tens of ms. Against other programs the kernel's real-time class helps, for which a service needs
    ``LimitRTPRIO``; without that right the thread stays an ordinary one.
    """
    sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_S))
    with suppress(OSError, AttributeError):  # no right to, or no Linux
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(REAL_TIME_PRIORITY))


class ActuatorThread(threading.Thread):
    """One running actuator. ``start()`` it before the first trigger.

    Args:
        name: unique on the line.
        settings: what it moves for, and when.
        output: what it moves.
        log: where outcomes go.
        fault: why the line gives no verdicts; None while it does. With a fault the heartbeat stands still.

    Attributes:
        done: parts it has moved for in time.
        late: parts whose time was past; it did not move, or (the record tells) moved too late.
        failed: parts it could not move for.
        settings: what it goes by.
    """

    def __init__(
        self,
        name: str,
        settings: ActuatorSettings,
        output: Output,
        log: OutcomeLog,
        fault: Callable[[], str | None] = lambda: None,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.done = 0
        self.late = 0
        self.failed = 0
        self.settings = settings
        self._output = output
        self._log = log
        self._fault = fault
        self._travel = Travel(settings)
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, ActuatedPart]] = []
        self._number = itertools.count()
        self._give_up_at: float | None = None
        self._open = False
        self._problem = "not yet connected"
        self._missed = ""
        self._missed_at = -NEVER
        self._release_at = self._beat_at = NEVER
        self._retry_at, self._retry_s = 0.0, RETRY_FIRST_S

    def concerned(self, record: Record) -> bool:
        """Whether it is to move for such a part; what is noted before and what is done go by this alone."""
        settings = self.settings
        seen = settings.cameras is None or record.camera in settings.cameras
        return seen and record.action in settings.actions and not record.shadow

    def submit(self, record: Record, run: int, captured: float) -> None:
        """Takes a decided part, once; returns at once. Parts that do not concern this actuator are let pass.

        Args:
            record: what was decided.
            run: number of the run.
            captured: when the trigger fired, seconds of ``time.monotonic``.
        """
        if not self.concerned(record):
            return
        part = ActuatedPart(run, record, captured)
        with self._changed:
            self._arrive(part, self._travel.place(part))

    def moved(self, camera: str, at: float, sequence: int | None = None, encoder: int | None = None) -> None:
        """Tells where the line is: at each trigger, and wherever else the encoder is read. Returns at once.

        Args:
            camera: whose trigger or encoder.
            at: seconds of ``time.monotonic``.
            sequence: the trigger's number.
            encoder: the count.
        """
        with self._changed:
            for part, due in self._travel.moved(camera, Position(at, sequence, encoder)):
                self._arrive(part, due)

    @property
    def standing(self) -> int:
        """Parts that wait for the line to move on: as long as it stands still, so do they."""
        with self._changed:
            return self._travel.waiting

    def stop(self, timeout_s: float) -> None:
        """Moves for the parts on their way, at most ``timeout_s`` long, switches off and ends the thread."""
        with self._changed:
            self._give_up_at = time.monotonic() + timeout_s
            self._changed.notify()
        if self.is_alive():
            self.join(timeout_s + RETRY_MOST_S)

    def check(self) -> Check:
        """Its line on the health page."""
        name = f"actuator {self.name}"
        counts = f"{self.done} moved, {self.late} late, {self.failed} failed"
        if not self.is_alive():
            return Check(name, "failed", "not running")
        if self._problem:
            return Check(name, "failed", f"{self._problem}; rejects are not carried out ({counts})")
        if time.monotonic() - self._missed_at < WARN_FOR_S:
            return Check(name, "warning", f"missed a part: {self._missed} ({counts})")
        return Check(name, "ok", counts)

    def run(self) -> None:
        """The thread's body."""
        _come_first()
        while True:
            with self._changed:
                while (left := self._next_at() - time.monotonic()) > 0:
                    if self._finished():
                        break
                    self._changed.wait(None if left == NEVER else left)
                if self._finished():
                    break
                now = time.monotonic()
                act = heapq.heappop(self._due) if self._due and self._due[0][0] <= now else None
            if act is not None:
                self._act(act[0], act[2])
            elif now >= self._release_at:
                self._release_at = NEVER
                self._guarded(self._output.off)
            elif not self._open and now >= self._retry_at:
                self._connect()
            elif now >= self._beat_at:
                self._beat_at = now + (self._output.beat_s or NEVER)
                if self._fault() is None:
                    self._guarded(self._output.beat)
        self._abandon()
        self._disconnect()

    def _next_at(self) -> float:
        due = self._due[0][0] if self._due else NEVER
        give_up = NEVER if self._give_up_at is None else self._give_up_at
        return min(due, self._release_at, self._beat_at if self._open else self._retry_at, give_up)

    def _finished(self) -> bool:
        if self._give_up_at is None:
            return False
        return (not self._due and self._release_at == NEVER) or time.monotonic() >= self._give_up_at

    def _arrive(self, part: ActuatedPart, due: float | Missed | None) -> None:
        if isinstance(due, Missed):
            self._end(part, due.outcome, None, due.why)
        elif due is not None:
            heapq.heappush(self._due, (due, next(self._number), part))
            self._changed.notify()

    def _act(self, due: float, part: ActuatedPart) -> None:
        tolerance = self.settings.tolerance_ms
        past = (time.monotonic() - due) * 1e3
        if past > tolerance:
            self._end(part, "late", None, f"the verdict came {past:.0f} ms after the part's time: not moved")
            return
        # A connection that broke unseen is made again, if there is still time.
        if not (self._on(part) or ((time.monotonic() - due) * 1e3 <= tolerance and self._on(part))):
            self._end(part, "failed", None, self._problem)
            return
        moved = time.monotonic()
        self._release_at = moved + self.settings.pulse_ms / 1e3
        past = (moved - due) * 1e3
        if past > tolerance:
            self._end(part, "late", past, f"moved {past:.0f} ms after the part's time: look at the next part")
        else:
            self._end(part, "done", past, "")

    def _on(self, part: ActuatedPart) -> bool:
        if not self._open:
            self._connect()
        return self._open and self._guarded(lambda: self._output.on(part.record))

    def _end(self, part: ActuatedPart, outcome: Outcome, late_ms: float | None, detail: str) -> None:
        record = part.record
        with self._changed:
            self.done += outcome == "done"
            self.late += outcome == "late"
            self.failed += outcome == "failed"
        if outcome != "done":
            self._missed = f"{record.camera} {record.sequence}: {detail}"
            self._missed_at = time.monotonic()
            _log.warning("actuator %s: %s: %s", self.name, outcome, self._missed)
        self._log.note(
            Actuation(part.run, record.camera, record.sequence, self.name, outcome, time.time(), late_ms, detail)
        )

    def _connect(self) -> None:
        if self._guarded(self._output.open):
            if self._problem:
                _log.info("actuator %s: connected", self.name)
            self._open, self._problem, self._retry_s = True, "", RETRY_FIRST_S
            self._beat_at = NEVER if self._output.beat_s is None else time.monotonic()
        else:
            self._retry_at = time.monotonic() + self._retry_s
            self._retry_s = min(2 * self._retry_s, RETRY_MOST_S)

    def _guarded(self, call: Callable[[], None]) -> bool:
        """Whether a call of the output succeeded; if not, it is disconnected and will be tried again."""
        try:
            call()
        except Exception as error:  # whatever a library raises: the thread must live for the next part
            problem = str(error) if isinstance(error, ActuationError) else f"{type(error).__name__}: {error}"
            if problem != self._problem:
                _log.warning("actuator %s: %s", self.name, problem)
            self._problem = problem
            self._disconnect()
            return False
        return True

    def _disconnect(self) -> None:
        self._open = False
        self._release_at = self._beat_at = NEVER
        self._retry_at = time.monotonic() + self._retry_s
        try:
            self._output.close()
        except Exception as error:
            _log.warning("actuator %s: closing: %s", self.name, error)

    def _abandon(self) -> None:
        with self._changed:
            parts = [part for _, _, part in self._due] + self._travel.abandon()
            self._due.clear()
            for part in parts:
                self._end(part, "failed", None, "the line stopped before the part was at the actuator")
