"""Parts on their way through the line: where they wait for the engine, and where each is decided exactly once."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...runtime.manifest import Colours
from ..records.record import NO_ORDER, Order, PictureFile, Record
from ..timing import DueList
from .recipe import InForce, Recipe

QueuePolicy = Literal["newest", "block"]
NO_DEADLINE = 1e9


@dataclass(eq=False, slots=True)
class Part:
    """One triggered part, from its trigger to its verdict."""

    camera: str
    sequence: int
    captured: float
    """Wall clock at the trigger."""
    started: float
    """Monotonic clock at the trigger."""
    id: str | None = None
    encoder: int | None = None
    order: Order = NO_ORDER
    """What was being made at its trigger."""
    file: PictureFile | None = None
    """Where its picture came from, if from a folder."""
    old: bool = False
    """It was there before the line started: judged and recorded, but nothing may move for it any more."""
    frame: NDArray[np.uint8] | None = None
    """The inspected region, ``uint8 [h, w, 3]`` in ``colours``; it may be the source's own memory: never written to."""
    recipe: Recipe | None = None
    slot: int = -1
    """Where in the recipe's ``inputs`` its prepared picture lies; -1 where it has none."""
    in_force: InForce | None = None
    """What decides, as it was when the picture was inspected: what is asked of the engine and what is made of its
    answer must not fall on both sides of a change."""
    received: float | None = None
    """Monotonic clock when its picture was received; None where it has none, or it was fetched for the part."""
    brightness: float | None = None
    focus: float | None = None
    queued: float = 0.0
    """Monotonic clock when its picture was ready."""
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds spent in each stage."""
    decided: bool = False

    @property
    def colours(self) -> Colours:
        """Order of the colours in ``frame``."""
        return "rgb" if self.recipe is None else self.recipe.takes.colours

    def release(self) -> None:
        """Gives its slot back; a second call does nothing."""
        if self.slot >= 0 and self.recipe is not None:
            self.recipe.release(self.slot)
            self.slot = -1


Decided = Callable[[Part, Record, "NDArray[np.float32] | None"], None]
Counted = Callable[[Part, Record], None]


class Parts:
    """All parts without a verdict. Numbers the triggers, and lets exactly one verdict through for each.

    Whoever comes first decides: judgement, the deadline, a fault, the end of the run.

    Args:
        deadline: seconds from trigger to verdict; None if there is none.
        failsafe: makes the record of a part that cannot be judged, from the part and the reason.
        counted: is told of every part and its one record.
        decided: is then handed them, and the anomaly map where there is one.
        triggered: is told of every part at its trigger.
    """

    def __init__(
        self,
        deadline: float | None,
        failsafe: Callable[[Part, str], Record],
        counted: Counted,
        decided: Decided,
        triggered: Callable[[Part], None],
    ) -> None:
        self._failsafe = failsafe
        self._counted = counted
        self._decided = decided
        self._triggered = triggered
        self._changed = threading.Condition()
        self._open: set[Part] = set()
        self._next: Counter[str] = Counter()
        self._closed = False
        self.late = 0
        """Results that came after their part's verdict."""
        self.deadlines: DueList[Part] = DueList(
            NO_DEADLINE if deadline is None else deadline,
            lambda part: part.decided,
            lambda part: self.fail(part, "deadline"),
        )

    def open(self, camera: str, part_id: str | None = None, encoder: int | None = None) -> Part | None:
        """A new part, triggered now; None once the run is ending."""
        with self._changed:
            if self._closed:
                return None
            part = Part(camera, self._next[camera], time.time(), time.monotonic(), part_id, encoder)
            self._next[camera] += 1
            self._open.add(part)
            self.deadlines.add(part, part.started)
            self._triggered(part)  # in order: actuators count parts
        return part

    def decide(self, part: Part, record: Record, anomaly_map: NDArray[np.float32] | None = None) -> bool:
        """Passes the verdict on; False if the part had one already: then this one is late."""
        with self._changed:
            if part.decided:
                self.late += record.verdict != "failsafe"
                return False
            part.decided = True
        # Before the part counts as done: who waits for the last part finds it with the recorder.
        try:
            self._counted(part, record)
            self._decided(part, record, anomaly_map)
        finally:
            with self._changed:
                self._open.discard(part)
                if not self._open:
                    self._changed.notify_all()
        return True

    def fail(self, part: Part, reason: str) -> bool:
        """The fail-safe verdict with this reason, unless the part has a verdict already."""
        return not part.decided and self.decide(part, self._failsafe(part, reason))

    def close(self, seconds: float) -> None:
        """Takes no further triggers, waits for open parts; the rest get the verdict ``shutdown`` after ``seconds``."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._open, seconds)
            left = sorted(self._open, key=lambda part: part.started)
        for part in left:
            self.fail(part, "shutdown")
        with self._changed:  # a verdict that came first may still be on its way to the recorder
            self._changed.wait_for(lambda: not self._open, seconds)
        self.deadlines.close()

    @property
    def opened(self) -> int:
        """How many parts were triggered."""
        return sum(self._next.values())

    @property
    def waiting(self) -> int:
        """How many parts have no verdict yet."""
        return len(self._open)


class Waiting:
    """The queue between cameras and engine: parts whose pictures are ready. Any thread may call any method.

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
