"""The decision threshold: from scores of good parts and a false-reject budget."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snl_edge.errors import ConfigError, DataError

from .prediction_limit import LEAST_SPREAD, order_statistic, prediction_limits

LEVEL_SPREAD = 0.05
"""How far, on a logarithmic scale, scores of new images usually lie from those of left-out ones."""
COMMON_SPREAD_VALUES = 20
"""A group's own spread counts as much as the common one when it has so many values."""
Method = Literal["order statistic", "common tail", "extrapolated"]
"""``order statistic``: the product's own images suffice for the budget. ``common tail``: those of all products
together do. ``extrapolated``: not even those, so that good scores are log-normal is assumed."""


@dataclass(frozen=True)
class Threshold:
    """A threshold and what it rests on."""

    value: float
    method: Method
    good_images: int
    exceeding: int
    """Of the good images, how many lie above it."""
    cut: int = 0
    """Images left out beside the good ones because they stood out: if these are good, they may lie above it."""


@dataclass(frozen=True)
class OperatingPoint:
    """What a threshold does to a labelled set; a rate is NaN where there is nothing to count."""

    false_reject_rate: float
    escape_rate: float
    false_rejects: int
    escapes: int
    good: int
    defective: int


def choose_threshold(good_scores: ArrayLike, false_reject_budget: float = 0.01) -> Threshold:
    """The lowest threshold that keeps false rejects within the budget; a part is rejected above it.

    With N scores and ``ceil((N + 1)(1 - budget)) <= N`` it is that order statistic: a new good part then
    exceeds it with a probability of at most the budget, for any distribution (split conformal prediction,
    Vovk et al. 2005; N = 99 for 1 %). With fewer scores no order statistic can promise the budget. The tail
    is then extrapolated as log-normal from median and median absolute deviation, never below the largest
    score.

    Args:
        good_scores: ``[N]``.
        false_reject_budget: share of good parts that may be rejected.

    Raises:
        DataError: no scores, or one that is no finite number.
        ConfigError: the budget is not between 0 and 1.
    """
    scores = np.sort(np.asarray(good_scores, dtype=np.float64).ravel())
    if not 0 < false_reject_budget < 1:
        raise ConfigError(
            f"a false-reject budget of {false_reject_budget} is impossible", fix="choose one such as 0.01"
        )
    if scores.size == 0:
        raise DataError("there are no good images to set the threshold from", fix="hold out some good images")
    if not np.isfinite(scores).all():
        raise DataError("a good image has a score that is no finite number", fix="check the model with FP32")
    rank = order_statistic(scores.size, false_reject_budget)
    if rank is not None:
        return _resting_on(scores, float(scores[rank - 1]), "order statistic")
    value = max(float(scores[-1]), _log_normal_quantile(scores, 1 - false_reject_budget))
    return _resting_on(scores, value, "extrapolated")


def choose_product_thresholds(
    good: Mapping[str, ArrayLike],
    false_reject_budget: float = 0.01,
    level_variance: float = 0.0,
    stood_out: Mapping[str, ArrayLike] | None = None,
) -> dict[str, Threshold]:
    """A threshold for each product: its own order statistic, or what all products together say of its tail.

    Products differ in how well the student imitates them and in how much their good parts vary, so one
    threshold for all lets defects of the easy ones escape. A product with enough images for the budget (99 for 1 %)
    has its own threshold of :func:`choose_threshold`, one with fewer its upper prediction limit
    (:func:`snl_edge.scoring.prediction_limit.prediction_limits`). Where images were left out because they stood out,
    the scores are a sample without its top: those left out count by their own scores, as good parts do, but by no more
    than the highest of the others, or the prediction limit if they lay there. If they were defective, that is as far as
    they move it; they never lower it.

    Args:
        good: scores of good images that the model judges as it would new ones, by product.
        false_reject_budget: share of good parts that may be rejected.
        level_variance: of :func:`pool_scores`.
        stood_out: by product, scores of images that are not among ``good`` because they stood out.

    Raises:
        DataError: a product has no score, or a score is not positive.
        ConfigError: the budget is not between 0 and 1.
    """
    used = {product: _values(own) for product, own in good.items()}
    left_out = {product: _values((stood_out or {}).get(product, ())) for product in good}
    chosen = _product_thresholds(used, false_reject_budget, level_variance)
    if not any(own.size for own in left_out.values()):
        return chosen
    at_the_top = {product: np.append(own, np.full(left_out[product].size, own.max())) for product, own in used.items()}
    limits, _ = prediction_limits(_logarithms(at_the_top), level_variance, false_reject_budget)
    most = {product: max(float(own.max()), math.exp(limits[product])) for product, own in used.items()}
    together = {product: np.append(own, np.minimum(left_out[product], most[product])) for product, own in used.items()}
    wider = _product_thresholds(together, false_reject_budget, level_variance)
    for product, own in left_out.items():
        if own.size:
            # More images make a tighter limit; those that stood out are no reason for one.
            larger = max(chosen[product], wider[product], key=lambda threshold: threshold.value)
            chosen[product] = _resting_on(used[product], larger.value, larger.method, own.size)
    return chosen


