"""TensorRT's progress monitor, as one call per step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def build_progress(trt: Any, report: Callable[[int, int, str], None]) -> Any:
    """A progress monitor that calls ``report(steps done, steps in all, phase)`` for the outermost phase.

    Inner phases are left out: their steps are no share of the whole. The base class belongs to the TensorRT
    that is installed, hence a class made here.
    """

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if not parent_phase:
                self.steps[phase_name] = num_steps
                report(0, num_steps, phase_name)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self.steps:
                report(step + 1, self.steps[phase_name], phase_name)
            return True  # False would stop the build

        def phase_finish(self, phase_name: str) -> None:
            if phase_name in self.steps:
                report(self.steps[phase_name], self.steps[phase_name], phase_name)

    return Monitor()
