"""`snl-edge evaluate`: a run folder or a bundle, measured on a data set's test images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from snl_edge import provenance
from snl_edge.contract.graph import Prediction
from snl_edge.contract.run_folder import CHECKPOINT
from snl_edge.data.check import check_samples
from snl_edge.data.folders import name_some
from snl_edge.data.samples import Dataset, Sample
from snl_edge.errors import BundleError, DataError
from snl_edge.outside.files import real_path
from snl_edge.progress import console, progress_bar
from snl_edge.runtime.arguments import require_threshold
from snl_edge.runtime.detector import Detector
from snl_edge.runtime.frame import as_images
from snl_edge.runtime.ignored import read_ignored, region_pictures
from snl_edge.runtime.manifest import FILE as MANIFEST
from snl_edge.runtime.manifest import InputSpec, Manifest

from .cases import Rules
from .evaluate import Predict, evaluate
from .results import Evaluation
from .robustness import Robustness, measure_robustness
from .seen import seen_images

if TYPE_CHECKING:
    from snl_edge.training.checkpoint import Checkpoint


def evaluate_model(
    model: Path, dataset: Dataset, *, backend: str = "auto", threshold: float | None = None
) -> tuple[Evaluation, dict[str, str]]:
    """Evaluates the run folder (PyTorch) or bundle (a backend) ``model`` on ``dataset.test``.

    Products that the model never learned have no metrics; of these, only how many parts are stopped is told.

    Returns:
        the evaluation, and where it came from in words.

    Raises:
        DataError: there is no test set, the model learned none of its products, or an image or mask cannot be used.
        BundleError, BackendError, CheckpointError: the model cannot be loaded.
        ConfigError: the threshold cannot be one.
        ResultError: the model gives no finite numbers.
    """
    if not dataset.test:
        raise DataError(
            f"{dataset.root} has no test images",
            "what is caught and falsely stopped is counted on parts that are known to be good or defective",
            "put some under test/good and test/bad of each product, with or without masks, or list them in a CSV file",
        )
    if threshold is not None:
        require_threshold(threshold)
    subject = open_subject(model, backend)
    samples, remarks = match_products(dataset.with_bits(subject.bits), subject.products)
    with progress_bar("checking images") as report:
        check_samples(samples, progress=report)
    with progress_bar("evaluating") as report:
        evaluation = evaluate(
            subject.predict,
            samples,
            subject.size,
            rules=replace(subject.rules, threshold=threshold),
            progress=report,
            as_images=subject.as_images,
            ignored=subject.ignored,
        )
    seen = seen_images(model, subject.rules.manifest.weights_sha256, samples)
    remarks += foreign_products(evaluation)
    return replace(evaluation, remarks=tuple(remarks), seen=seen), {
        "model": subject.description,
        "data": f"{dataset.root.name} ({dataset.layout} layout)",
        "command": provenance.command(),
        "revision": provenance.revision(),
        "created": provenance.now(),
        **{key: str(value) for key, value in provenance.machine().items()},
        "versions": ", ".join(f"{name} {version}" for name, version in provenance.versions().items()),
    }


def robustness_of_model(
    model: Path, dataset: Dataset, *, backend: str = "auto", threshold: float | None = None
) -> Robustness:
    """How verdicts on ``dataset.test``, which :func:`evaluate_model` has taken, move under `CHANGES` of the pictures.

    Raises:
        DataError: an image cannot be read.
        BundleError, BackendError, CheckpointError: the model cannot be loaded.
    """
    subject = open_subject(model, backend)
    samples, _ = match_products(dataset, subject.products)
    with progress_bar("evaluating under changes of the camera") as report:
        return measure_robustness(
            subject.predict,
            replace(subject.rules, threshold=threshold),
            samples,
            subject.size,
            as_images=subject.as_images,
            progress=report,
        )


def match_products(dataset: Dataset, learned: Sequence[str]) -> tuple[Sequence[Sample], list[str]]:
    """The test images under the names of the products that the model ``learned``, and what to say of them.

    Where neither side names a product (a model of one, a data set whose one product is called after its own folder),
    it is the same one, and that is said.

    Raises:
        DataError: the model learned none of the data set's products.
    """
    present = sorted({sample.product for sample in dataset.test})
    if len(learned) == 1 and present == [real_path(dataset.root).name] and present[0] != learned[0]:
        remark = f"{present[0]} names no product: its images are taken for {learned[0]}, the model's only one"
        return [replace(sample, product=learned[0]) for sample in dataset.test], [remark]
    if not set(present) & set(learned):
        raise DataError(
            f"the model never learned {name_some(present)}",
            f"it learned {name_some(learned)}, and detection can be measured on these alone",
            "name the folders as in training, or train on these products",
        )
    remarks: list[str] = []
    if untested := sorted(set(learned) - set(present)):
        remarks.append(f"nothing is known of {name_some(untested)}: learned, and without test images here")
    return dataset.test, remarks


def foreign_products(evaluation: Evaluation) -> list[str]:
    """What to say of products whose good parts are mostly unknown to the model: it learned other pictures."""
    lines: list[str] = []
    for name in evaluation.products:
        outcome = evaluation.outcome(name)
        if 2 * outcome.falsely_unknown > outcome.good:
            lines.append(
                f"{outcome.falsely_unknown} of {outcome.good} good parts of {name} are unknown to the model: these "
                "images show another product, or come from another camera, lens, light or crop than those it learned"
            )
    return lines


@dataclass(frozen=True)
class Subject:
    """What is evaluated: how to run it, its map's size, the rules of its verdicts, its name, and what it takes of a
    picture where that is not the picture at the map's size."""

    predict: Predict
    size: tuple[int, int]
    rules: Rules
    description: str
    as_images: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None
    bits: int | None = None
    """Of 16-bit files, as training was told."""
    ignored: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    """By product, the pixels ``bool [H, W]`` of its maps that do not count."""

    @property
    def products(self) -> tuple[str, ...]:
        """What it learned, in the graph's order."""
        return self.rules.manifest.products

    def threshold(self, product: str) -> float:
        """The threshold in force for ``product``; of one that it never learned, the common one."""
        return self.rules.manifest.threshold_for(product if product in self.products else None, self.rules.precision)

    def objection(self, prediction: Prediction) -> NDArray[np.float64]:
        """What a verdict holds against each image, ``[B]``; a line stops what is above 1.

        The larger of two: the score, in thresholds of the product that it was recognised as, and how far it lies from
        that product, in limits of what counts as known.
        """
        limits = np.array([self.threshold(product) for product in self.products])
        scores = prediction.score / limits[prediction.product]
        return np.maximum(scores, prediction.product_distance / self.rules.manifest.unknown_limit)


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

    from snl_edge.model.fused_graph import FusedGraph
    from snl_edge.training.checkpoint import load_model
    from snl_edge.training.ignored import regions_of
    from snl_edge.training.loop import choose_device

    device = choose_device("auto")
    model, checkpoint = load_model(run, device=device)
    fused = FusedGraph(model, checkpoint.score_scale.gain).eval()

    @torch.inference_mode()
    def predict(images: NDArray[np.uint8]) -> Prediction:
        return Prediction(*(output.cpu().numpy() for output in fused(torch.from_numpy(images).to(device))))

    config = checkpoint.model
    words = f"run {run.name}: {config.teacher.architecture}, {config.student.direction} student, PyTorch on {device}"
    ignored = regions_of(run)
    return Subject(
        predict,
        config.size,
        Rules(_manifest_of(run, checkpoint, model.recognition.reject_limits().tolist(), ignored)),
        words,
        bits=checkpoint.training.bits,
        ignored=ignored,
    )


