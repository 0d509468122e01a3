"""A model on a labelled test set: metrics per product, verdicts, and the cases worth looking at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snl_edge.contract.graph import Prediction
from snl_edge.data.masks import fit_mask
from snl_edge.data.samples import Sample
from snl_edge.errors import ResultError
from snl_edge.image import fit_to_input
from snl_edge.runtime.verdict import Decision
from snl_edge.scoring.scale import DECISION
from snl_edge.scoring.threshold import operating_point

from .cases import Case, Gallery, Picture, Rules
from .metrics import PixelMetrics, rank_images
from .other_thresholds import other_thresholds
from .results import Evaluation, ProductResult

Predict = Callable[[NDArray[np.uint8]], Prediction]
"""``uint8 [B, H, W, 3]`` to the fused graph's outputs."""


def evaluate(
    predict: Predict,
    samples: Sequence[Sample],
    size: tuple[int, int],
    *,
    rules: Rules | None = None,
    threshold: Callable[[str], float] = lambda product: DECISION,
    names: Sequence[str] = (),
    batch_size: int = 8,
    progress: Callable[[int, int], None] = lambda done, total: None,
    shown: int = 3,
    as_images: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None,
    ignored: Mapping[str, NDArray[np.bool_]] | None = None,
) -> Evaluation:
    """Judges ``samples`` and measures.

    With ``rules``, verdicts are those of a device, which recognises the product by itself; they are what a line sees.
    Images of products that are not in the rules' manifest only count among those never learned. Metrics and the rates
    at the threshold go by the product that the folder names: they must not depend on what else the model took a part
    for. Without rules there are only these, by the ``threshold`` of each product; ``names`` of the products, in the
    graph's order, then still tell which one each image comes closest to.

    The next batch is decoded while the model runs.
    Masks are compared at the model's input ``size = (height, width)``; a defective image without one takes no part in
    pixel metrics. Memory holds one batch, one histogram
    set and the pictures that the gallery will show: up to ``shown`` of each kind and product. ``as_images`` makes of a
    picture what ``predict`` takes, where that is not the picture at this size. ``ignored`` says by product which pixels
    ``bool [H, W]`` the model leaves out, and so do pixel metrics; a defect that lies wholly there counts as any other.

    Raises:
        DataError: an image or mask cannot be read.
        ResultError: a score or a map is no finite number.
    """
    cases: list[Case] = []
    never_learned: list[Case] = []
    products: dict[str, ProductResult] = {}
    gallery: dict[str, tuple[Picture, ...]] = {}
    for product in sorted({sample.product for sample in samples}):
        own = [sample for sample in samples if sample.product == product]
        learned = rules is None or product in rules.manifest.products
        pixels, judged, pictures = PixelMetrics(), [], Gallery(shown)
        region, hidden = (ignored or {}).get(product), 0
        for sample, image, mask, (anomaly_map, score, nearest, distance) in _run(
            predict, own, size, batch_size, as_images
        ):
            if rules is not None:
                case = _judge(sample, score, nearest, distance, rules)
            else:
                nearest_name = names[int(nearest)] if names else None
                case = _by_threshold(sample, score, nearest_name, distance, threshold(product))
            if learned and (sample.is_good or mask is not None):
                pixels.update(anomaly_map, np.zeros(size, bool) if mask is None else mask, region)
            hidden += mask is not None and region is not None and not (mask & ~region).any()
            pictures.offer(Picture(case, image, anomaly_map, np.zeros(size, bool) if mask is None else mask))
            judged.append(case)
            progress(len(cases) + len(never_learned) + len(judged), len(samples))
        gallery[product] = pictures.chosen()
        if learned:
            cases += judged
            share = 0.0 if region is None else float(region.mean())
            products[product] = replace(_result(judged, pixels, rules), ignored=share, hidden=hidden)
        else:
            never_learned += judged
    return Evaluation(tuple(cases), products, gallery, tuple(never_learned), recognises=rules is not None)


def _judge(sample: Sample, score: np.float32, nearest: np.int32, distance: np.float32, rules: Rules) -> Case:
    learned = rules.manifest.products
    named = rules.decide(score, nearest, distance, sample.product) if sample.product in learned else None
    recognised = rules.decide(score, nearest, distance)
    return Case(sample, float(score), named, recognised, learned[int(nearest)], float(distance))


def _by_threshold(
    sample: Sample, score: np.float32, nearest: str | None, distance: np.float32, threshold: float
) -> Case:
    kind = "reject" if float(score) > threshold else "good"
    decision = Decision(kind, float(score), threshold, sample.product, float(distance))
    return Case(sample, float(score), decision, None, nearest, float(distance))


def _result(cases: Sequence[Case], pixels: PixelMetrics, rules: Rules | None) -> ProductResult:
    scores = [case.score for case in cases]
    defective = [not case.sample.is_good for case in cases]
    (threshold,) = {case.named.threshold for case in cases if case.named and case.named.threshold is not None}
    without_mask = sum(not case.sample.is_good and case.sample.mask is None for case in cases)
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
        without_mask,
        other_thresholds=()
        if rules is None
        else other_thresholds(
            scores,
            defective,
            threshold,
            rules.manifest.score_scale.false_reject_budget,
            rules.shift(cases[0].sample.product),
        ),
    )


def _run(
    predict: Predict,
    samples: Sequence[Sample],
    size: tuple[int, int],
    batch_size: int,
    as_images: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None,
) -> Iterator[tuple[Sample, NDArray[np.uint8], NDArray[np.bool_] | None, tuple[Any, ...]]]:
    """Sample, picture, mask where there is one, and the graph's outputs for this one image."""
    batches = [samples[start : start + batch_size] for start in range(0, len(samples), batch_size)]

    def decode(
        batch: Sequence[Sample],
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], list[NDArray[np.bool_] | None]]:
        whole = [s.read() for s in batch]
        pictures = np.stack([fit_to_input(picture, size) for picture in whole])
        images = pictures if as_images is None else np.stack([as_images(picture) for picture in whole])
        return images, pictures, [None if s.mask is None else fit_mask(s.mask.read(), size) for s in batch]

    with ThreadPoolExecutor(1) as reader:
        upcoming = reader.submit(decode, batches[0])
        for index, batch in enumerate(batches):
            images, pictures, masks = upcoming.result()
            if index + 1 < len(batches):
                upcoming = reader.submit(decode, batches[index + 1])
            found = predict(images)
            _check(found, batch)
            yield from zip(batch, pictures, masks, zip(*found, strict=True), strict=True)


def _check(found: Prediction, batch: Sequence[Sample]) -> None:
    """A score that is no number is above no threshold: its part would pass as good."""
    for name, values in (("score", found.score), ("distance", found.product_distance), ("map", found.anomaly_map)):
        sound = np.isfinite(values).reshape(len(batch), -1).all(axis=1)
        if not sound.all():
            raise ResultError(
                f"the {name} of {batch[int(np.argmin(sound))].path} is no finite number",
                fix="check the model: `snl-edge inspect` tells whether its files are intact; else train again",
            )
