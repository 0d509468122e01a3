"""How a line is: one light for each part of it, and what only a restart can cure."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...runtime.manifest import Manifest
from ...runtime.tuning import standing_doubts
from ..capture.camera import Camera
from ..capture.prepare import frozen_within
from ..control.interface import Check
from ..outputs.actuators import Actuator
from ..outputs.outputs import Outputs
from ..pipeline.inference import Engine
from ..pipeline.recipe import LineState
from ..pipeline.recorder import Recorder
from ..pipeline.ruling import Rules, Ruling
from .drift import Drift
from .shares import Shares
from .tally import Counting
from .watchdog import WatchdogSettings


@dataclass(frozen=True)
class Health:
    """Looks at the parts of one line. Any thread may call any method."""

    state: LineState
    cameras: Sequence[Camera]
    engines: Sequence[Engine]
    recorder: Recorder
    outputs: Outputs
    ruling: Ruling
    actuators: Sequence[Actuator]
    """Their settings."""
    deadline_ms: float | None
    shares: Shares
    counting: Counting
    drift: Drift
    limits: WatchdogSettings
    threads: Sequence[threading.Thread]
    """Those without which no part gets its verdict, besides those of cameras, engines, recorder and outputs."""

    def checks(self) -> list[Check]:
        """One line each."""
        found = [camera.check() for camera in self.cameras]
        found += [engine.check(self.limits.stuck_after_s) for engine in self.engines]
        found += [self.shares.check(), *self.counting.checks(), self.recorder.check(), *self.outputs.checks()]
        found += [Check(f"rejects {camera}", "warning", text) for camera, text in self.ruling.alarms().items()]
        manifest = self.state.recipe.bundle.manifest
        found += standing_warnings(self.cameras, self.ruling.rules, manifest, self.actuators, self.deadline_ms)
        found += self.drift.checks(manifest)
        fault = self.fault()
        return found if fault is None else [Check("line", "failed", f"{fault}: restart the service"), *found]

    def fault(self) -> str | None:
        """What only a fresh process can cure; None while there is no such thing."""
        working = (*self.threads, *self.engines, *self.recorder.threads, *self.outputs.threads)
        ended = [thread for thread in working if not thread.is_alive()] + [one for one in self.cameras if one.died]
        if ended:
            return f"thread {ended[0].name} has ended"
        if lost := self.state.recipe.lost:
            return lost
        for engine in self.engines:
            if engine.lost:
                return engine.lost
            if engine.stuck_for > self.limits.stuck_after_s:
                return f"{engine.name} hangs"
            if engine.broken_for > self.limits.broken_after_s:
                return f"{engine.name} cannot be loaded"
        return None


def standing_warnings(
    cameras: Sequence[Camera],
    rules: Rules,
    manifest: Manifest,
    actuators: Sequence[Actuator],
    deadline_ms: float | None,
) -> Iterator[Check]:
    """A line for each setting by which parts pass that would be stopped, and for each odd threshold."""
    for actuator in actuators:
        if text := actuator.too_late(deadline_ms):
            yield Check(f"time of {actuator.name or actuator.type}", "warning", text)
    for camera in cameras:
        settings = camera.settings
        if settings.product is not None and not settings.compare_product:
            text = f"parts of other products pass as {settings.product} if their score is low: compare_product is false"
            yield Check(f"product {settings.name}", "warning", text)
        if text := _frozen_unseen(camera):
            yield Check(
                f"frozen {settings.name}", "warning", f"a frozen camera passes its last picture for each part: {text}"
            )
    if rules.unknown == "pass" and any(camera.settings.product is None for camera in cameras):
        yield Check("unknown products", "warning", "they pass: rules.unknown is pass")
    for product, odd in standing_doubts(manifest).items():
        yield Check(f"threshold {product}", "warning", odd)


def _frozen_unseen(camera: Camera) -> str | None:
    """The setting by which a frozen camera is not seen; None where it is."""
    checks = camera.settings.checks
    if checks.frozen_after is None:
        return "checks.frozen_after is null"
    if camera.video and not frozen_within(checks, video=True):
        return "checks.frozen_within is 0, and in compressed video a repeated picture is not the same byte for byte"
    return None
