"""Commands that errors name: they do what is said on the machine that says it."""

from __future__ import annotations

import importlib.util
import shlex
from pathlib import Path

from ..contract.run_folder import CHECKPOINT
from ..outside.files import real_path

BUNDLE = "bundle"
"""Where a build puts the bundle in its run's folder unless told otherwise."""


def build_command(run: Path, out: Path | None = None) -> str:
    """The command that makes the bundle of the run folder ``run`` here, in ``out`` if that is not where it usually is.

    Without ``--onnx-only`` it refuses where no engine can be built, and TensorRT needs a GPU for it: only TensorRT-RTX
    builds anywhere.
    """
    anywhere = importlib.util.find_spec("tensorrt_rtx") is not None
    where = "" if out is None or real_path(out) == real_path(run / BUNDLE) else f" --out {shlex.quote(str(out))}"
    return f"snl-edge build {shlex.quote(str(run))}{'' if anywhere else ' --onnx-only'}{where}"


def build_again(bundle: Path, *, replaceable: bool = True) -> str:
    """What helps where a bundle is damaged.

    Args:
        bundle: its folder.
        replaceable: whether a build takes its place as it is: one whose manifest cannot be read may be no bundle.
    """
    run = real_path(bundle).parent
    command = build_command(run, bundle) if (run / CHECKPOINT).is_file() else build_command(Path("RUN"))
    first = "" if replaceable else "remove it and "
    return f"copy the bundle again from where it was built, or {first}build it again from its run: {command}"
