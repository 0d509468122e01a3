"""Ways to choose the range that INT8 spreads over, from a histogram of magnitudes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from snl_edge.export.quantisation import LEVELS

from .histogram import BINS, Histogram

Method = Literal["max", "percentile", "entropy", "mse"]
PERCENTILE = 99.99
_FRACTIONS = np.geomspace(1.0, 0.1, 64)
"""Of the largest value: the ranges that `mse` and `entropy` compare."""


def candidates(histogram: Histogram) -> dict[Method, float]:
    """A range by every method, each above 0 and at most the largest value seen; widest method first."""
    if histogram.largest == 0:
        return {"max": 1.0}  # a tensor that is always 0 may have any range
    return {method: min(choose(histogram), histogram.largest) for method, choose in METHODS.items()}


def largest(histogram: Histogram) -> float:
    """Clips nothing that was seen."""
    return histogram.largest


def percentile(histogram: Histogram) -> float:
    """The magnitude that all but 0.01 % of the values stay below."""
    reached = np.cumsum(histogram.counts) >= PERCENTILE / 100 * histogram.counts.sum()
    return float((int(np.argmax(reached)) + 1) * histogram.top / BINS)


def mse(histogram: Histogram) -> float:
    """The smallest mean squared error of rounding and clipping together."""
    return _best(histogram, _squared_error)


def entropy(histogram: Histogram) -> float:
    """The smallest Kullback-Leibler divergence of the quantised from the clipped distribution.

    As in NVIDIA's calibrator (Migacz, "8-bit Inference with TensorRT", GTC 2017); values near 0, most of which come
    from a ReLU, are left out.
    """
    return _best(histogram, _divergence)


METHODS: dict[Method, Callable[[Histogram], float]] = {
    "max": largest,
    "percentile": percentile,
    "mse": mse,
    "entropy": entropy,
}


def _best(histogram: Histogram, cost: Callable[[Histogram, float], float]) -> float:
    ranges = histogram.largest * _FRACTIONS
    return float(ranges[int(np.argmin([cost(histogram, value) for value in ranges]))])


def _squared_error(histogram: Histogram, magnitude: float) -> float:
    step = magnitude / LEVELS
    values = histogram.centres
    restored = np.minimum(np.rint(values / step), LEVELS) * step
    return float(np.sum(histogram.counts * np.square(values - restored)))


def _divergence(histogram: Histogram, magnitude: float) -> float:
    step = magnitude / LEVELS
    steps = np.rint(histogram.centres / step).astype(np.int64)
    counts: NDArray[np.float64] = histogram.counts.astype(np.float64)
    counts[steps == 0] = 0
    inside = (steps > 0) & (steps <= LEVELS)
    if not counts[inside].any():
        return np.inf
    levels = np.minimum(steps, LEVELS)
    # What the clipped distribution is: the tail falls on the last bin inside. What INT8 makes of it: every level's
    # mass spread evenly over those of its bins that hold anything.
    clipped = np.where(inside, counts, 0)
    clipped[np.flatnonzero(inside)[-1]] += counts[steps > LEVELS].sum()
    filled = inside & (counts > 0)
    mass = np.bincount(levels[inside], weights=counts[inside], minlength=LEVELS + 1)
    shared = np.bincount(levels[filled], minlength=LEVELS + 1)
    spread = np.where(filled, mass[levels] / np.maximum(shared[levels], 1), 0)
    p, q = clipped / clipped.sum(), spread / spread.sum()
    compared = p > 0
    return float(np.sum(p[compared] * np.log(p[compared] / np.maximum(q[compared], 1e-12))))
