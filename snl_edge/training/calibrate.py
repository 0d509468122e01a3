"""Setting the thresholds of a trained model from good images that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from snl_edge.calibration.score import ScoreCalibration, calibrate_scores
from snl_edge.data.loader import ImageStore
from snl_edge.data.samples import Dataset, Sample
from snl_edge.model.snl import Snl
from snl_edge.progress import progress_bar
from snl_edge.runtime.manifest import ProductReference

from .appearance import measure_appearance, reference_of
from .checkpoint import Checkpoint, load_model, save_checkpoint
from .config import TrainingConfig
from .split import split_holdout


def calibrate(
    model: Snl, held_out: Sequence[Sample], training: TrainingConfig
) -> tuple[ScoreCalibration, dict[str, ProductReference]]:
    """Thresholds of ``model``, which is in evaluation mode, and what good parts look like to it.

    Both from one pass over images that it was not trained on.
    """
    with progress_bar("setting the thresholds") as report:
        figures = measure_appearance(model, held_out, training.batch_size, report)
    scores = {product: own["score"] for product, own in figures.items()}
    calibration = calibrate_scores(scores, training.false_reject_budget)
    return calibration, reference_of(figures, calibration.gain)


@torch.no_grad()
def weigh_distances(model: Snl, held_out: Sequence[Sample], training: TrainingConfig) -> None:
    """Divides each distance of the anomaly map by its mean over ``held_out``, every product counted alike."""
    store = ImageStore(held_out, model.config.size, budget=0)
    sums: dict[str, list[torch.Tensor]] = {}
    for indices, images in store.batches(training.batch_size):
        pixels = model.teacher.normalise(torch.from_numpy(images).to(model.teacher.mean.device))
        features = model.teacher(pixels)
        product, _ = model.recognition(features)
        means = [distance.mean(dim=(1, 2)) for distance in model.distances(pixels, features, product)]
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
    _, held_out = split_holdout(dataset.train, checkpoint.training.holdout, checkpoint.training.seed)
    calibration, reference = calibrate(model, held_out, checkpoint.training)
    changed = checkpoint.model_copy(update={"calibration": calibration, "reference": reference})
    save_checkpoint(changed, run)
    return changed
