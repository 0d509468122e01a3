"""Fitting product recognition to the teacher's features of good images, and setting its limits by cross-validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from snl_edge.data.loader import ImageStore
from snl_edge.model.recognition import Recognition, pool
from snl_edge.model.snl import Snl
from snl_edge.model.teacher import Teacher
from snl_edge.progress import progress_bar
from snl_edge.scoring.threshold import LEAST_SPREAD, common_reach, spreads

from .config import TrainingConfig

Array = NDArray[np.float64]

FALSE_UNKNOWN_BUDGET = 0.005
"""Share of good parts that may lie beyond their product's own limit."""
SHRINKAGE = 0.3
"""Weight of the identity in the covariance of standardised features."""
FOLDS = 5
NOISE_IMAGES = 64
"""On which the roundings of a device are measured."""
ROOM = 1 / 3
"""How much of the way, on a logarithmic scale, a limit moves from a product's own images to the nearest other one's.

Half of the way calls fewer defective parts unknown, but then an unlearned product that resembles a learned one passes
for it more often; a part that is wrongly called unknown is at least stopped.
"""


@dataclass(frozen=True)
class RecognitionFit:
    """The constants of :class:`snl_edge.model.recognition.Recognition`, in its names."""

    centre: Array
    """``[C]``"""
    transform: Array
    """``[C, C]``"""
    prototypes: Array
    """``[K, C]``"""
    limits: Array
    """``[K]``"""

    def distances(self, embeddings: Array) -> Array:
        """Embeddings ``[N, C]`` to distances ``[N, K]``, each in units of the product's limit."""
        z = (embeddings - self.centre) @ self.transform
        # One product after the other: [N, K, C] would be large.
        columns = [np.sqrt(np.square(z - prototype).mean(axis=1)) for prototype in self.prototypes]
        return np.stack(columns, axis=1) / self.limits

    def recognise(self, embeddings: Array) -> tuple[NDArray[np.intp], Array]:
        """Number of the nearest product ``[N]`` and the distance from it ``[N]``, as the module tells them."""
        distances = self.distances(embeddings)
        nearest = (distances * self.limits).argmin(axis=1)
        return nearest, distances[np.arange(len(nearest)), nearest]

    def apply_to(self, recognition: Recognition) -> None:
        """Copies the constants into the module's buffers."""
        for name in ("centre", "transform", "prototypes", "limits"):
            buffer: torch.Tensor = getattr(recognition, name)
            buffer.copy_(torch.from_numpy(np.asarray(getattr(self, name))))


def learn_products(model: Snl, store: ImageStore, groups: Sequence[int], training: TrainingConfig) -> None:
    """Fits product recognition to the images trained on; ``groups`` numbers the part that each shows.

    The fit holds out images of its own, so that those held out of training stay unseen: how far they lie is the
    reference against which a line sees drift.
    """
    with progress_bar("learning to recognise products") as report:
        embeddings = embed(model.teacher, store, training.batch_size, report)
    noise = rounding_noise(model.teacher, store, training.batch_size)
    products = [sample.product for sample in store.samples]
    _, fit = fit_recognition(embeddings, products, training.seed, groups, noise=noise)
    fit.apply_to(model.recognition)


