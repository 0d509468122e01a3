"""From waiting parts to verdicts: the engine's threads, one for each batch in flight, and the one that judges behind
them."""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...contract.graph import Scores
from ...errors import GpuLostError, ResultError, SnlEdgeError
from ..control.interface import Check
from .judges import Judges
from .parts import Part, Parts, Waiting
from .recipe import EngineSettings, Recipe
from .recorder import Recorder
from .ruling import Ruling

_log = logging.getLogger(__name__)
_RETRY_FIRST_S, _RETRY_MOST_S = 0.5, 30.0


class Inspected(NamedTuple):
    """A batch that an engine has run: its parts, their scores, and by number of the part the maps that were wanted."""

    parts: list[Part]
    scores: Scores
    maps: dict[int, NDArray[np.float32]]


class Engine(threading.Thread):
    """Takes batches, runs them and hands the results to the `Judgement`.

    When the engine fails, the batch's parts get the fail-safe verdict ``engine`` at once, and so do all that follow
    until it could be loaded again: tried with growing pauses. Where the GPU is lost to this process, nothing is tried
    any more: `lost` says why, and the line has to end.

    Attributes:
        lost: why only a fresh process can go on; empty while this one can.
    """

    def __init__(
        self,
        number: int,
        settings: EngineSettings,
        parts: Parts,
        waiting: Waiting,
        results: Judgement,
    ) -> None:
        super().__init__(name=f"engine {number}", daemon=True)
        self.lost = ""
        self._busy_since: float | None = None
        self._broken_since: float | None = None
        self._doubtful = False
        self._number = number
        self._max_wait = settings.max_wait_ms / 1000
        self._parts = parts
        self._waiting = waiting
        self._results = results
        self._recipe: Recipe | None = None
        self._problem = ""
        self._retry_at = 0.0
        self._pause = _RETRY_FIRST_S

    def run(self) -> None:
        """The thread's body; ends when the queue is closed and empty."""
        while taken := self._waiting.take(self._max_wait):
            batch: list[Part] = []
            for part in taken:  # looked at once: a deadline may decide one at any moment
                if part.decided:
                    part.release()
                else:
                    batch.append(part)
            if batch:
                self._judge(batch)

    def _judge(self, batch: list[Part]) -> None:
        recipe = batch[0].recipe
        assert recipe is not None
        self._busy_since = begun = time.monotonic()
        try:
            self._make_ready(recipe)
            in_force = recipe.in_force
            for part in batch:
                part.in_force = in_force
            images = _images(recipe.inputs, [part.slot for part in batch])
            detector = recipe.detectors[self._number]
            scores, maps = detector.inspect(images, lambda scores: self._wanted(batch, scores))
        except Exception as error:  # whatever a library raises, no part may wait for ever
            # A result that is no number may be one picture's own; of two batches in a row it is the engine's.
            if not isinstance(error, ResultError) or self._doubtful:
                self._break(error)
            else:
                _log.error("%s", error)
            self._doubtful = isinstance(error, ResultError)
            for part in batch:
                part.release()
                self._parts.fail(part, "engine")
            return
        finally:
            self._busy_since = None
        self._broken_since = None
        self._doubtful = False
        seconds = time.monotonic() - begun
        for part in batch:
            part.release()
            part.stages["wait"] = begun - part.queued
            part.stages["inference"] = seconds
        self._results.put(Inspected(batch, scores, maps))

    def _wanted(self, batch: list[Part], scores: Scores) -> list[int]:
        """Which parts' maps are worth a copy to the host."""
        rows = zip(scores.score.tolist(), scores.product.tolist(), scores.product_distance.tolist(), strict=True)
        return [
            row
            for row, (part, found) in enumerate(zip(batch, rows, strict=True))
            if self._results.wants_map(part, *found)
        ]

    def _make_ready(self, recipe: Recipe) -> None:
        """Loads a broken engine again; raises while it is not time yet."""
        if recipe is not self._recipe:
            self._recipe, self._broken_since = recipe, None
        if self.lost:
            raise SnlEdgeError(self.lost)
        if self._broken_since is None:
            return
        if time.monotonic() < self._retry_at:
            raise SnlEdgeError(self._problem)
        recipe.reload(self._number)

    def _break(self, error: Exception) -> None:
        now = time.monotonic()
        if self._broken_since is None:
            self._broken_since, self._pause = now, _RETRY_FIRST_S
        elif now < self._retry_at:
            return
        self._problem = str(error) or type(error).__name__
        if isinstance(error, GpuLostError):
            self.lost = self._problem
        self._retry_at = now + self._pause
        self._pause = min(2 * self._pause, _RETRY_MOST_S)

    @property
    def stuck_for(self) -> float:
        """Seconds that the running batch has taken."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def broken_for(self) -> float:
        """Seconds since the engine failed; 0 while it works."""
        since = self._broken_since
        return 0.0 if since is None else time.monotonic() - since

    def check(self, stuck_after_s: float) -> Check:
        """Its line on the health page."""
        name = self.name if self._number else "engine"
        if self.lost:
            return Check(name, "failed", f"{self.lost} Parts get the fail-safe verdict until then")
        if self.broken_for:
            return Check(
                name, "failed", f"{self._problem} Parts get the fail-safe verdict; it is loaded again and again"
            )
        if self.stuck_for > stuck_after_s:
            return Check(name, "failed", f"one batch has been running for {self.stuck_for:.0f} s")
        if not self.is_alive():
            return Check(name, "failed", "its thread has ended; restart the service")
        return Check(name, "ok", self._recipe.reason if self._recipe else "ready")


def _images(inputs: NDArray[np.uint8], slots: list[int]) -> NDArray[np.uint8]:
    """The pictures in these places. They are handed out in order: a batch usually lies in one piece, and is not
    copied."""
    first, last = slots[0], slots[-1]
    return inputs[first : last + 1] if slots == list(range(first, last + 1)) else inputs[slots]


class Judgement(threading.Thread):
    """Judges what the engines give, while they run the next batch, and hands each verdict to the `Ruling`."""

    def __init__(
        self, judges: Judges, ruling: Ruling, parts: Parts, recorder: Recorder, *, block: bool, batches: int
    ) -> None:
        super().__init__(name="judgement", daemon=True)
        self._judges = judges
        self._ruling = ruling
        self._parts = parts
        self._recorder = recorder
        self._block = block
        self._batches: queue.Queue[Inspected | None] = queue.Queue(batches)

    def wants_map(self, part: Part, score: float, nearest: int, distance: float) -> bool:
        """Whether a part's anomaly map is worth a copy to the host: it is needed, or somebody wants to see it."""
        return self._judges.of(part).needs_map(score, nearest, distance) or self._recorder.wants_map(part.camera)

    def put(self, inspected: Inspected) -> None:
        """Hands a batch over; waits where judgement is behind."""
        self._batches.put(inspected)

    def run(self) -> None:
        """The thread's body; ends at `finish`."""
        while (item := self._batches.get()) is not None:
            for index, part in enumerate(item.parts):
                begun = time.monotonic()
                anomaly_map = item.maps.get(index)
                score, nearest, distance = (output[index].item() for output in item.scores)
                try:
                    judged = self._judges.of(part).judge(anomaly_map, score, nearest, distance)
                    record = self._ruling.record(part, judged)
                except Exception:  # whatever is wrong with one part, the next one must be judged
                    _log.exception("judging part %d of %s", part.sequence, part.camera)
                    self._parts.fail(part, "engine")
                    continue
                part.stages["judge"] = time.monotonic() - begun
                self._parts.decide(part, record, anomaly_map)
            if self._block:
                self._recorder.wait_for_room()

    def finish(self) -> None:
        """Judges what is there and ends the thread; call it once the engines have ended."""
        self._batches.put(None)
        self.join()
