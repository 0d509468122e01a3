"""Time on a line: promises kept on time, and whether the wall clock can be believed."""

from __future__ import annotations

import ctypes
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
_JUMP_S = 3600.0
_TIME_ERROR = 5
_TIMEX = 1024
"""Bytes; `struct timex` of Linux has 208 on 64 bits. All zero it asks, and sets nothing."""
_log = logging.getLogger(__name__)


class DueList(Generic[T]):
    """Items that fall due a fixed time after their start, on the monotonic clock. Any thread may call any method.

    Args:
        seconds: from start to due.
        settled: whether an item needs no more attention.
        expired: is called, on the thread that runs `run`, for each item that fell due unsettled.
    """

    def __init__(self, seconds: float, settled: Callable[[T], bool], expired: Callable[[T], object]) -> None:
        self._seconds = seconds
        self._settled = settled
        self._expired = expired
        self._changed = threading.Condition()
        self._items: deque[tuple[float, T]] = deque()
        self._closed = False

    def add(self, item: T, start: float) -> None:
        """Watches ``item``; items are added in the order of their starts, give or take a little."""
        with self._changed:
            # Settled ones go now, not when they would fall due: they may hold pictures.
            while self._items and self._settled(self._items[0][1]):
                self._items.popleft()
            self._items.append((start + self._seconds, item))
            if len(self._items) == 1:
                self._changed.notify()

    def run(self) -> None:
        """Calls back until `close`."""
        while True:
            with self._changed:
                while self._items and self._settled(self._items[0][1]):
                    self._items.popleft()
                if self._closed:
                    return
                wait = self._items[0][0] - time.monotonic() if self._items else None
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                    continue
                item = self._items.popleft()[1]
            try:
                self._expired(item)
            except Exception:  # one item's trouble must not cost the others their time
                _log.exception("calling back for %r", item)

    def close(self) -> None:
        """Ends `run`."""
        with self._changed:
            self._closed = True
            self._changed.notify()


class Clock:
    """Compares the wall clock with the monotonic one since its making.

    A controller without a battery starts in 1970 and jumps when the network tells the time: what is "older than 90
    days" is then no ground for removing anything. Deadlines and latencies use the monotonic clock alone.
    """

    def __init__(self) -> None:
        self._difference = time.time() - time.monotonic()

    @property
    def steady(self) -> bool:
        """Whether the wall clock has jumped by less than an hour."""
        return abs(time.time() - time.monotonic() - self._difference) < _JUMP_S


def clock_synchronised() -> bool | None:
    """Whether something keeps the machine's clock in step with others, as the kernel has it (adjtimex(2)).

    chrony (with ``rtcsync``) and systemd-timesyncd tell the kernel so. None where it cannot be asked.
    """
    try:
        answer = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX))
    except (OSError, AttributeError):
        return None
    return None if answer < 0 else answer != _TIME_ERROR
