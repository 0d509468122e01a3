"""Cross-class interference: does a model of many products flag one product's pixels in a picture of another?

A student that has learnt many products can put together an anomaly of one from normal pieces of the others. Two
kinds of probes, made from good test images, show it: a *mixed* image is half one product and half another, a
*pasted* image carries a square patch of another product. Every pixel of a probe was learnt as normal, in another
place; a good model flags it all the same.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from statistics import fmean
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snl_edge.contract.graph import Prediction
from snl_edge.data.samples import Sample
from snl_edge.errors import DataError
from snl_edge.image import fit_to_input

from .evaluate import Predict
from .metrics import PixelMetrics, rank_images
from .results import nan_as_none

MOST = 16
"""Probes of each kind and product."""
PATCH = 4
"""The patch's side is the input's height (or width, if smaller) divided by this."""
VISIBLE = 16.0
"""Mean change of the pixels under a patch, in grey levels; below, background may have been put on background."""
ATTEMPTS = 20
METRICS = ("mixed_image_auroc", "mixed_verdict_auroc", "pasted_image_auroc", "pasted_pixel_auroc", "pasted_aupro")


@dataclass(frozen=True)
class Probe:
    """An image to judge, ``uint8 [H, W, 3]``, and where it shows another product, ``bool [H, W]``."""

    product: str
    kind: Literal["good", "mixed", "pasted"]
    image: NDArray[np.uint8]
    foreign: NDArray[np.bool_]


@dataclass(frozen=True)
class ProductInterference:
    """Metrics of one product against its own unmodified images, as fractions; NaN where there are no images.

    The pixel metrics count the pixels of pasted and of unmodified images.
    """

    mixed_image_auroc: float
    """By the score alone."""
    mixed_verdict_auroc: float
    """By how far the verdict is from letting it pass: two products in one picture may look like none of them."""
    pasted_image_auroc: float
    pasted_pixel_auroc: float
    pasted_aupro: float
    images: int
    """Unmodified images; there are as many probes of each kind."""


@dataclass(frozen=True)
class Interference:
    """The metrics of every product."""

    products: dict[str, ProductInterference]

    @property
    def mean(self) -> dict[str, float]:
        """The mean over products of each metric, products without good test images left out."""
        found = {metric: [getattr(product, metric) for product in self.products.values()] for metric in METRICS}
        return {metric: fmean(known) if (known := _known(values)) else math.nan for metric, values in found.items()}

    def figures(self) -> dict[str, Any]:
        """The figures as plain data for JSON: fractions, ``None`` where not defined."""
        products = {name: nan_as_none(asdict(product)) for name, product in self.products.items()}
        return {"mean": nan_as_none(self.mean), "products": products}


def measure_interference(
    predict: Predict,
    samples: Sequence[Sample],
    size: tuple[int, int],
    *,
    seed: int = 0,
    most: int = MOST,
    batch_size: int = 8,
    objection: Callable[[Prediction], NDArray[np.float64]] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Interference:
    """Judges the probes that the good ones of the test images ``samples`` give; memory holds one batch of them.

    Two models see the same probes if they have the same ``size = (height, width)``, ``seed`` and ``most``.
    ``objection`` says how much a verdict holds against each image ``[B]``, as :meth:`.run.Subject.objection`; without
    it no verdicts are ranked.

    Raises:
        DataError: fewer than two products have good test images, or an image cannot be read.
    """
    good = _good_images(samples)
    total = 3 * sum(min(most, len(own)) for own in good.values())
    done = 0
    products: dict[str, ProductInterference] = {}
    for product in good:
        pixels = PixelMetrics()
        scores: dict[str, list[float]] = {"good": [], "mixed": [], "pasted": []}
        held_against: dict[str, list[float]] = {"good": [], "mixed": [], "pasted": []}
        stream = probes_of(product, good, size, seed=seed, most=most)
        while batch := list(islice(stream, batch_size)):
            prediction = predict(np.stack([probe.image for probe in batch]))
            against = np.full(len(batch), np.nan) if objection is None else objection(prediction)
            for probe, anomaly_map, score, own in zip(
                batch, prediction.anomaly_map, prediction.score, against, strict=True
            ):
                scores[probe.kind].append(float(score))
                held_against[probe.kind].append(float(own))
                if probe.kind != "mixed":
                    pixels.update(anomaly_map, probe.foreign)
            done += len(batch)
            progress(done, total)
        pasted = pixels.compute()
        products[product] = ProductInterference(
            _auroc(scores["good"], scores["mixed"]),
            math.nan if objection is None else _auroc(held_against["good"], held_against["mixed"]),
            _auroc(scores["good"], scores["pasted"]),
            pasted.auroc,
            pasted.aupro,
            len(scores["good"]),
        )
    return Interference(products)


def make_probes(
    samples: Sequence[Sample], size: tuple[int, int], *, seed: int = 0, most: int = MOST
) -> Iterator[Probe]:
    """All probes of all products among the test images ``samples``, product by product.

    Raises:
        DataError: fewer than two products have good test images, or an image cannot be read.
    """
    good = _good_images(samples)
    for product in good:
        yield from probes_of(product, good, size, seed=seed, most=most)


def probes_of(
    product: str, good: Mapping[str, Sequence[Sample]], size: tuple[int, int], *, seed: int, most: int
) -> Iterator[Probe]:
    """The probes of ``product``: up to ``most`` of its ``good`` images, each as it is, mixed and pasted.

    The other product of a probe is drawn among all others, each equally often; everything depends on ``seed`` only.
    """
    rng = np.random.default_rng((seed, zlib.crc32(product.encode())))
    own = good[product]
    others = [name for name, images in good.items() if name != product and images]
    chosen = sorted(rng.choice(len(own), min(most, len(own)), replace=False)) if own else []
    for index in chosen:
        image = _read(own[index], size)
        yield Probe(product, "good", image, np.zeros(size, bool))
        yield Probe(product, "mixed", mix(image, _read(_draw(good, others, rng), size)), np.ones(size, bool))
        yield Probe(product, "pasted", *paste(image, _read(_draw(good, others, rng), size), rng))


def mix(image: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Half of each of two images ``uint8 [H, W, 3]``, rounded to the nearest."""
    return ((image.astype(np.uint16) + other + 1) // 2).astype(np.uint8)


def paste(
    image: NDArray[np.uint8], donor: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """``image`` with a square patch of ``donor``, both ``uint8 [H, W, 3]``, and where the patch is, ``bool [H, W]``.

    Both places are random. A patch that hardly changes the picture is no anomaly, so the places are drawn
    again, a few times; the most visible draw stays.
    """
    height, width = image.shape[:2]
    side = min(height, width) // PATCH
    best, most_change = (0, 0, 0, 0), -1.0
    for _ in range(ATTEMPTS):
        top, from_top = map(int, rng.integers(height - side + 1, size=2))
        left, from_left = map(int, rng.integers(width - side + 1, size=2))
        covered = image[top : top + side, left : left + side].astype(np.int16)
        change = float(np.abs(covered - donor[from_top : from_top + side, from_left : from_left + side]).mean())
        if change > most_change:
            best, most_change = (top, left, from_top, from_left), change
        if change >= VISIBLE:
            break
    top, left, from_top, from_left = best
    pasted, foreign = image.copy(), np.zeros((height, width), bool)
    pasted[top : top + side, left : left + side] = donor[from_top : from_top + side, from_left : from_left + side]
    foreign[top : top + side, left : left + side] = True
    return pasted, foreign


def _known(values: Sequence[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def _good_images(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Good images by product; a product without any stays, with none, so that it shows in the figures."""
    good: dict[str, list[Sample]] = {product: [] for product in sorted({s.product for s in samples})}
    for sample in sorted(samples, key=lambda s: s.path):
        if sample.is_good:
            good[sample.product].append(sample)
    present = [product for product, own in good.items() if own]
    if len(present) < 2:
        raise DataError(
            "interference between products cannot be measured",
            f"good test images are there of {', '.join(present) or 'no product'}, two products are needed",
            "use a data set of several products",
        )
    return good


def _draw(good: Mapping[str, Sequence[Sample]], others: Sequence[str], rng: np.random.Generator) -> Sample:
    images = good[others[int(rng.integers(len(others)))]]
    return images[int(rng.integers(len(images)))]


def _read(sample: Sample, size: tuple[int, int]) -> NDArray[np.uint8]:
    return fit_to_input(sample.read(), size)


def _auroc(good: Sequence[float], probes: Sequence[float]) -> float:
    return rank_images([*good, *probes], [False] * len(good) + [True] * len(probes)).auroc
