"""How a command ends that is told to: its files are put in order first."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType

ONE_REQUEST_S = 1.0
"""A supervisor may send SIGTERM to the process and to its group: what comes so soon after the first is the same."""


class Stopped(KeyboardInterrupt):
    """SIGTERM, or the end of the terminal, on its way through whatever has to be tidied up."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


def raise_on_signals() -> None:
    """From now on SIGTERM and SIGHUP raise `Stopped` in the main thread, as Ctrl-C raises KeyboardInterrupt.

    Left alone they would end the process at once and leave its temporary files. A signal that the caller ignores, as
    ``nohup`` does, stays ignored.
    """
    last = -ONE_REQUEST_S

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= ONE_REQUEST_S:
            last = now
            raise Stopped(number)

    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, handler)


def status_of(stop: KeyboardInterrupt) -> int:
    """The exit status of a command that ``stop`` ended: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""
    return 128 + (stop.number if isinstance(stop, Stopped) else signal.SIGINT)
