"""Images that show the same part again: shots of a burst, copies, files saved again with another compression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snl_edge.data.findings import Finding
from snl_edge.data.loader import ImageStore
from snl_edge.data.samples import Sample
from snl_edge.opencv import cv2

SIDE = 64
"""Of the thumbnails that are compared, in pixels: sensor noise averages out in them."""
NEIGHBOURHOOD = 7
"""Cells whose mean is taken away from each: exposure and shading do not count, details do."""
NOISE, QUALITY = 1.0, 75
"""Grey levels of noise and JPEG quality of the copy that says how far apart two shots of one part may be."""
SHARE_OF_USUAL = 0.5
"""Repeats lie nearer than this share of how far the nearest other part usually is."""
SAME = 1e-3
"""Distance below which two thumbnails are the same."""
NEIGHBOURS = 32
"""Images, the nearest, that one is linked to at most: enough to hold a group of any size together."""
ROWS = 1024
"""Images whose distances to all others are held at a time."""


@dataclass(frozen=True)
class Parts:
    """Which images show one part."""

    groups: NDArray[np.intp]
    """``[N]``: images of a product that show one part have one number."""
    alike: tuple[str, ...] = ()
    """Products whose images are all so alike that nothing tells whether they show one part or many."""


def find_parts(store: ImageStore, seed: int, progress: Callable[[int, int], None] = lambda done, total: None) -> Parts:
    """Which images of ``store`` repeat others of their product.

    Images are compared as thumbnails of their details, normalised: two are repeats if they are no farther apart than
    an image from its own copy with a grey level of noise and JPEG compression, *and* clearly nearer than different
    parts of the product usually are to each other; chains of repeats are one group. On the training images of ten real
    products (`docs/snl.md`) such copies lie at most at 0.23 of the usual distance of the nearest other part. The
    teacher's features tell worse: there compression of a fine texture moves an image as far as another part lies.

    Raises:
        DataError: an image cannot be read.
    """
    thumbnails, reach = _thumbnails(store, seed, progress)
    products = np.array([sample.product for sample in store.samples])
    groups = np.empty(len(store), np.intp)
    count, alike = 0, []
    for product in sorted(set(products.tolist())):
        own = np.flatnonzero(products == product)
        labels, told = group(thumbnails[torch.from_numpy(own)], reach[own])
        groups[own] = count + labels
        count += int(labels.max()) + 1
        alike += [] if told else [product]
    return Parts(groups, tuple(alike))


def group(thumbnails: Tensor, reach: NDArray[np.float64]) -> tuple[NDArray[np.intp], bool]:
    """Labels ``[N]`` of unit vectors ``[N, D]`` of one product, each with how far its own noisy copy lies.

    And whether they can be told: if all lie within reach of each other, a burst of one part looks like a product
    without variation, and only images that are the same pixel for pixel are one group.
    """
    pairs, distances = _near_pairs(thumbnails, reach)
    labels = _components(len(reach), pairs)
    if len(reach) > 1 and labels.max() == 0:
        return _components(len(reach), pairs[distances < SAME]), False
    usual = _usual_distance(thumbnails, labels)
    return _components(len(reach), pairs[distances < SHARE_OF_USUAL * usual]), True


def repeat_findings(samples: Sequence[Sample], parts: Parts) -> list[Finding]:
    """One line for each product whose images repeat, or may."""
    findings: list[Finding] = []
    for product in sorted({sample.product for sample in samples}):
        own = np.array([i for i, sample in enumerate(samples) if sample.product == product])
        numbers, sizes = np.unique(parts.groups[own], return_counts=True)
        if product in parts.alike:
            text = (
                f"{product}: its {len(own)} training images differ no more than shots of one part do; if they are "
                "that, good parts will be rejected: show it other parts"
            )
            findings.append(Finding("repeats", text, tuple(samples[i].path for i in own)))
        elif len(numbers) < len(own):
            shown = [
                samples[i].path for n in numbers[np.argsort(-sizes, kind="stable")] for i in own[parts.groups[own] == n]
            ]
            repeated = int(sizes[sizes > 1].sum())
            text = (
                f"{product}: {repeated} of {len(own)} training images show a part again (as {shown[0].name} and "
                f"{shown[1].name}); they count as {len(numbers)} parts: show it more parts, not more shots"
            )
            findings.append(Finding("repeats", text, tuple(shown[:repeated])))
    return findings


def _thumbnails(
    store: ImageStore, seed: int, progress: Callable[[int, int], None]
) -> tuple[Tensor, NDArray[np.float64]]:
    """Unit vectors ``float32 [N, SIDE²]`` of all images, and how far each is from its noisy, compressed copy."""
    vectors = np.empty((len(store), SIDE * SIDE), np.float32)
    reach = np.empty(len(store))
    for indices, images in store.batches(16):
        for index, image in zip(indices, images, strict=True):
            rng = np.random.default_rng((seed, index))
            noisy = np.clip(image + rng.normal(0, NOISE, image.shape), 0, 255).round().astype(np.uint8)
            stored = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
            vectors[index] = _details(image)
            copy = np.asarray(cv2.imdecode(stored, cv2.IMREAD_COLOR), np.uint8)
            reach[index] = float(np.linalg.norm(vectors[index] - _details(copy)))
        progress(indices.stop, len(store))
    return torch.from_numpy(vectors), reach


def _details(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """``uint8 [H, W, 3]`` to a unit vector ``float32 [SIDE²]`` of what differs from its surroundings."""
    small = cv2.resize(image.astype(np.float32).mean(axis=2), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    details = (small - cv2.blur(small, (NEIGHBOURHOOD, NEIGHBOURHOOD))).ravel()
    length = float(np.linalg.norm(details))
    return details / length if length > 1e-6 else np.zeros_like(details)  # a picture of one colour has no details


def _near_pairs(vectors: Tensor, reach: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Pairs ``[M, 2]`` of near images within reach of one of the two, and their distances ``[M]``."""
    limits, most = torch.from_numpy(reach).float(), min(NEIGHBOURS + 1, len(reach))  # each is its own nearest
    pairs, found = [], []
    for start in range(0, len(vectors), ROWS):
        distances = _distances(vectors[start : start + ROWS], vectors)
        nearest, columns = distances.topk(most, largest=False)  # [R, K]
        rows = torch.arange(start, start + len(nearest)).unsqueeze(1).expand_as(columns)
        linked = (nearest <= torch.maximum(limits[rows], limits[columns])) & (rows != columns)
        pairs.append(torch.stack([rows[linked], columns[linked]], dim=1).numpy())
        found.append(nearest[linked].numpy())
    return np.concatenate(pairs), np.concatenate(found)


