"""Fitting product recognition to the teacher's features of good images, and setting its limits by cross-validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from snl_edge.data.loader import ImageStore
from snl_edge.evaluation.threshold import common_reach, spreads
from snl_edge.model.recognition import Recognition, pool
from snl_edge.model.snl import Snl
from snl_edge.model.teacher import Teacher
from snl_edge.progress import progress_bar

from .camera_changes import originals, with_copies
from .config import TrainingConfig

Array = NDArray[np.float64]

FALSE_UNKNOWN_BUDGET = 0.005
"""Share of good parts that may lie beyond their product's own limit."""
SHRINKAGE = 0.3
"""Weight of the identity in the covariance of standardised features."""
FOLDS = 5
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

    def apply_to(self, recognition: Recognition) -> None:
        """Copies the constants into the module's buffers."""
        for name in ("centre", "transform", "prototypes", "limits"):
            buffer: torch.Tensor = getattr(recognition, name)
            buffer.copy_(torch.from_numpy(np.asarray(getattr(self, name))))


def learn_products(model: Snl, stores: Sequence[ImageStore], training: TrainingConfig) -> None:
    """Fits product recognition to good images, held-out ones included: the fit holds out images of its own.

    With changed copies of them, so that what a camera changes counts as variation within a product, and limits hold
    for it.
    """
    parts: list[Array] = []
    images: list[NDArray[np.intp]] = []
    copied = [with_copies(store, training) for store in stores]
    before = 0
    for store, own in zip(stores, copied, strict=True):
        with progress_bar("learning to recognise products") as report:
            parts.append(embed(model.teacher, own, training.batch_size, report))
        images.append(before + originals(own, store))
        before += len(store)
    products = [sample.product for store in copied for sample in store.samples]
    _, fit = fit_recognition(np.concatenate(parts), products, training.seed, np.concatenate(images).tolist())
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


def fit_recognition(
    embeddings: Array, products: Sequence[str], seed: int = 0, groups: Sequence[int] | None = None
) -> tuple[tuple[str, ...], RecognitionFit]:
    """Prototypes, whitening and limits from embeddings ``[N, C]`` of good images and the product of each.

    Distances of images that a fit has seen are too small, so every image's distance is measured by a fit of the
    other folds; each product needs two images. The limit of a product is set in two steps:

    1. as many of the product's own spreads above its own median as all products together need to keep
       ``FALSE_UNKNOWN_BUDGET`` (:func:`snl_edge.evaluation.threshold.common_reach`), the spread of a product
       with few images drawn towards the common one;
    2. moved by ``ROOM`` of the way towards the nearest image of any other product, where there is room: a defect
       then stays a defect of its product. No defect is needed for that.

    Args:
        embeddings: ``[N, C]``, a row each.
        products: of each row.
        seed: of the folds.
        groups: the image that each row shows, where several rows may show one (changed copies of it): they stay in one
            fold, because a fit that has seen one of them has seen the image. None: every row is an image of its own.

    Returns:
        the names of the products, sorted, in the order of the prototypes; and the fit.
    """
    names = tuple(sorted(set(products)))
    index = np.array([names.index(product) for product in products])
    images = np.arange(len(index)) if groups is None else np.asarray(groups)
    unseen = _unseen_distances(embeddings, index, images, len(names), seed)  # [N, K]
    limits = _limits(unseen, index)
    return names, _fit(embeddings, index, limits)


def _fit(embeddings: Array, index: NDArray[np.intp], limits: Array) -> RecognitionFit:
    """Shrinkage Mahalanobis with one covariance: that within products, every product counted alike."""
    means, covariance = [], np.zeros((embeddings.shape[1],) * 2)
    for product in range(len(limits)):
        own = embeddings[index == product]
        means.append(own.mean(axis=0))
        covariance += np.cov(own.T, bias=True) / len(limits)
    deviation = np.sqrt(np.diag(covariance))
    # A channel that never moved must not turn rounding noise into distance.
    deviation = np.maximum(deviation, 0.01 * np.median(deviation) + 1e-6)
    correlation = covariance / np.outer(deviation, deviation)
    shrunk = (1 - SHRINKAGE) * correlation + SHRINKAGE * np.eye(len(deviation))
    transform = np.linalg.cholesky(np.linalg.inv(shrunk)) / deviation[:, None]
    centre = np.mean(means, axis=0)
    return RecognitionFit(centre, transform, (np.stack(means) - centre) @ transform, limits)


def _unseen_distances(
    embeddings: Array, index: NDArray[np.intp], images: NDArray[np.intp], products: int, seed: int
) -> Array:
    rng = np.random.default_rng(seed)
    fold = np.empty(len(index), np.intp)
    for product in range(products):
        own = rng.permutation(np.unique(images[index == product]))
        for place, image in enumerate(own):
            fold[(index == product) & (images == image)] = place % FOLDS
    distances = np.empty((len(index), products))
    for number in np.unique(fold):
        held_out = fold == number
        fit = _fit(embeddings[~held_out], index[~held_out], np.ones(products))
        distances[held_out] = fit.distances(embeddings[held_out])
    return distances


def _limits(distances: Array, index: NDArray[np.intp]) -> Array:
    """Limits ``[K]`` from distances ``[N, K]`` of images that the fit has not seen, and the product of each."""
    products = distances.shape[1]
    logarithms = [np.log(np.maximum(distances[index == k, k], 1e-9)) for k in range(products)]
    own_spreads = spreads(logarithms)
    reach, _ = common_reach(logarithms, own_spreads, FALSE_UNKNOWN_BUDGET)
    limits = np.exp([np.median(own) + reach * spread for own, spread in zip(logarithms, own_spreads, strict=True)])
    for k in range(products):
        others = distances[index != k, k]
        if others.size:
            limits[k] *= max(1.0, float(others.min() / limits[k]) ** ROOM)
    return limits
