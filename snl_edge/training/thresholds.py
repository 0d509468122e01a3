"""Setting the thresholds of a trained model from good images that it judges as it would new ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import adaptive_avg_pool2d

from snl_edge.data.loader import ImageStore
from snl_edge.data.samples import Dataset
from snl_edge.errors import DataError
from snl_edge.model.snl import Snl
from snl_edge.progress import progress_bar
from snl_edge.runtime.manifest import ProductReference
from snl_edge.scoring.scale import ScoreScale, fit_score_scale

from .appearance import measure_appearance, reference_of
from .camera_changes import threshold_images
from .checkpoint import Checkpoint, ignored_shares, load_model, save_checkpoint, save_weights
from .config import TrainingConfig
from .image_record import FoundImages, ImageEntry, find_images, read_run_images, role_indices
from .raised import usual_values
from .split import Role
from .tight_regions import TEXT, tight_region_findings

ByProduct = dict[str, list[float]]
LEAST_PARTS = 2
"""Of a product, for its memory to be much the same without one of them."""


@dataclass(frozen=True)
class ImageSets:
    """The images of a run by what they are used for."""

    trained: ImageStore
    trained_groups: NDArray[np.intp]
    """Number of the part that each trained image shows."""
    held_out: ImageStore
    """For the weights of distances and the reference against drift."""
    thresholds: ImageStore
    threshold_groups: NDArray[np.intp]
    stood_out: ImageStore
    """In none of them because they stood out; without those that a person called defective, which are no good parts."""
    stood_out_groups: NDArray[np.intp]

    @classmethod
    def of(cls, store: ImageStore, entries: Sequence[ImageEntry]) -> ImageSets:
        """The sets of the images of ``store``; ``entries`` tell of each what it shows and is used for."""
        products = [sample.product for sample in store.samples]
        groups = np.array([entry.group for entry in entries], np.intp)
        roles: list[Role] = [entry.role for entry in entries]
        trained, held_out, thresholds = (
            role_indices(products, roles, role) for role in ("trained", "held_out", "thresholds")
        )
        stood_out = [i for i, entry in enumerate(entries) if entry.role == "excluded" and not entry.decided]
        return cls(
            store.part(trained),
            groups[trained],
            store.part(held_out),
            store.part(thresholds),
            groups[thresholds],
            store.part(stood_out),
            groups[stood_out],
        )

    @classmethod
    def found(cls, images: FoundImages, size: tuple[int, int]) -> ImageSets:
        """The sets of a finished run, whose images were found again, for a model with inputs of ``size``."""
        return cls.of(ImageStore(images.samples, size, budget=0), images.entries)


@dataclass(frozen=True)
class Judged:
    """What a model says of good images, ``[N]`` each, in the order of the images."""

    shown: NDArray[np.str_]
    """Their products."""
    groups: NDArray[np.intp]
    """Numbers of the parts that they show."""
    recognised: NDArray[np.int32]
    scores: NDArray[np.float64]
    """Raw."""
    means: NDArray[np.float64]
    """Of the raw maps."""

    @property
    def scores_by_part(self) -> ByProduct:
        """One for each part."""
        return self._by_part(self.scores)

    @property
    def means_by_part(self) -> ByProduct:
        """One for each part."""
        return self._by_part(self.means)

    def _by_part(self, values: NDArray[np.float64]) -> ByProduct:
        own = {product: self.shown == product for product in np.unique(self.shown).tolist()}
        return {product: of_parts(values[here].tolist(), self.groups[here]) for product, here in own.items()}

    def of_products_with(self, parts: int) -> Judged:
        """Without the products of which there are fewer parts."""
        enough = {p for p in np.unique(self.shown) if len(np.unique(self.groups[self.shown == p])) >= parts}
        here = np.array([product in enough for product in self.shown], bool)
        return Judged(self.shown[here], self.groups[here], self.recognised[here], self.scores[here], self.means[here])

    def lowered(self, model: Snl) -> Judged:
        """The same, after ``model`` has learned which maps are raised."""
        device = model.anomaly_map.scales.device
        means, scores = (torch.from_numpy(values).float().to(device) for values in (self.means, self.scores))
        factors = model.anomaly_map.lowering(means, scores, torch.from_numpy(self.recognised).to(device))
        lowering = factors.cpu().numpy().astype(np.float64)
        return replace(self, scores=self.scores * lowering, means=self.means * lowering)


@dataclass(frozen=True)
class GoodImages:
    """What a model says of the good images of a run, by what it knows of them."""

    new: Judged
    """Kept for thresholds: nothing was fitted to them."""
    left_out: Judged
    """Trained on, each judged by the memory without the patches of its part."""
    stood_out: Judged
    """Not used, because they stood out."""

    @property
    def scores(self) -> tuple[ByProduct, ByProduct, ByProduct]:
        """Raw, one for each part."""
        return self.new.scores_by_part, self.left_out.scores_by_part, self.stood_out.scores_by_part

    @property
    def means(self) -> tuple[ByProduct, ByProduct, ByProduct]:
        """Of the maps, one for each part."""
        return self.new.means_by_part, self.left_out.means_by_part, self.stood_out.means_by_part

    def lowered(self, model: Snl) -> GoodImages:
        """The same, after ``model`` has learned which maps are raised."""
        return GoodImages(self.new.lowered(model), self.left_out.lowered(model), self.stood_out.lowered(model))


def fit_thresholds(
    model: Snl, sets: ImageSets, training: TrainingConfig
) -> tuple[ScoreScale, dict[str, ProductReference]]:
    """Thresholds of ``model``, which is in evaluation mode, and what good parts look like to it.

    The latter from held-out images; the thresholds from :func:`good_images`, and before them which maps of the model
    count as raised.
    """
    model.anomaly_map.set_usual(None)
    judged = good_images(model, sets, training)
    if model.anomaly_map.config.raised_exponent:
        products = np.unique([sample.product for sample in sets.trained.samples]).tolist()
        model.anomaly_map.set_usual(usual_values(judged.means, judged.scores, products, training.false_reject_budget))
        judged = judged.lowered(model)
    with progress_bar("judging held-out images") as report:
        figures = measure_appearance(model, sets.held_out, training.batch_size, report)
    new, left_out, stood_out = judged.scores
    score_scale = fit_score_scale(new, left_out, training.false_reject_budget, stood_out)
    return score_scale, reference_of(figures, score_scale.gain)


def good_images(model: Snl, sets: ImageSets, training: TrainingConfig) -> GoodImages:
    """What the model says of images kept for thresholds, of those trained on, left out, and of those that stood out.

    Trained ones where the model has a memory that can leave them out: ten times as many. Each image is judged as it is,
    or at one moment of the camera (:func:`.camera_changes.threshold_images`).
    """
    with progress_bar("judging images for thresholds") as report:
        kept = threshold_images(sets.thresholds, training)
        new = judge(model, kept, sets.threshold_groups, training.batch_size, report)
    with progress_bar("judging training images") as report:
        trained = threshold_images(sets.trained, training)
        left_out = leave_one_out(model, trained, sets.trained_groups, training.batch_size, report)
    known = model.memory is not None  # another image of the same part may have been trained on
    images = threshold_images(sets.stood_out, training)
    stood_out = judge(model, images, sets.stood_out_groups, training.batch_size, left_out=known)
    return GoodImages(new, left_out, stood_out)


def leave_one_out(
    model: Snl,
    samples: ImageStore,
    groups: NDArray[np.intp],
    batch_size: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Judged:
    """What the model says of images that it was trained on, each judged by the memory without the patches of its part.

    Products with fewer than ``LEAST_PARTS`` are left out, as one part is too much of their memory; without a memory
    all are: what a student has seen says nothing of what it has not. Arguments as :func:`judge`.
    """
    if model.memory is None:
        return judge(model, samples.part([]), groups[:0], batch_size)
    return judge(model, samples, groups, batch_size, progress, left_out=True).of_products_with(LEAST_PARTS)


@torch.no_grad()
def judge(
    model: Snl,
    samples: ImageStore,
    groups: NDArray[np.intp],
    batch_size: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    left_out: bool = False,
) -> Judged:
    """What the model, in evaluation mode, says of good images.

    Args:
        model: in evaluation mode.
        samples: the images.
        groups: number of the part that each shows, as the memory knows it.
        batch_size: images at a time.
        progress: called with images done and wanted.
        left_out: the memory judges each without the patches of its part.
    """
    device = model.anomaly_map.scales.device
    scores, means = np.empty(len(samples)), np.empty(len(samples))
    recognised = np.empty(len(samples), np.int32)
    for indices, images in samples.batches(batch_size):
        here = slice(indices.start, indices.stop)
        without = torch.from_numpy(groups[here]).to(device, torch.int32) if left_out else None
        maps, judged, product, _ = model(torch.from_numpy(images).to(device), without)
        scores[here], means[here] = judged.cpu().numpy(), maps.mean(dim=(1, 2)).cpu().numpy()
        recognised[here] = product.cpu().numpy()
        progress(indices.stop, len(samples))
    shown = np.array([sample.product for sample in samples.samples], str)
    return Judged(shown, groups, recognised, scores, means)


def of_parts(scores: Sequence[float], groups: NDArray[np.intp]) -> list[float]:
    """One score for each part: the median of its images', as they are no independent witnesses."""
    values = np.asarray(scores)
    return [float(np.median(values[groups == part])) for part in dict.fromkeys(groups.tolist())]


