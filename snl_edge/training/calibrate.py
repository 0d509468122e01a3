"""Setting the thresholds of a trained model from good images that it judges as it would new ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch

from snl_edge.calibration.score import ScoreCalibration, calibrate_scores
from snl_edge.data.loader import ImageStore
from snl_edge.data.samples import Dataset
from snl_edge.errors import DataError
from snl_edge.model.snl import Snl
from snl_edge.progress import progress_bar
from snl_edge.runtime.manifest import ProductReference

from .appearance import measure_appearance, reference_of
from .checkpoint import Checkpoint, load_model, save_checkpoint
from .config import TrainingConfig
from .split import split_holdout

LEAST_IMAGES = 2
"""Of a product, for its memory to be much the same without one of them."""


def calibrate(
    model: Snl, samples: ImageStore, held_out: ImageStore, training: TrainingConfig
) -> tuple[ScoreCalibration, dict[str, ProductReference]]:
    """Thresholds of ``model``, which is in evaluation mode, and what good parts look like to it.

    The latter from images that it was not trained on; the thresholds from the images it was trained on, too, where it
    has a memory that can leave them out: ten times as many.
    """
    with progress_bar("judging held-out images") as report:
        figures = measure_appearance(model, held_out, training.batch_size, report)
    with progress_bar("judging training images") as report:
        left_out = leave_one_out(model, samples, training.batch_size, report)
    scores = {product: own["score"] for product, own in figures.items()}
    calibration = calibrate_scores(scores, left_out, training.false_reject_budget)
    return calibration, reference_of(figures, calibration.gain)


@torch.no_grad()
def leave_one_out(
    model: Snl, samples: ImageStore, batch_size: int, progress: Callable[[int, int], None]
) -> dict[str, list[float]]:
    """Raw scores, by product, of training images, each judged by the memory without its own patches.

    Products with fewer than ``LEAST_IMAGES`` are left out, as one image is too much of their memory; without a memory
    all are: what a student has seen says nothing of what it has not.

    Args:
        model: in evaluation mode.
        samples: the training images, in the order in which the memory was filled.
        batch_size: images at a time.
        progress: called with images done and wanted.
    """
    if model.memory is None:
        return {}
    shown = [sample.product for sample in samples.samples]
    device = model.memory.kept.device
    scores: dict[str, list[float]] = {product: [] for product, count in Counter(shown).items() if count >= LEAST_IMAGES}
    for indices, images in samples.batches(batch_size):
        left_out = torch.tensor(list(indices), dtype=torch.int32, device=device)
        _, judged, _, _ = model(torch.from_numpy(images).to(device), left_out)
        for index, score in zip(indices, judged.tolist(), strict=True):
            if shown[index] in scores:
                scores[shown[index]].append(score)
        progress(indices.stop, len(samples))
    return scores


@torch.no_grad()
def weigh_distances(model: Snl, held_out: ImageStore, training: TrainingConfig) -> None:
    """Divides each distance of the anomaly map by its mean over ``held_out``, every product counted alike."""
    sums: dict[str, list[torch.Tensor]] = {}
    for indices, images in held_out.batches(training.batch_size):
        pixels = model.teacher.normalise(torch.from_numpy(images).to(model.teacher.mean.device))
        features = model.teacher(pixels)
        product, _ = model.recognition(features)
        means = [distance.mean(dim=(1, 2)) for distance in model.distances(pixels, features, product)]
        for index, own in zip(indices, torch.stack(means, dim=1), strict=True):  # own: [L]
            sums.setdefault(held_out.samples[index].product, []).append(own)
    model.anomaly_map.set_scales(torch.stack([torch.stack(own).mean(dim=0) for own in sums.values()]).mean(dim=0))


def recalibrate(run: Path, dataset: Dataset) -> Checkpoint:
    """Sets the thresholds of the finished ``run`` anew, from the data set it was trained on.

    Raises:
        CheckpointError: the run cannot be read.
        DataError: an image cannot be read, a product has too few, or it was trained on another number of images.
    """
    model, checkpoint = load_model(run)
    samples, held_out = split_holdout(dataset.train, checkpoint.training.holdout, checkpoint.training.seed)
    if len(samples) != checkpoint.training_images:
        raise DataError(
            f"{run} was trained on {checkpoint.training_images} images, {dataset.root} has {len(samples)} for it",
            fix="give the data set that it was trained on, or train again",
        )
    trained, unseen = (ImageStore(own, checkpoint.model.size, budget=0) for own in (samples, held_out))
    calibration, reference = calibrate(model, trained, unseen, checkpoint.training)
    changed = checkpoint.model_copy(update={"calibration": calibration, "reference": reference})
    save_checkpoint(changed, run)
    return changed
