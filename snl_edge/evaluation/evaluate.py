"""A model on a labelled test set: metrics per product, verdicts, and the cases worth looking at."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snl_edge.data.masks import fit_mask
from snl_edge.data.samples import Sample
from snl_edge.image import fit_to_input
from snl_edge.runtime.manifest import KNOWN
from snl_edge.runtime.prediction import Prediction

from .metrics import PixelMetrics, rank_images
from .threshold import OperatingPoint, operating_point

Predict = Callable[[NDArray[np.uint8]], Prediction]
"""``uint8 [B, H, W, 3]`` to the fused graph's outputs."""


@dataclass(frozen=True)
class Case:
    """One judged image."""

    sample: Sample
    score: float
    reject: bool
    """By the threshold of the product that its folder names."""
    nearest: str | None
    """The product it was recognised as; None where the names of the learned products were not given."""
    product_distance: float


@dataclass(frozen=True)
class Recognition:
    """How well products are recognised, as fractions of images of learned products; NaN where there are none."""

    accuracy: float
    """Good images whose nearest product is their own."""
    false_unknown_rate: float
    """Good images taken for an unknown product."""
    defective_accuracy: float
    defective_unknown_rate: float


@dataclass(frozen=True)
class Picture:
    """What the report shows of a case: input ``uint8 [H, W, 3]``, map ``float32 [H, W]``, mask ``bool [H, W]``."""

    case: Case
    image: NDArray[np.uint8]
    anomaly_map: NDArray[np.float32]
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class ProductResult:
    """Metrics of one product, as fractions; NaN where they are not defined."""

    image_auroc: float
    image_ap: float
    image_f1_max: float
    pixel_auroc: float
    pixel_ap: float
    pixel_f1_max: float
    aupro: float
    threshold: float
    at_threshold: OperatingPoint


METRICS = ("image_auroc", "image_ap", "image_f1_max", "pixel_auroc", "pixel_ap", "pixel_f1_max", "aupro")


@dataclass(frozen=True)
class Evaluation:
    """All results; ``gallery`` holds the pictures by product: worst false rejects, worst escapes, best detections."""

    cases: tuple[Case, ...]
    products: dict[str, ProductResult]
    gallery: dict[str, tuple[Picture, ...]]
    learned: tuple[str, ...] = ()
    unknown_limit: float = KNOWN

    @property
    def recognition(self) -> Recognition:
        """Over all images whose folder names a learned product."""
        cases = [case for case in self.cases if case.sample.product in self.learned]
        rates: list[float] = []
        for good in (True, False):
            own = [case for case in cases if case.sample.is_good == good]
            right = [case.nearest == case.sample.product for case in own]
            unknown = [case.product_distance > self.unknown_limit for case in own]
            rates += [float(np.mean(counted)) if own else math.nan for counted in (right, unknown)]
        return Recognition(*rates)

    @property
    def mean(self) -> dict[str, float]:
        """The mean over products of each metric and rate, products where it is not defined left out."""
        rates = {
            "false_reject_rate": [r.at_threshold.false_reject_rate for r in self.products.values()],
            "escape_rate": [r.at_threshold.escape_rate for r in self.products.values()],
        }
        values = {metric: [getattr(r, metric) for r in self.products.values()] for metric in METRICS} | rates
        return {name: float(np.nanmean(v)) if not np.isnan(v).all() else math.nan for name, v in values.items()}

    def figures(self) -> dict[str, Any]:
        """The figures as plain data for JSON: fractions, ``None`` where not defined."""
        products = {
            name: {k: v for k, v in asdict(result).items() if k != "at_threshold"} | asdict(result.at_threshold)
            for name, result in self.products.items()
        }
        return {
            "mean": _plain(self.mean),
            "products": _plain(products),
            "recognition": _plain(asdict(self.recognition)),
        }


