"""Commands that errors name: they do what is said on the machine that says it."""

from __future__ import annotations

import importlib.util
import shlex
from pathlib import Path


def build_command(run: Path) -> str:
    """The command that makes the bundle of the run folder ``run`` here.

    Without ``--onnx-only`` it refuses where no engine can be built, and TensorRT needs a GPU for it: only TensorRT-RTX
    builds anywhere.
    """
    anywhere = importlib.util.find_spec("tensorrt_rtx") is not None
    return f"snl-edge build {shlex.quote(str(run))}{'' if anywhere else ' --onnx-only'}"