def _usual_distance(vectors: Tensor, labels: NDArray[np.intp]) -> float:
    """The median over groups of how far the nearest image of another group is."""
    names = torch.from_numpy(labels)
    nearest = np.full(labels.max() + 1, np.inf)
    for start in range(0, len(vectors), ROWS):
        distances = _distances(vectors[start : start + ROWS], vectors)
        distances[names[start : start + ROWS, None] == names[None]] = torch.inf
        np.minimum.at(nearest, labels[start : start + ROWS], distances.amin(dim=1).numpy())
    return float(np.median(nearest))


def _distances(some: Tensor, every: Tensor) -> Tensor:
    squares = some.square().sum(dim=1)[:, None] + every.square().sum(dim=1)[None] - 2 * some @ every.T
    return squares.clamp_min(0).sqrt()


def _components(count: int, pairs: NDArray[np.intp]) -> NDArray[np.intp]:
    """Labels ``[count]`` of what ``pairs`` connect, numbered in the order of their first members."""
    first = np.arange(count)

    def root(index: int) -> int:
        while first[index] != index:
            first[index] = first[first[index]]
            index = first[index]
        return index

    for one, other in pairs.tolist():
        low, high = sorted((root(one), root(other)))
        first[high] = low
    return np.unique([root(index) for index in range(count)], return_inverse=True)[1].astype(np.intp)
