"""Which images ranges are measured on: balanced over products, diverse, and damaged ones among them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from snl_edge.data.samples import Sample
from snl_edge.errors import DataError
from snl_edge.image import fit_to_input
from snl_edge.runtime.manifest import sha256_of

Damage = Literal["none", "paste", "noise", "light"]
DAMAGES: tuple[Damage, ...] = ("paste", "noise", "light")
CANDIDATES_PER_PRODUCT = 200
"""Images of a product that are looked at for the most diverse; more cost time and add little."""


@dataclass(frozen=True)
class CalibrationImage:
    """One image of the set, and what is done to it."""

    sample: Sample
    damage: Damage
    donor: Sample
    """What ``paste`` takes its region from: an image of another product where there is one."""
    seed: int

    def read(self, size: tuple[int, int]) -> NDArray[np.uint8]:
        """The image as the graph sees it, ``uint8 [H, W, 3]``.

        Raises:
            DataError: it cannot be read.
        """
        image = fit_to_input(self.sample.read(), size)
        if self.damage == "none":
            return image
        rng = np.random.default_rng(self.seed)
        if self.damage == "light":
            gain, offset = rng.uniform(0.5, 1.5), rng.uniform(-50, 50)
            return np.clip(image * gain + offset, 0, 255).astype(np.uint8)
        damaged = image.copy()
        place = _region(size, rng)
        if self.damage == "noise":
            damaged[place] = rng.integers(0, 256, damaged[place].shape, dtype=np.uint8)
        else:
            damaged[place] = fit_to_input(self.donor.read(), size)[_region(size, rng, like=place)]
        return damaged

    def digest(self) -> str:
        """SHA-256 of the image file."""
        return sha256_of(self.sample.path)


def candidates(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """Up to ``CANDIDATES_PER_PRODUCT`` good images of each product, sorted by product.

    Raises:
        DataError: there is no good image.
    """
    rng = np.random.default_rng(seed)
    chosen: list[Sample] = []
    for product in sorted({sample.product for sample in samples if sample.is_good}):
        own = sorted((s for s in samples if s.product == product and s.is_good), key=lambda s: s.path)
        order = rng.permutation(len(own))[:CANDIDATES_PER_PRODUCT]
        chosen += [own[index] for index in sorted(order)]
    if not chosen:
        raise DataError("there is no good image to calibrate with", fix="give a folder of good images per product")
    return chosen


def choose_images(
    samples: Sequence[Sample], embeddings: NDArray[np.float64], count: int, seed: int, damaged: float = 0.5
) -> tuple[CalibrationImage, ...]:
    """Chooses ``count`` good images, and damages a share of them once more.

    Of every product equally many (as far as there are), each the farthest from those before it (k-centre greedy),
    beginning with the one nearest to the product's mean. Good images alone never excite a network as much as a
    defect does, and ranges measured on them clip just that: so ``damaged · count`` images come again with a region
    of another product, a square of noise, or other light.

    Args:
        samples: candidates.
        embeddings: pooled teacher features ``[N, C]`` of these.
        count: good images wanted; more than there are means all.
        seed: decides regions, donors and light.
        damaged: damaged images per good image.
    """
    rng = np.random.default_rng(seed)
    products = sorted({sample.product for sample in samples})
    index = {p: np.array([i for i, s in enumerate(samples) if s.product == p]) for p in products}
    quota = _quotas({p: len(own) for p, own in index.items()}, count)
    picked = {p: [samples[own[i]] for i in spread_out(embeddings[own], quota[p])] for p, own in index.items()}
    # Product by product in turn: the first few images show all products.
    rounds = range(max(map(len, picked.values())))
    good = [own[turn] for turn in rounds for own in picked.values() if turn < len(own)]
    images = [CalibrationImage(sample, "none", sample, 0) for sample in good]
    for turn, sample in enumerate(good[: round(damaged * len(good))]):
        others = [other for other in good if other.product != sample.product] or good
        donor = others[int(rng.integers(len(others)))]
        images.append(CalibrationImage(sample, DAMAGES[turn % len(DAMAGES)], donor, int(rng.integers(2**31))))
    return tuple(images)


def read_images(images: Sequence[CalibrationImage], size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """Each image as ``uint8 [H, W, 3]``, one at a time."""
    for image in images:
        yield image.read(size)


def digest_of(images: Sequence[CalibrationImage]) -> str:
    """One SHA-256 of the whole set, order included."""
    lines = (f"{image.digest()} {image.damage} {image.seed}" for image in images)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _quotas(available: dict[str, int], count: int) -> dict[str, int]:
    """How many of each product: equally many, and what one lacks others give."""
    quota = dict.fromkeys(available, 0)
    for _ in range(min(count, sum(available.values()))):
        product = min((p for p in available if quota[p] < available[p]), key=lambda p: quota[p])
        quota[product] += 1
    return quota


def spread_out(points: NDArray[np.float64], count: int) -> list[int]:
    """Indices of ``count`` points ``[N, C]``, each the farthest from those before it; the first is nearest the mean.

    Exact, in float64 and standardised, no point twice: ranges rest, byte for byte, on which of a few hundred images are
    chosen. Memories choose among tens of thousands of patches on the GPU, in a projection
    (``training.coreset.farthest_points``).
    """
    standard = (points - points.mean(axis=0)) / (points.std(axis=0) + 1e-9)
    chosen: list[int] = []
    distance = -np.square(standard).sum(axis=1)
    for _ in range(count):
        chosen.append(int(np.argmax(distance)))
        own = np.square(standard - standard[chosen[-1]]).sum(axis=1)
        distance = own if len(chosen) == 1 else np.minimum(distance, own)
        distance[chosen] = -1.0
    return chosen


def _region(
    size: tuple[int, int], rng: np.random.Generator, like: tuple[slice, slice] | None = None
) -> tuple[slice, slice]:
    """A rectangle of an eighth to a half of each side, or one as large as ``like``, anywhere."""
    extents = [int(rng.integers(side // 8, side // 2 + 1)) for side in size]
    if like is not None:
        extents = [place.stop - place.start for place in like]
    corners = [int(rng.integers(0, side - extent + 1)) for side, extent in zip(size, extents, strict=True)]
    rows, columns = (slice(c, c + e) for c, e in zip(corners, extents, strict=True))
    return rows, columns
