"""From the graph's outputs to the record of a part, on a thread of its own: verdict, blobs, what the line is to do."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ...contract.graph import Scores
from ...runtime.tuning import standing_doubts
from ...runtime.verdict import Decision, Judge
from ..records.record import Action, PictureFile, Record
from ..settings import FailsafeAction, Settings
from .parts import Part, Parts
from .recipe import InForce, LineState
from .recorder import Recorder

_log = logging.getLogger(__name__)


class NofM(Settings):
    """At least ``rejects`` among the last ``of`` judged pictures of a camera, the present one included."""

    rejects: int = Field(ge=1)
    """How many at least."""
    of: int = Field(ge=1, le=1000)
    """Among how many."""

    @model_validator(mode="after")
    def _possible(self) -> NofM:
        if self.rejects > self.of:
            raise ValueError("rejects cannot be more than of")
        return self


class Rules(Settings):
    """What follows from a verdict."""

    unknown: Action = "hold"
    """What the line does with an unknown product."""
    mismatch: FailsafeAction | None = None
    """What it does with a part that is not, or may not be, the camera's ``product`` (reason ``mismatch``, ``unlearned``
    or ``region``); as ``unknown`` if not given, but hold where that is pass."""
    failsafe: FailsafeAction = "reject"
    """What the line does with a part that could not be judged."""
    confirm: NofM | None = None
    """Act on a reject only when it is one of several: for endless goods, or several pictures of each part. The verdict
    stays ``reject``, the action becomes ``pass`` and the reason ``unconfirmed``."""
    alarm: NofM | None = None
    """Raise an alarm on the health page when rejects pile up: a tool may be broken, or the light."""

    @property
    def on_mismatch(self) -> FailsafeAction:
        """``mismatch``, or what stands for it."""
        return self.mismatch or ("hold" if self.unknown == "pass" else self.unknown)


class Ruling:
    """What becomes of a part: makes its record from what the `Judge` says and the line's rules.

    Only one thread calls `record`; any may call `needs_map` and `failsafe`.

    Attributes:
        rules: what follows from a verdict.

    Args:
        products: by camera, what it always sees.
        uncompared: cameras whose product is not held against what is recognised.
    """

    def __init__(
        self, rules: Rules, state: LineState, products: Mapping[str, str | None], uncompared: Collection[str] = ()
    ) -> None:
        self.rules = rules
        self._state = state
        self._ignored: dict[tuple[str, tuple[int, int]], NDArray[np.bool_] | None] = {}
        self._products = products
        self._uncompared = frozenset(uncompared)
        self._judges: dict[str, tuple[InForce, Judge]] = {}
        longest = max(rule.of if rule else 1 for rule in (rules.confirm, rules.alarm))
        self._recent = {camera: deque[bool](maxlen=longest) for camera in products}

    def ignore(self, camera: str, size: tuple[int, int], ignored: NDArray[np.bool_] | None) -> None:
        """Sets which pixels ``bool [H, W]`` of a camera's maps of this size do not count; needed before the first."""
        self._ignored[camera, size] = ignored

    def needs_map(self, part: Part, score: float, nearest: int, distance: float) -> bool:
        """Whether `record` cannot do without the part's anomaly map."""
        return self._judge_of(part).needs_map(score, nearest, distance)

    def record(
        self, part: Part, anomaly_map: NDArray[np.float32] | None, score: float, nearest: int, distance: float
    ) -> Record:
        """The record of a judged part, from the graph's outputs for its picture.

        ``anomaly_map`` may be None where `needs_map` said no. Ignored pixels of it become 0.
        """
        decision, blobs, odd = self._judge_of(part).judge(anomaly_map, score, nearest, distance)
        action, reason = self._action(part.camera, decision)
        assert part.in_force is not None
        return replace(
            self._base(part, part.in_force.version),
            verdict=decision.kind,
            action=action,
            reason=reason,
            product=decision.product,
            product_distance=decision.product_distance,
            score=decision.score,
            threshold=decision.threshold,
            blobs=blobs,
            recognised=decision.recognised,
            warning=self._warning(part.camera, doubtful=bool(odd)),
        )

    def _judge_of(self, part: Part) -> Judge:
        """By what was in force when the part's picture was inspected."""
        assert part.recipe is not None
        assert part.in_force is not None
        known = self._judges.get(part.camera)
        if known is None or known[0] is not part.in_force:
            manifest = part.in_force.bundle.manifest
            judge = Judge(
                manifest,
                part.recipe.precision,
                self._products[part.camera],
                compare=part.camera not in self._uncompared,
                ignored=self._ignored[part.camera, part.recipe.size],
                odd=standing_doubts(manifest),
            )
            known = self._judges[part.camera] = part.in_force, judge
        return known[1]

    def _warning(self, camera: str, *, doubtful: bool) -> str | None:
        trusted = self._products[camera] is not None and camera in self._uncompared
        return ", ".join([*(["threshold"] if doubtful else []), *(["not compared"] if trusted else [])]) or None

    def failsafe(self, part: Part, reason: str) -> Record:
        """The record of a part that cannot be judged."""
        version = (part.recipe or self._state.recipe).in_force.version
        return replace(self._base(part, version), reason=reason, action=self.rules.failsafe)

    def alarms(self) -> dict[str, str]:
        """By camera, what is wrong where rejects pile up."""
        rule = self.rules.alarm
        if rule is None:
            return {}
        counts = {camera: sum(list(recent)[-rule.of :]) for camera, recent in self._recent.items()}
        return {
            camera: f"{count} rejects among the last {rule.of}: look at the machine, the light and the camera"
            for camera, count in counts.items()
            if count >= rule.rejects
        }

    def _base(self, part: Part, threshold_version: int) -> Record:
        recipe = part.recipe or self._state.recipe
        now = time.monotonic()
        return Record(
            camera=part.camera,
            sequence=part.sequence,
            captured=part.captured,
            decided=time.time(),
            latency_ms=(now - part.started) * 1000,
            verdict="failsafe",
            action="reject",
            part=part.id,
            encoder=part.encoder,
            order=part.order.order,
            lot=part.order.lot,
            operator=part.order.operator,
            fields=part.order.fields,
            engine=recipe.sha256,
            recipe=recipe.name,
            threshold_version=threshold_version,
            shadow=self._state.shadow or part.old,
            picture_age_ms=None if part.received is None else (now - part.received) * 1000,
            **({} if part.file is None else _of_file(part.file)),
        )

    def _action(self, camera: str, decision: Decision) -> tuple[Action, str | None]:
        recent = self._recent[camera]
        recent.append(decision.reject)
        if decision.kind == "unknown":
            return self._unknown(decision), decision.objection
        if decision.good:
            return "pass", None
        if decision.objection in ("mismatch", "unlearned"):  # no second part will confirm it
            return "reject", decision.objection
        confirm = self.rules.confirm
        if confirm is not None and sum(list(recent)[-confirm.of :]) < confirm.rejects:
            return "pass", "unconfirmed"
        return "reject", None

    def _unknown(self, decision: Decision) -> Action:
        return self.rules.unknown if decision.objection is None else self.rules.on_mismatch


def _of_file(file: PictureFile) -> dict[str, Any]:
    return {"file": file.name, "file_size": file.size, "file_mtime_ns": file.mtime_ns}


class Inspected(NamedTuple):
    """A batch that an engine has run: its parts, their scores, and by number of the part the maps that were wanted."""

    parts: list[Part]
    scores: Scores
    maps: dict[int, NDArray[np.float32]]


class Judgement(threading.Thread):
    """Judges what the engines give, while they run the next batch."""

    def __init__(self, ruling: Ruling, parts: Parts, recorder: Recorder, *, block: bool, batches: int) -> None:
        super().__init__(name="judgement", daemon=True)
        self._ruling = ruling
        self._parts = parts
        self._recorder = recorder
        self._block = block
        self._batches: queue.Queue[Inspected | None] = queue.Queue(batches)

    def wants_map(self, part: Part, score: float, nearest: int, distance: float) -> bool:
        """Whether a part's anomaly map is worth a copy to the host: it is needed, or somebody wants to see it."""
        return self._ruling.needs_map(part, score, nearest, distance) or self._recorder.wants_map(part.camera)

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
                    record = self._ruling.record(part, anomaly_map, score, nearest, distance)
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