def _manifest_of(
    run: Path, checkpoint: Checkpoint, reject_limits: Sequence[float], ignored: Mapping[str, NDArray[np.bool_]]
) -> Manifest:
    """What a bundle of the run says of its verdicts, so that they follow from the one rule of devices."""
    graph = f"{checkpoint.weights}.onnx"
    regions, pictures = region_pictures(ignored)
    return Manifest(
        name=real_path(run).name,
        created=checkpoint.created,
        input=InputSpec(height=checkpoint.model.height, width=checkpoint.model.width, max_batch=1),
        products=checkpoint.products,
        reject_limits=dict(zip(checkpoint.products, reject_limits, strict=True)) if len(reject_limits) > 1 else {},
        score_scale=checkpoint.score_scale,
        product_thresholds=checkpoint.score_scale.product_thresholds,
        graphs={"fp32": graph},
        files={graph: checkpoint.weights_sha256}
        | {path: hashlib.sha256(content).hexdigest() for path, content in pictures.items()},
        doubts=checkpoint.doubts,
        ignored=regions,
        weights_sha256=checkpoint.weights_sha256,
    )


def _from_bundle(folder: Path, backend: str) -> Subject:
    detector = Detector.load(folder, backend=backend)
    console.print(detector.backend_reason)
    manifest = detector.bundle.manifest
    return Subject(
        detector.predict,
        manifest.input.size,
        Rules(manifest, detector.backend.precision),
        f"bundle {folder.name}, {detector.backend.description}",
        None if manifest.input.frame is None else lambda picture: as_images(picture, manifest.input),
        manifest.input.bits,
        read_ignored(detector.bundle),
    )
