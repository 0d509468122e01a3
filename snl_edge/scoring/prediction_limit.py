r"""Upper prediction limits: thresholds of products with few images that know how little their images say.

The logarithms of a product's n good scores are taken as draws of one distribution. With their mean m and an estimate s
of their spread that has ν degrees of freedom, a new one lies

.. math:: t = \frac{x - m}{\sqrt{s^2 (1 + 1/n) + u^2}}

from it, which follows Student's distribution if they are normal (Hahn and Meeker, *Statistical Intervals*, 1991). u is
the error of the level to which left-out scores were moved (:func:`snl_edge.scoring.threshold.pool_scores`). The
variance is a mean, weighed by degrees of freedom, of the product's own and of what is to be expected of a product: a
few scores that happen to lie close together make no tight limit.

Scores are not quite normal, and all products together tell how far their tail reaches. Each score is set against the
others of its product, and its t brought to the normal scale; the order statistic of all of these that the budget asks
for is what every product's limit must reach, up to ``FARTHEST``. With too few scores for that it is extrapolated. The
whole is ``WIDER``, as new parts are.

The constants are those of ten real products (docs/thresholds.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

USUAL_SPREAD = 0.08
"""Standard deviation of the logarithms of a product's good scores: the geometric mean over products."""
EXPECTED_WEIGHT = 5.0
"""Degrees of freedom that the spread to be expected of a product counts as: spreads differ by about a third, and
1 / (2 · 0.32²) is 5."""
LEAST_SPREAD = 0.02
"""No product's scores were seen to lie closer together."""
TAIL = 1.1
"""How much farther than a normal distribution's the tail of good scores reaches, where they are too few to show it."""
FARTHEST = 1.5
"""As far as any of ten real products' reached. The order statistic of few scores is the largest of all, and one bad
image would move the limits of all products."""
BELOW, ABOVE = 3.0, 5.0
"""Median absolute deviations; a score farther below or above the median counts as if it lay there. What is unusually
normal says nothing of an upper limit, and one bad image must not widen it."""
FEWEST_TO_DRAW_IN = 5
WIDER = 1.2
"""How much farther than good images that were learned new parts spread: what looks strange among those is left out, and
pictures of another day are none of them. Without it models trained on 5 to 50 images stopped two to three times the
budget; chosen on every second of ten real products (docs/thresholds.md)."""


def prediction_limits(
    logarithms: Mapping[str, Values], level_variance: float, budget: float
) -> tuple[dict[str, float], bool]:
    """The limit of each product that a new good score exceeds with a probability of about ``budget``.

    Args:
        logarithms: of good scores, independent of each other, ``[n]`` by product, none empty.
        level_variance: u²; 0 where no score was moved.
        budget: between 0 and 1.

    Returns:
        limits on the logarithmic scale, and whether all scores together suffice for the budget.
    """
    from scipy.stats import norm, t

    drawn_in = {product: draw_in(values) for product, values in logarithms.items()}
    variances = {
        product: max(float(values.var(ddof=1)), LEAST_SPREAD**2)
        for product, values in drawn_in.items()
        if values.size > 1
    }
    counts = {product: values.size for product, values in drawn_in.items()}

    def spread(product: str, variance: Values | float, count: int) -> tuple[Values | float, float]:
        """How a new score spreads about the mean of ``count`` ones of this variance, and its degrees of freedom."""
        expected = _expected_variance(variances, counts, product)
        freedom = count - 1 + EXPECTED_WEIGHT
        known = ((count - 1) * variance + EXPECTED_WEIGHT * expected) / freedom
        return np.sqrt(known * (1 + 1 / count) + level_variance), freedom

    apart = []
    for product in variances:
        values, count = drawn_in[product], counts[product]
        # Each score's others: their mean and their variance.
        means = (values.sum() - values) / (count - 1)
        squares = count * values.var() - np.square(values - values.mean()) * count / (count - 1)
        own, freedom = spread(product, squares.clip(min=0) / max(count - 2, 1), count - 1)
        # Upper tails keep their digits where a distribution function is all but 1.
        apart.append(norm.isf(t.sf((logarithms[product] - means) / own, freedom)))
    together = np.sort(np.concatenate(apart)) if apart else np.empty(0)
    rank = order_statistic(together.size, budget)
    normal = float(norm.isf(budget))
    reach = TAIL * normal
    if rank is not None:
        reach = min(float(together[rank - 1]), FARTHEST * normal)
    limits = {}
    for product, values in drawn_in.items():
        own, freedom = spread(product, float(values.var(ddof=1)) if values.size > 1 else 0.0, values.size)
        limits[product] = float(values.mean() + WIDER * t.isf(norm.sf(reach), freedom) * own)
    return limits, rank is not None


def draw_in(values: Values) -> Values:
    """``values`` with those far from the median moved to where far begins."""
    middle = np.median(values)
    deviation = np.median(np.abs(values - middle))
    if values.size < FEWEST_TO_DRAW_IN or deviation == 0:
        return values
    return np.clip(values, middle - BELOW * deviation, middle + ABOVE * deviation)


def _expected_variance(variances: Mapping[str, float], counts: Mapping[str, int], product: str) -> float:
    """Of the scores of ``product`` before they are seen: what is usual and what the other products have.

    Spreads differ by factors, so it is a geometric mean; a spread from few images counts for less.
    """
    logarithms, weights = [2 * math.log(USUAL_SPREAD)], [1.0]
    for name, variance in variances.items():
        if name != product:
            logarithms.append(math.log(variance))
            weights.append((counts[name] - 1) / (counts[name] - 1 + EXPECTED_WEIGHT))
    return math.exp(float(np.average(logarithms, weights=weights)))


def order_statistic(count: int, budget: float) -> int | None:
    """The rank among ``count`` sorted scores that a new one exceeds with a probability of at most ``budget``.

    For any distribution (split conformal prediction, Vovk et al. 2005); None where there are too few: 99 serve 1 %.
    """
    rank = math.ceil((count + 1) * (1 - budget) - 1e-9)
    return rank if rank <= count else None
