"""When a picture was received, also where it then lay in a buffer until it was read."""

from __future__ import annotations

import time
from collections import deque

_WINDOW_S = 10.0
"""How long the fastest delivery is remembered: a camera's clock runs at a rate of its own, and must not seem late."""


class Arrivals:
    """Tells a picture that waited in a driver's or decoder's buffer by the source's own time stamps.

    Reading time minus time stamp is smallest for a picture that is read as soon as it comes; how much larger it is for
    another is how long that one has waited. The two clocks need not agree. For one thread.
    """

    def __init__(self) -> None:
        self._fastest: deque[tuple[float, float]] = deque()
        self._last: float | None = None

    def of(self, stamp: float | None, read: float | None = None) -> float:
        """When the picture was received, monotonic seconds.

        Args:
            stamp: the source's time of it, seconds of any clock; None where it has none, or one that stands still: then
                it counts as received when it was read.
            read: when it was read, monotonic seconds; now if not given.
        """
        read = time.monotonic() if read is None else read
        if stamp is None or stamp == self._last:
            return read
        if self._last is not None and stamp < self._last:  # the stream, or its clock, has begun again
            self._fastest.clear()
        self._last = stamp
        delay = read - stamp
        while self._fastest and self._fastest[-1][1] >= delay:
            self._fastest.pop()
        self._fastest.append((read, delay))
        while self._fastest[0][0] < read - _WINDOW_S:
            self._fastest.popleft()
        return read - (delay - self._fastest[0][1])
