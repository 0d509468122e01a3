"""Who hears of verdicts: actuators at once, sinks from the journal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from ..control.commands import Commands
from ..control.interface import Check, State
from ..journal.journal import Journal
from ..pipeline.parts import Part
from ..records.record import Record
from .actuators import Account, Actuators, ActuatorThread, OutcomeLog, build_actuator
from .sinks import Forwarder, OpcUaSink, Sinks, build_sink


class Outputs:
    """All actuators and sinks of a line. Any thread may call any method.

    Args:
        actuators, sinks: their settings.
        journal: what sinks deliver from.
        state: of the line, for those whom sinks tell.
        fault: why the line gives no verdicts, None while it does: a PLC's heartbeat stands still with one.
        commands: what receivers may ask of the line, where a sink's settings let them.

    Attributes:
        account: whether every reject has its outcome.

    Raises:
        ConfigError: a package or a chip that one needs is missing.
    """

    def __init__(
        self,
        actuators: Actuators,
        sinks: Sinks,
        journal: Journal,
        state: Callable[[], State],
        fault: Callable[[], str | None],
        commands: Commands,
    ) -> None:
        self._journal = journal
        self._outcomes = OutcomeLog(journal)
        self._actuators: list[ActuatorThread] = [
            build_actuator(settings, self._outcomes, fault) for settings in actuators
        ]
        self.account = Account(journal, self._outcomes, self._actuators)
        self._open_to_all = [
            Check(
                f"login {sink.name or sink.type}",
                "warning",
                f"anyone who reaches {sink.host} may read verdicts: anonymous is true",
            )
            for sink in sinks
            if isinstance(sink, OpcUaSink) and sink.open_to_all
        ]
        self._sinks: list[Forwarder] = [build_sink(settings, journal, state, commands) for settings in sinks]

    def start(self) -> None:
        """Starts them, before the first trigger."""
        for thread in self.threads:
            thread.start()

    @property
    def threads(self) -> Sequence[threading.Thread]:
        """Those that run from `start` to `stop`."""
        return (self._outcomes, *self._actuators, *self._sinks)

    def triggered(self, part: Part) -> None:
        """Tells actuators that the line has moved on."""
        for actuator in self._actuators:
            actuator.moved(part.camera, part.started, part.sequence, part.encoder)

    def concerned(self, record: Record) -> list[str]:
        """The actuators that are to move for a record."""
        return [actuator.name for actuator in self._actuators if actuator.concerned(record)]

    def act(self, record: Record, started: float) -> None:
        """Moves what is to move for a record; ``started`` is its trigger's time on the monotonic clock."""
        for actuator in self._actuators:
            actuator.submit(record, self._journal.run, started)

    def wake(self) -> None:
        """Tells sinks that the journal has something new."""
        for sink in self._sinks:
            sink.wake()

    def checks(self) -> list[Check]:
        """One line each."""
        account = self.account.check()
        found = [output.check() for output in (*self._actuators, *self._sinks)] + self._open_to_all
        return found + ([account] if account else [])

    def outcomes(self) -> dict[tuple[str, str], int]:
        """How many parts each actuator has moved for in time, and missed, in this run: by its name and the outcome."""
        return {
            (actuator.name, outcome): count
            for actuator in self._actuators
            for outcome, count in (("done", actuator.done), ("late", actuator.late), ("failed", actuator.failed))
        }

    def backlogs(self) -> dict[str, int]:
        """Records that each sink has still to deliver."""
        return {sink.name: sink.backlog for sink in self._sinks}

    def stop(self, seconds: float) -> None:
        """Moves for the parts on their way and delivers; what a sink cannot deliver goes out after the next start."""
        for actuator in self._actuators:
            actuator.stop(seconds)
        self._outcomes.stop(seconds)
        for sink in self._sinks:  # all are asked first: receivers that are away must not add up their waits
            sink.finish(seconds)
        for sink in self._sinks:
            sink.stop(seconds)
