"""The engine's thread: waiting parts in, verdicts out. One for each batch in flight, and one that judges."""

from __future__ import annotations

import logging
import queue
import threading
import time

from ..errors import SnlEdgeError
from ..runtime.prediction import Prediction
from .control import Check
from .judging import Judge
from .part import Part, Parts
from .recipe import Recipe
from .recorder import Recorder
from .settings import EngineSettings
from .waiting import Waiting

_log = logging.getLogger(__name__)
_RETRY_FIRST_S, _RETRY_MOST_S = 0.5, 30.0


class Engine(threading.Thread):
    """Takes batches, runs them and hands the results to the `Judgement`.

    When the engine fails, the batch's parts get the fail-safe verdict ``engine`` at once, and so do all that follow
    until it could be loaded anew: tried with growing pauses.
    """

    def __init__(
        self, number: int, settings: EngineSettings, parts: Parts, waiting: Waiting, results: Judgement
    ) -> None:
        super().__init__(name=f"engine {number}", daemon=True)
        self._busy_since: float | None = None
        self._broken_since: float | None = None
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
            batch = [part for part in taken if not part.decided]
            for part in taken:
                if part.decided:
                    part.release()
            if batch:
                self._judge(batch)

    def _judge(self, batch: list[Part]) -> None:
        recipe = batch[0].recipe
        assert recipe is not None
        self._busy_since = begun = time.monotonic()
        try:
            self._make_ready(recipe)
            prediction = recipe.predict([part.slot for part in batch], self._number)
        except Exception as error:  # whatever a library raises, no part may wait for ever
            self._break(error)
            for part in batch:
                part.release()
                self._parts.fail(part, "engine")
            return
        finally:
            self._busy_since = None
        self._broken_since = None
        seconds = time.monotonic() - begun
        for part in batch:
            part.release()
            part.stages["wait"] = begun - part.queued
            part.stages["inference"] = seconds
        self._results.put(batch, prediction)

    def _make_ready(self, recipe: Recipe) -> None:
        """Loads a broken engine anew; raises while it is not time yet."""
        if recipe is not self._recipe:
            self._recipe, self._broken_since = recipe, None
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
        if self.broken_for:
            return Check(
                name, "failed", f"{self._problem} Parts get the fail-safe verdict; it is loaded again and again"
            )
        if self.stuck_for > stuck_after_s:
            return Check(name, "failed", f"one batch has been running for {self.stuck_for:.0f} s")
        if not self.is_alive():
            return Check(name, "failed", "its thread has ended; restart the service")
        return Check(name, "ok", self._recipe.reason if self._recipe else "ready")


class Judgement(threading.Thread):
    """Judges what the engines give, while they run the next batch."""

    def __init__(self, judge: Judge, parts: Parts, recorder: Recorder, *, block: bool, batches: int) -> None:
        super().__init__(name="judgement", daemon=True)
        self._judge = judge
        self._parts = parts
        self._recorder = recorder
        self._block = block
        self._batches: queue.Queue[tuple[list[Part], Prediction] | None] = queue.Queue(batches)

    def put(self, batch: list[Part], prediction: Prediction) -> None:
        """Hands a batch over; waits where judgement is behind."""
        self._batches.put((batch, prediction))

    def run(self) -> None:
        """The thread's body; ends at `finish`."""
        while (item := self._batches.get()) is not None:
            batch, prediction = item
            for index, part in enumerate(batch):
                begun = time.monotonic()
                try:
                    record = self._judge.record(
                        part,
                        prediction.anomaly_map[index],
                        float(prediction.score[index]),
                        int(prediction.product[index]),
                        float(prediction.product_distance[index]),
                    )
                except Exception:  # as above
                    _log.exception("judging part %d of %s", part.sequence, part.camera)
                    self._parts.fail(part, "engine")
                    continue
                part.stages["judge"] = time.monotonic() - begun
                self._parts.decide(part, record, prediction.anomaly_map[index])
            if self._block:
                self._recorder.wait_for_room()

    def finish(self) -> None:
        """Judges what is there and ends the thread; call it once the engines have ended."""
        self._batches.put(None)
        self.join()
