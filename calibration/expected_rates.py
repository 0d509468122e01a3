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


COMMON_TAIL = (
    Rates(3, 0.007, 0.0, 0.038),
    Rates(5, 0.015, 0.0, 0.083),
    Rates(10, 0.009, 0.0, 0.053),
    Rates(20, 0.009, 0.0, 0.049),
    Rates(50, 0.010, 0.0, 0.040),
)
"""Ten products together, at a budget of 1 %, resampled from the scores of one model that had learned all images."""
EXTRAPOLATED = (
    Rates(3, 0.007, 0.0, 0.006),
    Rates(5, 0.010, 0.0, 0.042),
    Rates(10, 0.013, 0.0, 0.023),
    Rates(20, 0.010, 0.0, 0.028),
    Rates(50, 0.009, 0.0, 0.030),
)
"""Each product by itself, in the same way."""


def expected_rates(images: int, common_tail: bool, budget: float) -> tuple[float, tuple[float, float]]:
    """Mean and range of the share of good parts above a threshold that rests on ``images`` of its product.

    That of the largest measured number of images that is not above ``images``. Measured for a budget of 1 %; for
    another the odds change by the same factor as the odds of the budget.
    """
    rows = COMMON_TAIL if common_tail else EXTRAPOLATED
    own = max((row for row in rows if row.images <= images), key=lambda row: row.images, default=rows[0])
    factor = _odds(budget) / _odds(MEASURED_BUDGET)
    mean, low, high = (share * factor / (1 - share + share * factor) for share in (own.mean, own.low, own.high))
    return mean, (low, high)


def _odds(share: float) -> float:
    return share / (1 - share)
