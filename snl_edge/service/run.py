"""`snl-edge stream run`: a line with everything around it, until its pictures end or someone stops it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import GpuLostError
from ..progress import console
from ..stream.capture.triggers import Software, StdinTriggers
from ..stream.config.line_config import LineConfig
from ..stream.line import RunningLine
from .log import throttled_log
from .open_files import Descriptors, raise_limit

_LOOK_S = 0.1


def run_line(config: LineConfig) -> RunningLine:
    """Runs a line until SIGTERM, Ctrl-C or the end of its pictures, and drains it; returns it, stopped.

    Raises:
        GpuLostError: the GPU takes no more work in this process; the line was drained, and must be started again.
        SnlEdgeError: it cannot be started, or the journal could not be closed.
    """
    descriptors = Descriptors.of(config)
    raise_limit()
    with throttled_log(), _signals() as stop:
        line = RunningLine(config)
        line.beside.append(descriptors.checks)
        dashboard = None
        try:
            if config.dashboard is not None:
                from ..dashboard.server import DashboardServer

                settings = config.dashboard.model_copy(update={"connections": descriptors.connections})
                dashboard = DashboardServer(line, line.journal, settings, line.metrics.registry)
                line.beside.append(dashboard.checks)
            line.start()
            if (lost := line.status().unaccounted) is not None:
                console.print(f"{lost} have no known outcome: check the bin, then acknowledge")
            _listen(line)
            if dashboard is not None:
                dashboard.start()
                console.print(f"dashboard: {dashboard.url}")
            console.print(f"line {config.name}: {line.state.recipe.reason}; journal in {config.journal.folder}")
            while not line.ended and not line.lost and not stop.wait(_LOOK_S):
                pass
        finally:
            if dashboard is not None:
                dashboard.stop()
            line.stop("SIGTERM" if stop.is_set() else "line")
    counts = ", ".join(f"{count} {verdict}" for verdict, count in line.tally.verdicts.items())
    console.print(f"line {config.name} stopped: {counts}")
    if line.lost:
        raise GpuLostError(line.lost)
    return line


def _listen(line: RunningLine) -> None:
    """Takes triggers from standard input where a camera asks for it."""
    fires = {
        camera.name: line.cameras[camera.name].trigger
        for camera in line.config.cameras
        if isinstance(camera.trigger, Software) and camera.trigger.stdin
    }
    if fires:
        triggers = StdinTriggers(fires, console.print)
        triggers.start()
        line.beside.append(triggers.checks)


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """SIGTERM and Ctrl-C ask for an orderly end; a second Ctrl-C ends at once.

    SIGTERM however often does not: a supervisor may send it to each process and to the group, or once more after a
    while, and draining is bounded. Who wants it to end at once has SIGKILL.
    """
    asked = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def ask(number: int, _: object) -> None:
        asked.set()
        if number == signal.SIGINT:
            signal.signal(number, before[signal.SIGINT])

    for number in before:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
