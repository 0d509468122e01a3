"""snl-edge: one visual anomaly detector for every product on the line, from PyTorch to a TensorRT engine.

What stands in ``__all__`` is public: it changes only as docs/promises.md says. Each name is imported when it is first
asked for, so that ``import snl_edge`` loads nothing, and no name needs torch before the function behind it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .data.layouts import open_dataset
    from .data.samples import Dataset
    from .decode import decode as decode_image
    from .errors import SnlEdgeError
    from .evaluation.results import Evaluation
    from .image import read_image
    from .model.config import SnlConfig
    from .model.presets import preset
    from .runtime.bundle import Bundle
    from .runtime.detector import Detector
    from .runtime.manifest import FrameSpec
    from .runtime.verdict import Verdict
    from .training.config import TrainingConfig
    from .training.run import Run
    from .workflow import Evaluated, build, evaluate, load_run, train

    __version__: str

__all__ = [
    "Bundle",
    "Dataset",
    "Detector",
    "Evaluated",
    "Evaluation",
    "FrameSpec",
    "Run",
    "SnlConfig",
    "SnlEdgeError",
    "TrainingConfig",
    "Verdict",
    "__version__",
    "build",
    "decode_image",
    "evaluate",
    "load_run",
    "open_dataset",
    "preset",
    "read_image",
    "train",
]

_HOMES = {
    "Bundle": "runtime.bundle.Bundle",
    "Dataset": "data.samples.Dataset",
    "Detector": "runtime.detector.Detector",
    "Evaluated": "workflow.Evaluated",
    "Evaluation": "evaluation.results.Evaluation",
    "FrameSpec": "runtime.manifest.FrameSpec",
    "Run": "training.run.Run",
    "SnlConfig": "model.config.SnlConfig",
    "SnlEdgeError": "errors.SnlEdgeError",
    "TrainingConfig": "training.config.TrainingConfig",
    "Verdict": "runtime.verdict.Verdict",
    "build": "workflow.build",
    "decode_image": "decode.decode",
    "evaluate": "workflow.evaluate",
    "load_run": "workflow.load_run",
    "open_dataset": "data.layouts.open_dataset",
    "preset": "model.presets.preset",
    "read_image": "image.read_image",
    "train": "workflow.train",
}
"""Where each public name is at home."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("snl-edge")
    elif name in _HOMES:
        from importlib import import_module

        module, _, own = _HOMES[name].rpartition(".")
        value = getattr(import_module(f".{module}", __name__), own)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
