"""A share that was counted, and how sure it is: its exact 95 % interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

CONFIDENCE = 0.95
_STEPS = 60
"""Halvings of 0…1: past the last bit of a float64 between them."""


@dataclass(frozen=True)
class Share:
    """``count`` of ``total`` parts; of none, neither rate nor interval is defined."""

    count: int
    total: int

    @property
    def rate(self) -> float:
        """As a fraction; NaN of none."""
        return self.count / self.total if self.total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Of the rate, as :func:`clopper_pearson`; NaN of none."""
        return clopper_pearson(self.count, self.total)

    def figures(self) -> dict[str, Any]:
        """As plain data for JSON: fractions, ``None`` where not defined."""
        known = self.total > 0
        return {
            "count": self.count,
            "of": self.total,
            "rate": self.rate if known else None,
            "interval": list(self.interval) if known else None,
        }


def clopper_pearson(count: int, total: int) -> tuple[float, float]:
    """The exact two-sided 95 % interval of a rate of which ``count`` of ``total`` were seen; NaN where total is 0.

    It holds the true rate in at least 95 of 100 cases, whatever it is (Clopper and Pearson, "The use of confidence or
    fiducial limits illustrated in the case of the binomial", Biometrika 26, 1934); with few parts in more.
    """
    if total == 0:
        return math.nan, math.nan
    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if count == 0 else 1 - upper_bound(total - count, total, tail)
    high = 1.0 if count == total else upper_bound(count, total, tail)
    return low, high


def upper_bound(count: int, total: int, tail: float) -> float:
    """The rate at which at most ``count < total`` would be seen with probability ``tail``.

    One-sided Clopper-Pearson: the quantile ``1 - tail`` of a beta distribution of ``count + 1``, ``total - count``.
    """
    # Logarithms: the binomial coefficients of a thousand parts are no floats.
    seen = np.arange(count + 1)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, total + 1)))])
    coefficients = factorials[total] - factorials[seen] - factorials[total - seen]
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        rate = (low + high) / 2
        logarithms = coefficients + seen * math.log(rate) + (total - seen) * math.log1p(-rate)
        low, high = (rate, high) if float(np.exp(logarithms).sum()) > tail else (low, rate)
    return (low + high) / 2
