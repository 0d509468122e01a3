"""Setting the thresholds of a trained model from good images that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from snl_edge.calibration.score import ScoreCalibration, calibrate_scores
from snl_edge.data.loader import ImageStore
from snl_edge.data.samples import Dataset, Sample
from snl_edge.model.snl import Snl
from snl_edge.progress import progress_bar

from .checkpoint import Checkpoint, load_model, save_checkpoint
from .config import TrainingConfig
from .split import split_holdout

MOST_PER_PRODUCT = 100
"""Training images scored to see how far a product's scores spread; more would tell nothing new."""


def calibrate(
    model: Snl, trained: Sequence[Sample], held_out: Sequence[Sample], training: TrainingConfig
) -> ScoreCalibration:
    """The calibration of ``model``, which is in evaluation mode.

    Held-out images say where a product's scores lie and how far the worst of them reach; training images,
    of which there are more, say only how far a product's scores spread.
    """
    by_product: dict[str, list[Sample]] = {}
    for sample in trained:
        by_product.setdefault(sample.product, []).append(sample)
    some = [sample for own in by_product.values() for sample in own[:MOST_PER_PRODUCT]]
    with progress_bar("setting the thresholds") as report:
        total = len(held_out) + len(some)
        unseen = _scores(model, held_out, training.batch_size, lambda done: report(done, total))
        seen = _scores(model, some, training.batch_size, lambda done: report(len(held_out) + done, total))
    return calibrate_scores(unseen, seen, training.false_reject_budget)


@torch.no_grad()
def weigh_distances(model: Snl, held_out: Sequence[Sample], training: TrainingConfig) -> None:
    """Divides each distance of the anomaly map by its mean over ``held_out``, every product counted alike."""
    store = ImageStore(held_out, model.config.size, budget=0)
    sums: dict[str, list[torch.Tensor]] = {}
    for indices, images in store.batches(training.batch_size):
        pixels = model.teacher.normalise(torch.from_numpy(images).to(model.teacher.mean.device))
        means = [distance.mean(dim=(1, 2)) for distance in model.distances(pixels, model.teacher(pixels))]
        for index, own in zip(indices, torch.stack(means, dim=1), strict=True):  # own: [L]
            sums.setdefault(held_out[index].product, []).append(own)
    model.anomaly_map.set_scales(torch.stack([torch.stack(own).mean(dim=0) for own in sums.values()]).mean(dim=0))


def recalibrate(run: Path, dataset: Dataset) -> Checkpoint:
    """Sets the thresholds of the finished ``run`` anew, from the data set it was trained on.

    Raises:
        CheckpointError: the run cannot be read.
        DataError: an image cannot be read, or a product has too few.
    """
    model, checkpoint = load_model(run)
    trained, held_out = split_holdout(dataset.train, checkpoint.training.holdout, checkpoint.training.seed)
    calibration = calibrate(model, trained, held_out, checkpoint.training)
    changed = checkpoint.model_copy(update={"calibration": calibration})
    save_checkpoint(changed, run)
    return changed


@torch.no_grad()
def _scores(
    model: Snl, samples: Sequence[Sample], batch_size: int, report: Callable[[int], None]
) -> dict[str, list[float]]:
    """Raw scores by product."""
    store = ImageStore(samples, model.config.size, budget=0)
    device = next(model.parameters()).device
    scores: dict[str, list[float]] = {}
    for indices, images in store.batches(batch_size):
        _, batch, *_ = model(torch.from_numpy(images).to(device))
        for index, score in zip(indices, batch.tolist(), strict=True):
            scores.setdefault(samples[index].product, []).append(score)
        report(indices.stop)
    return scores
