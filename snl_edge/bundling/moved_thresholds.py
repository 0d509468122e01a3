"""Thresholds of the very graph that will run: its scores lie a little otherwise than those of FP32."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from snl_edge.data.samples import Sample
from snl_edge.evaluation.evaluate import Predict
from snl_edge.image import fit_to_input
from snl_edge.scoring.scale import ScoreScale

Scores = Mapping[str, Sequence[float]]
ENOUGH = 10
"""Images of a product that its median ratio is taken of, where there are so many."""
MIRRORS = tuple((slice(None, None, down), slice(None, None, across)) for down in (1, -1) for across in (1, -1))


def scores_of(
    predict: Predict,
    held_out: Sequence[Sample],
    size: tuple[int, int],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, list[float]]:
    """Scores of good images by product, in their order.

    Only of images that were not trained on: the memory holds patches of the others, whose distance is 0 in FP32 and
    a rounding error otherwise. A product with fewer than ``ENOUGH`` shows them mirrored as well.

    Raises:
        DataError: an image cannot be read.
    """
    counts = Counter(sample.product for sample in held_out)
    shown = [(s, mirror) for s in held_out for mirror in MIRRORS[: math.ceil(ENOUGH / counts[s.product])]]
    scores: dict[str, list[float]] = {}
    for done, (sample, mirror) in enumerate(shown, start=1):
        image = fit_to_input(sample.read(), size)[mirror]
        prediction = predict(np.ascontiguousarray(image)[None])
        scores.setdefault(sample.product, []).append(float(prediction.score[0]))
        progress(done, len(shown))
    return scores


def move_thresholds(score_scale: ScoreScale, kept: ScoreScale, exact: Scores, own: Scores) -> ScoreScale:
    """As `move_scale`, of a graph that keeps the scale ``kept``: its products' thresholds move by all of it."""
    moved = move_scale(score_scale, exact, own)
    common = moved.raw_threshold / score_scale.raw_threshold
    thresholds = {product: common * value for product, value in moved.product_thresholds.items()}
    return kept.model_copy(update={"product_thresholds": thresholds})


def move_scale(score_scale: ScoreScale, exact: Scores, own: Scores) -> ScoreScale:
    """The score scale of a graph whose scores of good images are ``own`` where the FP32 graph's are ``exact``.

    Each product's threshold moves by the median ratio of its scores, image by image; the common one by the median
    of all. Choosing thresholds from ``own`` alone, as in training, moves every one of them with the luck of the few
    highest scores, and was seen to flip half again as many verdicts.

    Args:
        score_scale: the FP32 graph's, on which ``own`` and ``exact`` are.
        exact: by product.
        own: of the same images in the same order.
    """
    ratios = {product: np.array(own[product]) / np.array(exact[product]) for product in exact}
    common = float(np.median(np.concatenate(list(ratios.values()))))
    thresholds = {
        product: value * float(np.median(ratios[product])) / common if product in ratios else value
        for product, value in score_scale.product_thresholds.items()
    }
    return score_scale.model_copy(
        update={"raw_threshold": score_scale.raw_threshold * common, "product_thresholds": thresholds}
    )
