r"""Upper prediction limits: thresholds of products with few images that know how little their images say.

The logarithms of a product's n good scores are taken as draws of one distribution. With their mean m and an estimate s
of their spread that has ν degrees of freedom, a new one lies

.. math:: t = \frac{x - m}{s \sqrt{1 + 1/n + 1/h}}

from it, which follows Student's distribution if they are normal (Hahn and Meeker, *Statistical Intervals*, 1991). h is
the number of held-out images that say where left-out ones lie (:func:`snl_edge.evaluation.threshold.pool_scores`). The
variance is a mean, weighed by degrees of freedom, of the product's own, that of all others, and what is usual: a few
scores that happen to lie close together make no tight limit.

Scores are not quite normal, and all products together tell how far their tail reaches. Each score is set against the
others of its product, and its t brought to the normal scale; the order statistic of all of these that the budget asks
for is what every product's limit must reach. With too few scores for that it is extrapolated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

USUAL_SPREAD = 0.12
"""Standard deviation of the logarithms of a product's good scores."""
USUAL_WEIGHT = 3.0
"""Degrees of freedom that it counts as."""
COMMON_WEIGHT = 20.0
"""Degrees of freedom that the spread of all other products counts as, at most."""
FAR = 5.0
"""Median absolute deviations; a score farther out counts as if it lay there: one bad image must not widen the limit."""
FEWEST_TO_DRAW_IN = 5
LEAST_SPREAD = 0.02
TAIL = 1.0
"""How much farther than a normal distribution's the tail of good scores reaches, where they are too few to show it."""


def prediction_limits(
    logarithms: Mapping[str, Values], groups: Mapping[str, int], level_images: int, budget: float
) -> tuple[dict[str, float], bool]:
    """The limit of each product that a new good score exceeds with a probability of about ``budget``.

    Args:
        logarithms: of good scores, ``[n]`` by product, none empty.
        groups: how many of them are independent of each other, by product.
        level_images: h; 0 where no score was moved.
        budget: between 0 and 1.

    Returns:
        limits on the logarithmic scale, and whether all scores together suffice for the budget.
    """
    from scipy.stats import norm, t

    drawn_in = {product: _draw_in(values) for product, values in logarithms.items()}
    # Logarithm of the spread and its degrees of freedom, of products that have one.
    spreads = {
        product: (math.log(max(float(values.std(ddof=1)), LEAST_SPREAD)), groups[product] - 1)
        for product, values in drawn_in.items()
        if groups[product] > 1
    }

    def usual(product: str) -> tuple[float, float]:
        """The variance that is to be expected of ``product`` before its own scores are seen, and its weight."""
        others = [spread for name, spread in spreads.items() if name != product]
        freedom = sum(weight for _, weight in others)
        common = COMMON_WEIGHT * freedom / (COMMON_WEIGHT + freedom)
        # Spreads differ by factors, so the common one is a geometric mean.
        mean = math.exp(2 * sum(log * weight for log, weight in others) / freedom) if freedom else 0.0
        return (common * mean + USUAL_WEIGHT * USUAL_SPREAD**2) / (common + USUAL_WEIGHT), common + USUAL_WEIGHT

    def spread(product: str, variance: Values | float, different: int) -> tuple[Values | float, float]:
        """How a new score spreads about the mean of ``different`` ones of this variance, and its degrees of freedom."""
        expected, weight = usual(product)
        freedom = different - 1 + weight
        unsure = 1 / different + (1 / level_images if level_images else 0.0)
        return np.sqrt(((different - 1) * variance + weight * expected) / freedom * (1 + unsure)), freedom

    apart = []
    for product in spreads:
        values, count = drawn_in[product], drawn_in[product].size
        # Each score's others: their mean and their variance.
        means = (values.sum() - values) / (count - 1)
        squares = count * values.var() - np.square(values - values.mean()) * count / (count - 1)
        variances = squares.clip(min=0) / max(count - 2, 1)
        own, freedom = spread(product, variances, groups[product] - 1)
        # Upper tails keep their digits where a distribution function is all but 1.
        apart.append(norm.isf(t.sf((logarithms[product] - means) / own, freedom)))
    together = np.sort(np.concatenate(apart)) if apart else np.empty(0)
    different = sum(groups[product] for product in spreads)
    rank = order_statistic(different, budget)
    reach = (
        norm.isf(budget) * TAIL if rank is None else together[math.ceil(rank * together.size / different - 1e-9) - 1]
    )
    limits = {}
    for product, values in drawn_in.items():
        own, freedom = spread(product, float(values.var(ddof=1)) if values.size > 1 else 0.0, groups[product])
        limits[product] = float(values.mean() + t.isf(norm.sf(reach), freedom) * own)
    return limits, rank is not None


def order_statistic(count: float, budget: float) -> int | None:
    """The rank among ``count`` sorted scores that a new one exceeds with a probability of at most ``budget``.

    For any distribution (split conformal prediction, Vovk et al. 2005); None where there are too few: 99 serve 1 %.
    """
    rank = math.ceil((count + 1) * (1 - budget) - 1e-9)
    return rank if rank <= count else None


def _draw_in(values: Values) -> Values:
    middle = np.median(values)
    far = FAR * np.median(np.abs(values - middle))
    return np.clip(values, middle - far, middle + far) if values.size >= FEWEST_TO_DRAW_IN and far > 0 else values