def embed(
    teacher: Teacher,
    store: ImageStore,
    batch_size: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Array:
    """Pooled teacher features ``float64 [N, C]`` of all images of ``store``.

    Raises:
        DataError: an image cannot be read.
    """
    device = teacher.mean.device
    parts: list[Array] = []
    with torch.no_grad():
        for indices, images in store.batches(batch_size):
            pixels = teacher.normalise(torch.from_numpy(images).to(device))
            parts.append(pool(teacher(pixels)).cpu().double().numpy())
            progress(indices.stop, len(store))
    return np.concatenate(parts)


@torch.no_grad()
def rounding_noise(teacher: Teacher, store: ImageStore, batch_size: int) -> Array:
    """What the roundings of a device do to the pooled features: the mean square of the error of each, ``[C]``.

    Measured in BF16, the coarsest type of numbers that a bundle runs its teacher in, on ``NOISE_IMAGES`` images of
    ``store`` at equal distances. Most of an error is the same for all images of a product, so it cannot be told from
    a look at how they spread.

    Raises:
        DataError: an image cannot be read.
    """
    device = teacher.mean.device
    chosen = np.unique(np.linspace(0, len(store) - 1, min(len(store), NOISE_IMAGES)).round().astype(int)).tolist()
    squares: list[Array] = []
    for start in range(0, len(chosen), batch_size):
        images = store.batch(chosen[start : start + batch_size])
        pixels = teacher.normalise(torch.from_numpy(images).to(device))
        exact = pool(teacher(pixels))
        with torch.autocast(device.type, torch.bfloat16):
            rounded = pool(teacher(pixels))
        squares.append((rounded - exact).square().cpu().double().numpy())
    return np.concatenate(squares).mean(axis=0)


def fit_recognition(
    embeddings: Array,
    products: Sequence[str],
    seed: int = 0,
    groups: Sequence[int] | None = None,
    noise: Array | None = None,
) -> tuple[tuple[str, ...], RecognitionFit]:
    """Prototypes, whitening and limits from embeddings ``[N, C]`` of good images and the product of each.

    Distances of images that a fit has seen are too small, so every image's distance is measured by a fit of the
    other folds, and made as large as the device's roundings make it. The limit of a product is set in two steps:

    1. as many of the product's own spreads above its own median as all products together need to keep
       ``FALSE_UNKNOWN_BUDGET`` (:func:`snl_edge.scoring.threshold.common_reach`), the spread of a product
       with few images drawn towards the common one;
    2. moved by ``ROOM`` of the way towards the nearest image of any other product, where there is room: a defect
       then stays a defect of its product. No defect is needed for that.

    A product with a single image says nothing of how its images differ: it has the widest limit of step 1.

    Args:
        embeddings: ``[N, C]``, a row each.
        products: of each row.
        seed: of the folds.
        groups: the image that each row shows, where several rows may show one (changed copies of it): they stay in one
            fold, because a fit that has seen one of them has seen the image. None: every row is an image of its own.
        noise: :func:`rounding_noise`, ``[C]``; None for none. Where good images hardly differ, whitening would
            magnify it.

    Returns:
        the names of the products, sorted, in the order of the prototypes; and the fit.
    """
    names = tuple(sorted(set(products)))
    index = np.array([names.index(product) for product in products])
    images = np.arange(len(index)) if groups is None else np.asarray(groups)
    floor = np.zeros(embeddings.shape[1]) if noise is None else noise
    folds = _folds(index, images, len(names), seed)
    unseen = _unseen_distances(embeddings, index, folds, floor, len(names))  # [N, K]
    limits = _limits(unseen, index, folds >= 0)
    return names, _fit(embeddings, index, _within(embeddings, index) + np.diag(floor), limits)


def _within(embeddings: Array, index: NDArray[np.intp]) -> Array:
    """Covariance ``[C, C]`` within products, every product counted alike that has two rows or more."""
    counts = np.bincount(index)
    sums = np.zeros((len(counts), embeddings.shape[1]))
    np.add.at(sums, index, embeddings)
    centred = embeddings - (sums / np.maximum(counts, 1)[:, None])[index]
    weights = 1 / np.maximum(counts - 1, 1) / max(1, (counts > 1).sum())
    return (centred * weights[index, None]).T @ centred


def _fit(embeddings: Array, index: NDArray[np.intp], covariance: Array, limits: Array) -> RecognitionFit:
    """Shrinkage Mahalanobis with one covariance."""
    means = np.stack([embeddings[index == product].mean(axis=0) for product in range(len(limits))])
    deviation = np.sqrt(np.diag(covariance))
    # A channel that never moved must not turn rounding noise into distance.
    deviation = np.maximum(deviation, 0.01 * np.median(deviation) + 1e-6)
    correlation = covariance / np.outer(deviation, deviation)
    shrunk = (1 - SHRINKAGE) * correlation + SHRINKAGE * np.eye(len(deviation))
    transform = np.linalg.cholesky(np.linalg.inv(shrunk)) / deviation[:, None]
    centre = means.mean(axis=0)
    return RecognitionFit(centre, transform, (means - centre) @ transform, limits)


def _folds(index: NDArray[np.intp], images: NDArray[np.intp], products: int, seed: int) -> NDArray[np.intp]:
    """The fold of each row; -1 where a product has one image, which is never held out."""
    rng = np.random.default_rng(seed)
    folds = np.full(len(index), -1)
    for product in range(products):
        own = rng.permutation(np.unique(images[index == product]))
        for place, image in enumerate(own if len(own) > 1 else ()):
            # Products start at different folds, so that no fold takes half of every small product away.
            folds[(index == product) & (images == image)] = (place + product) % FOLDS
    return folds


def _unseen_distances(
    embeddings: Array, index: NDArray[np.intp], folds: NDArray[np.intp], noise: Array, products: int
) -> Array:
    """Distances ``[N, K]`` of rows that the fit has not seen, roundings included; of fold -1, that it has seen."""
    distances = np.empty((len(index), products))
    for number in np.unique(folds):
        held_out = folds == number
        seen = ~held_out if number >= 0 else np.ones(len(index), bool)
        # What is left may say nothing of how images differ: two of one product, of which one is held out.
        telling = seen if np.bincount(index[seen]).max() > 1 else np.ones(len(index), bool)
        covariance = _within(embeddings[telling], index[telling]) + np.diag(noise)
        fit = _fit(embeddings[seen], index[seen], covariance, np.ones(products))
        rounding = float(noise @ np.square(fit.transform).mean(axis=1))
        distances[held_out] = np.sqrt(np.square(fit.distances(embeddings[held_out])) + rounding)
    return distances


def _limits(distances: Array, index: NDArray[np.intp], unseen: NDArray[np.bool_]) -> Array:
    """Limits ``[K]`` from distances ``[N, K]``, the product of each, and whether the fit had not seen it."""
    products = distances.shape[1]
    logarithms = [np.log(np.maximum(distances[index == k, k], 1e-9)) for k in range(products)]
    own_spreads = np.maximum(spreads(logarithms), LEAST_SPREAD).tolist()
    reach, _ = common_reach(logarithms, own_spreads, FALSE_UNKNOWN_BUDGET)
    limits = np.exp([np.median(own) + reach * spread for own, spread in zip(logarithms, own_spreads, strict=True)])
    alone = np.array([not unseen[index == k].any() for k in range(products)])
    limits[alone] = limits.max()
    for k in range(products):
        others = distances[index != k, k]
        if others.size:
            limits[k] *= max(1.0, float(others.min() / limits[k]) ** ROOM)
    return limits
