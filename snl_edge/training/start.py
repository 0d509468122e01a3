"""Training on from a finished run: its student is the start of the new one."""

from __future__ import annotations

from pathlib import Path

from snl_edge.errors import ConfigError
from snl_edge.model.snl import Snl

from .checkpoint import load_model


def take_student(model: Snl, run: Path) -> str:
    """Copies the student of the finished ``run`` into ``model``; returns the SHA-256 of that run's weights.

    What a student has learned does not depend on the products of its run, so the new run may have others, or more.

    Raises:
        CheckpointError: the run cannot be read.
        ConfigError: its student or teacher is built otherwise.
    """
    earlier, checkpoint = load_model(run)
    ours, theirs = model.config, checkpoint.model
    unlike = [
        name for name in ("teacher", "student", "height", "width") if getattr(ours, name) != getattr(theirs, name)
    ]
    if unlike:
        raise ConfigError(
            f"the student of {run} does not fit",
            f"{', '.join(unlike)}: its model was made with other settings",
            "give the preset, size and --set that it was trained with",
        )
    model.student.load_state_dict(earlier.student.state_dict())
    return checkpoint.weights_sha256
