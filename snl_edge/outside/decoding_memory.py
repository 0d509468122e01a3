"""Memory for pictures that are being decoded, shared by all threads of the process.

Data sets are looked at in as many threads as there are cores. Pictures of a common camera fit side by side; of very
large ones only as many are decoded at once as fit, and one that is larger than all of it goes alone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .files import GIB

MOST = 2 * GIB
"""Bytes; reached by three pictures of 100 megapixels, or thirty of 12."""


class DecodingMemory:
    """Counts bytes that are in use; whoever wants more than is left waits."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._used = 0
        self._freed = threading.Condition()
        self._mine = threading.local()

    @contextmanager
    def held(self) -> Iterator[None]:
        """What this thread decodes inside counts until the end: the picture is still looked at.

        Without it a picture counts while it is decoded. Only the first of several waits for memory, as the thread that
        holds one and waits for a second could wait for another that does the same.
        """
        if getattr(self._mine, "held", None) is not None:
            yield
            return
        self._mine.held = 0
        try:
            yield
        finally:
            self._give_back(self._mine.held)
            self._mine.held = None

    @contextmanager
    def taken(self, wanted: int) -> Iterator[None]:
        """Waits until ``wanted`` bytes are free, or nobody else has any; within another of this thread it is that."""
        if getattr(self._mine, "inside", False):
            yield
            return
        held: int | None = getattr(self._mine, "held", None)
        with self._freed:
            if not held:
                self._freed.wait_for(lambda: self._used == 0 or self._used + wanted <= self._most)
            self._used += wanted
        self._mine.inside = True
        try:
            yield
        finally:
            self._mine.inside = False
            if held is None:
                self._give_back(wanted)
            else:
                self._mine.held += wanted

    def _give_back(self, wanted: int) -> None:
        with self._freed:
            self._used -= wanted
            self._freed.notify_all()


decoding_memory = DecodingMemory()
"""The process's."""
