"""How a line is: one light for each part of it, and what only a restart can cure."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from ..capture.camera import Camera
from ..control.interface import Check
from ..outputs.actuators import Actuator
from ..outputs.outputs import Outputs
from ..pipeline.inference import Engine
from ..pipeline.judgement import Ruling
from ..pipeline.recipe import LineState
from ..pipeline.recorder import Recorder
from .drift import Drift
from .shares import Shares
from .standing import standing_warnings
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
