"""The queue between cameras and engine: bounded, with a declared policy for when the engine is the slower."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Literal

from .part import Part

QueuePolicy = Literal["newest", "block"]


class Waiting:
    """Parts whose pictures are ready. Any thread may call any method.

    Args:
        limit: how many may wait.
        policy: when it is full, ``newest`` pushes the oldest out, ``block`` makes the camera wait.
    """

    def __init__(self, limit: int, policy: QueuePolicy) -> None:
        self._limit = limit
        self._policy: QueuePolicy = policy
        self._changed = threading.Condition()
        self._parts: deque[Part] = deque()
        self._closed = False

    def put(self, part: Part) -> Part | None:
        """Adds a part; returns the one that had to go for it, if any."""
        dropped = None
        with self._changed:
            if self._policy == "block":
                self._changed.wait_for(lambda: len(self._parts) < self._limit or self._closed)
            elif len(self._parts) >= self._limit:
                dropped = self._parts.popleft()
            part.queued = time.monotonic()
            self._parts.append(part)
            self._changed.notify_all()
        return dropped

    def take(self, max_wait: float) -> list[Part]:
        """A batch: parts of one recipe, the oldest first; waits for the first, then ``max_wait`` seconds for others.

        Empty only when the queue is closed and done.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._parts or self._closed)
            if not self._parts:
                return []
            recipe = self._parts[0].recipe
            most = 1 if recipe is None else recipe.max_batch
            if max_wait and len(self._parts) < most:
                left = self._parts[0].queued + max_wait - time.monotonic()
                self._changed.wait_for(lambda: len(self._parts) >= most or self._closed, max(0.0, left))
            taken: list[Part] = []
            while self._parts and len(taken) < most and self._parts[0].recipe is recipe:
                taken.append(self._parts.popleft())
            self._changed.notify_all()
        return taken

    def close(self) -> None:
        """Lets nobody wait any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        return len(self._parts)