def _product_thresholds(
    scores: Mapping[str, NDArray[np.float64]], false_reject_budget: float, level_variance: float
) -> dict[str, Threshold]:
    logarithms = _logarithms(scores)
    own = {product: choose_threshold(values, false_reject_budget) for product, values in scores.items()}
    if all(alone.method == "order statistic" for alone in own.values()):
        return own
    limits, together = prediction_limits(logarithms, level_variance, false_reject_budget)
    method: Method = "common tail" if together else "extrapolated"
    return {
        product: alone
        if alone.method == "order statistic"
        else _resting_on(scores[product], math.exp(limits[product]), method)
        for product, alone in own.items()
    }


def common_reach(groups: Sequence[NDArray[np.float64]], scales: Sequence[float], budget: float) -> tuple[float, bool]:
    """How far from its group's median, in units of the group's scale, a value may lie; ``budget`` of all lie farther.

    Also whether there are enough values to certify that (:func:`choose_threshold`).
    """
    # exp: distances of either sign become the positive scores that choose_threshold expects.
    apart = [np.exp((group - np.median(group)) / scale) for group, scale in zip(groups, scales, strict=True)]
    chosen = choose_threshold(np.concatenate(apart) if apart else [], budget)
    return math.log(chosen.value), chosen.method == "order statistic"


@dataclass(frozen=True)
class Pool:
    """Scores of good images by product, judged or moved as those of new ones would be."""

    scores: dict[str, NDArray[np.float64]]
    level_variance: float
    """Of the error of the common factor, on a logarithmic scale; 0 where nothing was moved."""


def pool_scores(held_out: Mapping[str, ArrayLike], left_out: Mapping[str, ArrayLike]) -> Pool:
    """Scores of good images that nothing was fitted to, and of training images left out of the memory, as one sample.

    The memory judges a left-out image as it does a new one, but the student has seen it. So all left-out scores move
    by one factor, the median ratio of held-out scores to the median left-out score of the same product: the many
    left-out images tell how scores spread, the few held-out ones where they lie. Where these are very few, the factor
    is drawn towards 1 as far as ``LEVEL_SPREAD`` allows, and the two or three that happen to lie low do not decide.

    Args:
        held_out: by product.
        left_out: by product, of some of these products or of none.

    Raises:
        DataError: a score is not positive.
    """
    few, many = _logarithms(held_out), _logarithms(left_out)
    if not many:
        return Pool({product: np.exp(own) for product, own in few.items()}, 0.0)
    apart = np.concatenate([few[product] - np.median(own) for product, own in many.items()])
    # A median of N normal values has pi/2N times their variance.
    error = math.pi / 2 * _pooled_variance(many.values()) / apart.size
    trust = LEVEL_SPREAD**2 / (LEVEL_SPREAD**2 + error)
    shift = trust * float(np.median(apart))
    return Pool(
        {
            product: np.exp(np.concatenate([own, many[product] + shift]) if product in many else own)
            for product, own in few.items()
        },
        trust * error,
    )


def spreads(groups: Sequence[NDArray[np.float64]]) -> list[float]:
    """The spread of each group: its median absolute deviation, drawn towards that of all the fewer values it has."""
    deviations = [np.abs(group - np.median(group)) for group in groups]
    common = float(np.median(np.concatenate(deviations))) if deviations else 0.0
    return [
        math.sqrt(
            (len(own) * float(np.median(own)) ** 2 + COMMON_SPREAD_VALUES * common**2)
            / (len(own) + COMMON_SPREAD_VALUES)
        )
        + 1e-6
        for own in deviations
    ]


def operating_point(scores: ArrayLike, defective: ArrayLike, threshold: float) -> OperatingPoint:
    """False rejects among good parts and escapes among defective ones at ``threshold``."""
    rejected = np.asarray(scores) > threshold
    bad: NDArray[np.bool_] = np.asarray(defective, dtype=bool)
    false_rejects, escapes = int((rejected & ~bad).sum()), int((~rejected & bad).sum())
    good, bad_count = int((~bad).sum()), int(bad.sum())
    return OperatingPoint(
        false_rejects / good if good else math.nan,
        escapes / bad_count if bad_count else math.nan,
        false_rejects,
        escapes,
        good,
        bad_count,
    )


def _pooled_variance(groups: Iterable[NDArray[np.float64]]) -> float:
    """Of values about the median of their group, from the median absolute deviation."""
    deviations = np.concatenate([np.abs(group - np.median(group)) for group in groups])
    spread = max(float(np.median(deviations)) / NormalDist().inv_cdf(0.75), LEAST_SPREAD)
    return spread**2


def _resting_on(scores: NDArray[np.float64], value: float, method: Method, cut: int = 0) -> Threshold:
    return Threshold(value, method, scores.size, int((scores > value).sum()), cut)


def _values(scores: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(scores, dtype=np.float64).ravel()


def _logarithms(scores: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
    logarithms: dict[str, NDArray[np.float64]] = {}
    for product, own in scores.items():
        values = _values(own)
        if not values.size:
            raise DataError(
                f"product {product} has no good image to set a threshold from", fix="hold out some of its images"
            )
        if not (values > 0).all():
            raise DataError(f"a good image of product {product} has no score above 0", fix="train for more steps")
        logarithms[product] = np.log(values)
    return logarithms


def _log_normal_quantile(scores: NDArray[np.float64], share: float) -> float:
    logarithms = np.log(np.maximum(scores, np.finfo(np.float64).tiny))
    centre = float(np.median(logarithms))
    spread = float(np.median(np.abs(logarithms - centre))) / NormalDist().inv_cdf(0.75)
    return math.exp(centre + NormalDist().inv_cdf(share) * spread)
