"""`snl-edge evaluate`: a run folder or a bundle, measured on a data set's test images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from snl_edge import provenance
from snl_edge.calibration.score import DECISION
from snl_edge.data.check import check_samples
from snl_edge.data.samples import Dataset
from snl_edge.errors import BundleError, DataError
from snl_edge.progress import console, progress_bar
from snl_edge.runtime.detector import Detector
from snl_edge.runtime.frame import as_images
from snl_edge.runtime.manifest import FILE as MANIFEST
from snl_edge.runtime.manifest import KNOWN
from snl_edge.runtime.prediction import Prediction
from snl_edge.training.config import CHECKPOINT

from .evaluate import Evaluation, Predict, evaluate


def evaluate_model(
    model: Path, dataset: Dataset, *, backend: str = "auto", threshold: float | None = None
) -> tuple[Evaluation, dict[str, str]]:
    """Evaluates the run folder (PyTorch) or bundle (a backend) ``model`` on ``dataset.test``.

    Returns:
        the evaluation, and where it came from in words.

    Raises:
        DataError: there is no test set, or an image or mask cannot be used.
        BundleError, BackendError, CheckpointError: the model cannot be loaded.
    """
    if not dataset.test:
        raise DataError(
            f"{dataset.root} has no test images",
            "a plain folder holds good images only",
            "give a set in MVTec AD or VisA layout",
        )
    subject = open_subject(model, backend)
    dataset = dataset.with_bits(subject.bits)
    with progress_bar("checking images") as report:
        check_samples(dataset.test, progress=report)
    with progress_bar("evaluating") as report:
        evaluation = evaluate(
            subject.predict,
            dataset.test,
            subject.size,
            threshold=subject.threshold if threshold is None else lambda product: threshold,
            learned=subject.products,
            unknown_limit=subject.unknown_limit,
            progress=report,
            as_images=subject.as_images,
        )
    return evaluation, {
        "model": subject.description,
        "data": f"{dataset.root.name} ({dataset.layout} layout)",
        "command": provenance.command(),
        "revision": provenance.revision(),
        "created": provenance.now(),
        **{key: str(value) for key, value in provenance.machine().items()},
        "versions": ", ".join(f"{name} {version}" for name, version in provenance.versions().items()),
    }


@dataclass(frozen=True)
class Subject:
    """What is evaluated: how to run it, its map's size, thresholds in force, products it learned, its name, and what it
    takes of a picture where that is not the picture at the map's size."""

    predict: Predict
    size: tuple[int, int]
    threshold: Callable[[str], float]
    products: tuple[str, ...]
    unknown_limit: float
    description: str
    as_images: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None
    bits: int | None = None
    """Of 16-bit files, as training was told."""


def open_subject(model: Path, backend: str = "auto") -> Subject:
    """Loads the run folder (PyTorch) or bundle (a backend) ``model``.

    Raises:
        BundleError, BackendError, CheckpointError: it cannot be loaded.
    """
    if (model / CHECKPOINT).is_file():
        return _from_run(model)
    if (model / MANIFEST).is_file():
        return _from_bundle(model, backend)
    raise BundleError(
        f"{model} is neither a run folder nor a bundle",
        f"it holds no {CHECKPOINT} and no {MANIFEST}",
        "give what `snl-edge train` or `snl-edge build` wrote",
    )


def _from_run(run: Path) -> Subject:
    import torch

    from snl_edge.export.fused_graph import FusedGraph
    from snl_edge.training.checkpoint import load_model
    from snl_edge.training.loop import choose_device

    device = choose_device("auto")
    model, checkpoint = load_model(run, device=device)
    fused = FusedGraph(model, checkpoint.calibration.gain).eval()

    @torch.inference_mode()
    def predict(images: NDArray[np.uint8]) -> Prediction:
        return Prediction(*(output.cpu().numpy() for output in fused(torch.from_numpy(images).to(device))))

    config, limits = checkpoint.model, checkpoint.calibration.product_thresholds
    words = f"run {run.name}: {config.teacher.architecture}, {config.student.direction} student, PyTorch on {device}"
    threshold = lambda product: limits.get(product, DECISION)  # noqa: E731
    return Subject(predict, config.size, threshold, checkpoint.products, KNOWN, words, bits=checkpoint.training.bits)


def _from_bundle(folder: Path, backend: str) -> Subject:
    detector = Detector.load(folder, backend=backend)
    console.print(detector.backend_reason)
    manifest, precision = detector.bundle.manifest, detector.backend.precision
    return Subject(
        detector.predict,
        manifest.input.size,
        lambda product: manifest.threshold_for(product if product in manifest.products else None, precision),
        manifest.products,
        manifest.unknown_limit,
        f"bundle {folder.name}, {detector.backend.description}",
        None if manifest.input.frame is None else lambda picture: as_images(picture, manifest.input),
        manifest.input.bits,
    )
