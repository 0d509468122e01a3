"""Ctrl-C and a service manager's stop, held back until a training step is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def held_back_interrupt() -> Iterator[threading.Event]:
    """Yields an event that SIGINT or SIGTERM sets instead of stopping the program at once.

    A step that stops halfway leaves weights, optimiser and batch statistics that do not belong together.
    A second signal stops at once. Outside the main thread, where Python takes no signals, nothing changes.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def handler(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    earlier = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, previous in earlier.items():
            signal.signal(number, previous)
