"""From the verdict on a part to its record: what the line is to do, by its rules."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from pydantic import Field, model_validator

from ...runtime.verdict import Decision, Judged
from ..records.record import Action, PictureFile, Record
from ..settings import FailsafeAction, Settings
from .parts import Part
from .recipe import LineState


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
    """What becomes of a part: makes its record from what its `Judge` says and the line's rules.

    Only one thread calls `record`; any may call `failsafe`.

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
        self._trusted = {camera for camera in uncompared if products[camera] is not None}
        longest = max(rule.of if rule else 1 for rule in (rules.confirm, rules.alarm))
        self._recent = {camera: deque[bool](maxlen=longest) for camera in products}

    def record(self, part: Part, judged: Judged) -> Record:
        """The record of a judged part."""
        decision = judged.decision
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
            blobs=judged.blobs,
            recognised=decision.recognised,
            warning=self._warning(part.camera, doubtful=bool(judged.odd)),
        )

    def _warning(self, camera: str, *, doubtful: bool) -> str | None:
        trusted = camera in self._trusted
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
