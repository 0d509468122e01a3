"""One step in its own process: ``python -m studies.gpu_proof.step NAME [PRESET]``; `run` starts it."""

from __future__ import annotations

import sys

from . import runtime_steps, torch_steps
from .settings import settings_of_this_step

STEPS = {
    "driver": runtime_steps.driver,
    "targets": runtime_steps.targets,
    "bundle": runtime_steps.bundle,
    "engines": runtime_steps.engines,
    "parity": runtime_steps.parity,
    "speed": runtime_steps.speed,
    "pytorch": torch_steps.pytorch,
    "training": torch_steps.training,
}

if __name__ == "__main__":
    STEPS[sys.argv[1]](settings_of_this_step(), *sys.argv[2:])
