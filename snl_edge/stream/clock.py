"""The wall clock, and whether it can be believed."""

from __future__ import annotations

import time

_JUMP_S = 3600.0


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
