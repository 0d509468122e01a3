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
    Rates(2, 0.0000, 0.000, 0.000),
    Rates(3, 0.0004, 0.000, 0.000),
    Rates(5, 0.0069, 0.000, 0.052),
    Rates(10, 0.0095, 0.000, 0.050),
    Rates(20, 0.0111, 0.000, 0.085),
    Rates(50, 0.0250, 0.000, 0.104),
    Rates(150, 0.0099, 0.000, 0.051),
    Rates(200, 0.0156, 0.000, 0.046),
)
"""Of studies/results/threshold_draws-real10.json, made by :mod:`studies.thresholds.draws`
(docs/thresholds.md): the largest of the means resampled and trained, of products together and alone, and the range that
holds all."""


def expected_rates(images: int, budget: float) -> tuple[float, tuple[float, float]]:
    """Mean and range of the share of good parts above a prediction limit that rests on ``images`` of its product.

    That of the largest measured number of images that is not above ``images``, but never better than what more images
    were measured to do: thresholds from two or three are so wide that they stopped nothing. Measured for a budget of
    1 %; for another the odds change by the same factor as the odds of the budget.
    """
    begin = max((row.images for row in EXPECTED if row.images <= images), default=0)
    rows = [row for row in EXPECTED if row.images >= begin]
    worst = (max(row.mean for row in rows), min(row.low for row in rows), max(row.high for row in rows))
    factor = _odds(budget) / _odds(MEASURED_BUDGET)
    mean, low, high = (share * factor / (1 - share + share * factor) for share in worst)
    return mean, (low, high)


def _odds(share: float) -> float:
    return share / (1 - share)
