"""Whether each reject is accounted for: whose outcome nobody knows, what waits for too long, what cannot be written."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress

from ...control.interface import Check
from ...journal import actuations
from ...journal.journal import Journal
from .outcomes import OutcomeLog
from .schedule import ActuatorThread

NAME = "actuation record"
LONG_S = 60.0
"""An intent that is open for longer than its way to the actuator and this is told."""


class Account:
    """Looks at the intents and outcomes in a journal. Any thread may call any method."""

    def __init__(self, journal: Journal, log: OutcomeLog, actuators: Sequence[ActuatorThread]) -> None:
        self._journal = journal
        self._log = log
        self._actuators = actuators

    def check(self) -> Check | None:
        """The line on the health page; None where nothing moves and nothing is left to look for."""
        try:
            with self._journal.reading() as connection:
                lost = actuations.unaccounted(connection)
                waiting = actuations.waiting(connection)
                overdue, standing = self._long(connection)
        except sqlite3.Error as error:
            return Check(NAME, "failed", f"the journal cannot be read: {error}")
        if not self._actuators and lost is None:
            return None
        failed = [trouble] if (trouble := self._log.trouble) else []
        if lost is not None:
            failed.append(f"{lost} {_have(lost.rejects)} no known outcome: check the bin, then acknowledge")
        told = [f"{waiting} {'reject' if waiting == 1 else 'rejects'} on the way"] if waiting else []
        told += [f"{standing} of them for more than {LONG_S:.0f} s, as the line stands still"] if standing else []
        told += [f"{overdue} of them should have had an outcome {LONG_S:.0f} s ago"] if overdue else []
        if failed or overdue:
            return Check(NAME, "failed" if failed else "warning", "; ".join([*failed, *told]))
        rest = "of all others the outcome is in the journal" if told else "every reject's outcome is in the journal"
        return Check(NAME, "ok", "; ".join([*told, rest]))

    @property
    def waiting(self) -> int | None:
        """Intents that are open; None while the journal cannot be read."""
        with suppress(sqlite3.Error), self._journal.reading() as connection:
            return actuations.waiting(connection)
        return None

    def _long(self, connection: sqlite3.Connection) -> tuple[int, int]:
        """Open for too long: without a reason, and since the line has not moved so far."""
        overdue = standing = 0
        for actuator in self._actuators:
            before = time.time() - LONG_S - actuator.settings.travel.delay_ms / 1e3
            count = actuations.waiting(connection, actuator.name, before)
            still = min(count, actuator.standing)
            standing += still
            overdue += count - still
        return overdue, standing


def _have(count: int) -> str:
    return "has" if count == 1 else "have"
