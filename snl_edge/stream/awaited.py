"""Records whose picture is still being written: on disk and acted upon, but not yet for sinks, which name it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

from .record import Entry


class Awaited:
    """Ids of such records. Any thread may call any method."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: set[int] = set()
        self._settled = 0

    def expect(self, ids: Collection[int]) -> None:
        """Notes records; to be called before they can be read."""
        with self._lock:
            self._ids.update(ids)

    def settle(self, ids: Collection[int]) -> None:
        """What was to come has come, or never will; to be called once the row says so."""
        with self._lock:
            self._ids.difference_update(ids)
            self._settled += 1

    def clear(self) -> None:
        """Nothing will come any more."""
        with self._lock:
            self._ids.clear()
            self._settled += 1

    def whole(self, read: Callable[[], list[Entry]]) -> list[Entry]:
        """What ``read`` gives, oldest first, up to the first that is awaited."""
        while True:
            with self._lock:
                settled = self._settled
            entries = read()
            with self._lock:
                first = min(self._ids, default=None)
                # A record that was settled meanwhile may have been read as it was before: read again.
                if settled == self._settled:
                    return entries if first is None else [entry for entry in entries if entry.id < first]
