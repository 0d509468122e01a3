"""A promise kept on time: what has not settled within a fixed time is called back for."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
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
