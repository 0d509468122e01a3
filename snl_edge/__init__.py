"""snl-edge: one visual anomaly detector for every product on the line, from PyTorch to a TensorRT engine.

What stands in ``__all__`` is public: it changes only as docs/promises.md says. Each name is imported when it is first
asked for, so that ``import snl_edge`` loads nothing, and no name needs torch before the function behind it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .lazy import imported_when_asked

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
    from .version import __version__
    from .workflow.bundles import build, calibrate
    from .workflow.datasets import Checked, check
    from .workflow.evaluating import Evaluated, evaluate
    from .workflow.runs import Ignored, ignore, load_run, train

__all__ = [
    "Bundle",
    "Checked",
    "Dataset",
    "Detector",
    "Evaluated",
    "Evaluation",
    "FrameSpec",
    "Ignored",
    "Run",
    "SnlConfig",
    "SnlEdgeError",
    "TrainingConfig",
    "Verdict",
    "__version__",
    "build",
    "calibrate",
    "check",
    "decode_image",
    "evaluate",
    "ignore",
    "load_run",
    "open_dataset",
    "preset",
    "read_image",
    "train",
]

_HOMES = {
    "Bundle": "runtime.bundle.Bundle",
    "Checked": "workflow.datasets.Checked",
    "Dataset": "data.samples.Dataset",
    "Detector": "runtime.detector.Detector",
    "Evaluated": "workflow.evaluating.Evaluated",
    "Evaluation": "evaluation.results.Evaluation",
    "FrameSpec": "runtime.manifest.FrameSpec",
    "Ignored": "workflow.runs.Ignored",
    "Run": "training.run.Run",
    "SnlConfig": "model.config.SnlConfig",
    "SnlEdgeError": "errors.SnlEdgeError",
    "TrainingConfig": "training.config.TrainingConfig",
    "Verdict": "runtime.verdict.Verdict",
    "__version__": "version.__version__",
    "build": "workflow.bundles.build",
    "calibrate": "workflow.bundles.calibrate",
    "check": "workflow.datasets.check",
    "decode_image": "decode.decode",
    "evaluate": "workflow.evaluating.evaluate",
    "ignore": "workflow.runs.ignore",
    "load_run": "workflow.runs.load_run",
    "open_dataset": "data.layouts.open_dataset",
    "preset": "model.presets.preset",
    "read_image": "image.read_image",
    "train": "workflow.runs.train",
}
"""Where each public name is at home."""


__getattr__, __dir__ = imported_when_asked(__name__, _HOMES)