def evaluate(
    predict: Predict,
    samples: Sequence[Sample],
    size: tuple[int, int],
    *,
    threshold: Callable[[str], float] = lambda product: 0.5,
    learned: Sequence[str] = (),
    unknown_limit: float = KNOWN,
    batch_size: int = 8,
    progress: Callable[[int, int], None] = lambda done, total: None,
    shown: int = 3,
    as_images: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None,
) -> Evaluation:
    """Judges ``samples``, each with the ``threshold`` of the product that its folder names, and measures.

    A metric per product must not depend on what else the model took a part for; how well it recognises the
    ``learned`` products, named in the graph's order, is measured apart.
    The next batch is decoded while the model runs.
    Masks are compared at the model's input ``size = (height, width)``; a defective image without one takes no part in
    pixel metrics. Memory holds one batch, one histogram
    set and the pictures that the gallery will show: up to ``shown`` of each kind and product. ``as_images`` makes of a
    picture what ``predict`` takes, where that is not the picture at this size.

    Raises:
        DataError: an image or mask cannot be read.
    """
    cases: list[Case] = []
    products: dict[str, ProductResult] = {}
    gallery: dict[str, tuple[Picture, ...]] = {}
    for product in sorted({sample.product for sample in samples}):
        own = [sample for sample in samples if sample.product == product]
        limit = threshold(product)
        pixels, judged, pictures = PixelMetrics(), [], _Gallery(shown)
        for sample, image, mask, (anomaly_map, score, nearest, distance) in _run(
            predict, own, size, batch_size, as_images
        ):
            name = learned[int(nearest)] if learned else None
            case = Case(sample, float(score), float(score) > limit, name, float(distance))
            if sample.is_good or sample.mask is not None:
                pixels.update(anomaly_map, mask)
            pictures.offer(Picture(case, image, anomaly_map, mask))
            judged.append(case)
            progress(len(cases) + len(judged), len(samples))
        cases += judged
        gallery[product] = pictures.chosen()
        products[product] = _result(judged, pixels, limit)
    return Evaluation(tuple(cases), products, gallery, tuple(learned), unknown_limit)


def _result(cases: Sequence[Case], pixels: PixelMetrics, threshold: float) -> ProductResult:
    scores = [case.score for case in cases]
    defective = [not case.sample.is_good for case in cases]
    image, pixel = rank_images(scores, defective), pixels.compute()
    return ProductResult(
        image.auroc,
        image.ap,
        image.f1_max,
        pixel.auroc,
        pixel.ap,
        pixel.f1_max,
        pixel.aupro,
        threshold,
        operating_point(scores, defective, threshold),
    )


def _run(
    predict: Predict,
    samples: Sequence[Sample],
    size: tuple[int, int],
    batch_size: int,
    as_images: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None,
) -> Iterator[tuple[Sample, NDArray[np.uint8], NDArray[np.bool_], tuple[Any, ...]]]:
    """Sample, picture, mask, and the graph's outputs for this one image."""
    batches = [samples[start : start + batch_size] for start in range(0, len(samples), batch_size)]

    def decode(batch: Sequence[Sample]) -> tuple[NDArray[np.uint8], NDArray[np.uint8], list[NDArray[np.bool_]]]:
        whole = [s.read() for s in batch]
        pictures = np.stack([fit_to_input(picture, size) for picture in whole])
        images = pictures if as_images is None else np.stack([as_images(picture) for picture in whole])
        return images, pictures, [_mask(s, size) for s in batch]

    with ThreadPoolExecutor(1) as reader:
        upcoming = reader.submit(decode, batches[0])
        for index, batch in enumerate(batches):
            images, pictures, masks = upcoming.result()
            if index + 1 < len(batches):
                upcoming = reader.submit(decode, batches[index + 1])
            yield from zip(batch, pictures, masks, zip(*predict(images), strict=True), strict=True)


def _mask(sample: Sample, size: tuple[int, int]) -> NDArray[np.bool_]:
    return np.zeros(size, bool) if sample.mask is None else fit_mask(sample.mask.read(), size)


class _Gallery:
    """Keeps the pictures of the worst false rejects, the worst escapes and the clearest detections."""

    def __init__(self, shown: int) -> None:
        self._shown = shown
        self._kinds: dict[str, list[Picture]] = {"false reject": [], "escape": [], "detection": []}

    def offer(self, picture: Picture) -> None:
        good, reject = picture.case.sample.is_good, picture.case.reject
        if good and not reject:
            return
        kind = "false reject" if good else ("detection" if reject else "escape")
        kept = self._kinds[kind]
        # Slices of a batch would keep the whole batch alive.
        copies = (picture.image.copy(), picture.anomaly_map.copy(), picture.mask)
        kept.append(Picture(picture.case, *copies))
        kept.sort(key=lambda p: p.case.score, reverse=kind != "escape")
        del kept[self._shown :]

    def chosen(self) -> tuple[Picture, ...]:
        return tuple(picture for kept in self._kinds.values() for picture in kept)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