@torch.no_grad()
def fit_map_weights(model: Snl, held_out: ImageStore, training: TrainingConfig) -> None:
    """Divides each distance of the anomaly map by its mean over ``held_out``, every product counted alike.

    What a product ignores is left out of its means.
    """
    sums: dict[str, list[torch.Tensor]] = {}
    for indices, images in held_out.batches(training.batch_size):
        pixels = model.teacher.normalise(torch.from_numpy(images).to(model.teacher.mean.device))
        features = model.teacher(pixels)
        product, _ = model.recognition(features)
        counting = model.anomaly_map.counting(product)
        distances, _ = model.distances(pixels, features, product)
        means = [mean_where_counting(distance, counting) for distance in distances]
        for index, own in zip(indices, torch.stack(means, dim=1), strict=True):  # own: [L]
            sums.setdefault(held_out.samples[index].product, []).append(own)
    model.anomaly_map.set_scales(torch.stack([torch.stack(own).mean(dim=0) for own in sums.values()]).mean(dim=0))


def mean_where_counting(distance: torch.Tensor, counting: torch.Tensor | None) -> torch.Tensor:
    """Means ``[B]`` of distances ``[B, h, w]``, each cell weighed by its pixels that count.

    ``counting``, ``[B or 1, H, W]``, is as :meth:`snl_edge.model.anomaly_map.AnomalyMap.counting` gives it.
    """
    if counting is None:
        return distance.mean(dim=(1, 2))
    weights = adaptive_avg_pool2d(counting.unsqueeze(1), (distance.shape[1], distance.shape[2])).squeeze(1)
    return (distance * weights).sum(dim=(1, 2)) / weights.sum(dim=(1, 2))


