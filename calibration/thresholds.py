"""Thresholds of the very graph that will run: its scores lie a little otherwise than those of FP32."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from snl_edge.calibration.score import ScoreCalibration
from snl_edge.data.loader import ImageStore
from snl_edge.data.samples import Sample
from snl_edge.evaluation.evaluate import Predict

Scores = Mapping[str, Sequence[float]]


def scores_of(
    predict: Predict,
    samples: Sequence[Sample],
    size: tuple[int, int],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, list[float]]:
    """Scores of good images by product, in their order.

    Raises:
        DataError: an image cannot be read.
    """
    scores: dict[str, list[float]] = {}
    for indices, images in ImageStore(samples, size, budget=0).batches(1):
        scores.setdefault(samples[indices.start].product, []).append(float(predict(images).score[0]))
        progress(indices.stop, len(samples))
    return scores


def recalibrate(calibration: ScoreCalibration, exact: Scores, own: Scores) -> ScoreCalibration:
    """The calibration of a graph whose scores of good images are ``own`` where the FP32 graph's are ``exact``.

    Each product's threshold moves by the median ratio of its scores, image by image; the common one by the median
    of all. Choosing thresholds from ``own`` alone, as in training, would move every one of them with the luck of
    the few highest scores: on ten real products 34 of 992 verdicts flipped instead of 21.

    Args:
        calibration: of the FP32 graph; ``own`` and ``exact`` are on its scale.
        exact: by product.
        own: of the same images in the same order.
    """
    ratios = {product: np.array(own[product]) / np.array(exact[product]) for product in exact}
    common = float(np.median(np.concatenate(list(ratios.values()))))
    thresholds = {
        product: value * float(np.median(ratios[product])) / common if product in ratios else value
        for product, value in calibration.product_thresholds.items()
    }
    return calibration.model_copy(
        update={"raw_threshold": calibration.raw_threshold * common, "product_thresholds": thresholds}
    )
