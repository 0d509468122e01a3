"""The wall clock, and whether it can be believed."""

from __future__ import annotations

import ctypes
import time

_JUMP_S = 3600.0
_TIME_ERROR = 5
_TIMEX = 1024
"""Bytes; `struct timex` of Linux has 208 on 64 bits. All zero it asks, and sets nothing."""


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