def refit(run: Path, dataset: Dataset) -> Checkpoint:
    """Sets the thresholds of the finished ``run`` again: writes what `refitted` gives, with the same errors."""
    changed = refitted(run, dataset)
    save_checkpoint(changed, run)
    return changed


def refitted(run: Path, dataset: Dataset, regions: torch.Tensor | None = None) -> Checkpoint:
    """The finished ``run`` with thresholds set again, from the images it was trained on, found in ``dataset``.

    What it describes is written, the checkpoint itself is not: until then the run is as before.

    With ``regions``, ``bool [K, H, W]``, each product ignores these from now on: map, weights of distances and
    thresholds become what training with them would have made of them.

    Raises:
        CheckpointError: the run cannot be read, or does not say which images it was trained on.
        DataError: an image cannot be read, or some of the run's are not in ``dataset``.
    """
    model, checkpoint = load_model(run)
    found = find_images(run, dataset.with_bits(checkpoint.training.bits))
    if len(found.of("trained")) != checkpoint.training_images:
        raise DataError(
            f"{dataset.root} lacks images that {run} was trained on",
            "its memory holds patches of all of them",
            "give the data set that it was trained on, or train again",
        )
    sets = ImageSets.found(found, checkpoint.model.size)
    changes: dict[str, object] = {}
    if regions is not None:
        model.anomaly_map.ignore(regions)
        fit_map_weights(model, sets.held_out, checkpoint.training)
    changes["score_scale"], changes["reference"] = fit_thresholds(model, sets, checkpoint.training)
    changes["weights"], digest = save_weights(model, run)
    changes["weights_sha256"] = digest
    changes["images"] = read_run_images(run).model_copy(update={"weights_sha256": digest}).write(run)
    if regions is not None:
        tight = tight_region_findings(
            model, (sets.held_out, sets.thresholds), checkpoint.products, checkpoint.training.batch_size
        )
        kept = [doubt for doubt in checkpoint.doubts if not doubt.startswith(TEXT)]
        changes["doubts"] = (*kept, *(finding.text for finding in tight))
        changes["ignored"] = ignored_shares(model, checkpoint.products)
    return checkpoint.model_copy(update=changes)
