"""How many good parts thresholds that rest on few images stop, as measured on real products."""

from __future__ import annotations

from dataclasses import dataclass

MEASURED_BUDGET = 0.01


@dataclass(frozen=True)
class Rates:
    """Shares of good parts, never drawn, above thresholds that rest on ``images`` of their product."""

    images: int
    mean: float
    low: float
    high: float


EXPECTED = (
    Rates(2, 0.003, 0.0, 0.004),
    Rates(3, 0.006, 0.0, 0.038),
    Rates(5, 0.014, 0.0, 0.083),
    Rates(10, 0.011, 0.0, 0.053),
    Rates(20, 0.010, 0.0, 0.062),
    Rates(50, 0.011, 0.0, 0.035),
)
"""``resampled`` in benchmarks/results/threshold_draws-real10.json, made by :mod:`snl_edge.benchmarks.threshold_draws`
(docs/thresholds.md): the larger of the means of products together and alone, and the range that holds both."""


def expected_rates(images: int, budget: float) -> tuple[float, tuple[float, float]]:
    """Mean and range of the share of good parts above a prediction limit that rests on ``images`` of its product.

    That of the largest measured number of images that is not above ``images``. Measured for a budget of 1 %; for
    another the odds change by the same factor as the odds of the budget.
    """
    own = max((row for row in EXPECTED if row.images <= images), key=lambda row: row.images, default=EXPECTED[0])
    factor = _odds(budget) / _odds(MEASURED_BUDGET)
    mean, low, high = (share * factor / (1 - share + share * factor) for share in (own.mean, own.low, own.high))
    return mean, (low, high)


def _odds(share: float) -> float:
    return share / (1 - share)
