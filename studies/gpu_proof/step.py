"""One step in its own process: ``python -m studies.gpu_proof.step NAME [PRESET]``; `run` starts it."""

from __future__ import annotations

import argparse
import os

from . import runtime_steps, torch_steps
from .settings import VARIABLE, settings_of_this_step

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
    parser = argparse.ArgumentParser(
        "studies.gpu_proof.step", description="One step of studies.gpu_proof.run, which starts it with its settings."
    )
    parser.add_argument("name", metavar="NAME", choices=STEPS, help=", ".join(STEPS))
    parser.add_argument("preset", metavar="PRESET", nargs="*", help="of the steps that take one")
    asked = parser.parse_args()
    if VARIABLE not in os.environ:
        parser.error(f"{VARIABLE} is not set: start studies.gpu_proof.run, which sets it")
    STEPS[asked.name](settings_of_this_step(), *asked.preset)
