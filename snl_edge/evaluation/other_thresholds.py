"""What other thresholds than the one in force would do to a test set: where to look for a better one, not proof of it.

They are found on the very parts that they are counted on, so new parts fare worse. What good images can certify is told
of the thresholds that training chose (docs/thresholds.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snl_edge.scoring.threshold import OperatingPoint, operating_point

WIDER = 0.05
"""Beside the budget of the thresholds in force: the share of good parts that one might stop to catch more."""
DIGITS = 3
"""Of a threshold that is told: it is counted as it is told."""
NOTE = "found on these test images, certified by nothing: new parts fare worse"


@dataclass(frozen=True)
class OtherThreshold:
    """A threshold, with the product named."""

    rule: str
    """How it was found, in words."""
    threshold: float
    """As `snl-edge threshold BUNDLE VALUE --product NAME` takes it."""
    point: OperatingPoint


def other_thresholds(
    scores: ArrayLike, defective: ArrayLike, in_force: float, budget: float, shift: float = 1.0
) -> tuple[OtherThreshold, ...]:
    """The one in force, the lowest that stop at most given shares of the good parts, and the highest none escapes at.

    One that stops no other parts than one before it is left out.

    Args:
        scores: ``[N]``, of one product.
        defective: ``bool [N]``.
        in_force: what scores are held against now.
        budget: share of good parts that thresholds may reject.
        shift: of scores in what runs: a threshold set as ``t`` is one of ``shift * t`` there.
    """
    values = np.asarray(scores, dtype=np.float64) / shift
    bad: NDArray[np.bool_] = np.asarray(defective, dtype=bool)
    good, caught = np.sort(values[~bad])[::-1], values[bad]
    found: list[tuple[str, float]] = [("in force", in_force / shift)]
    for share in sorted({budget, max(budget, WIDER)}):
        if good.size and (allowed := math.floor(share * good.size + 1e-9)) < good.size:
            found.append((f"stops at most {100 * share:g} % of good parts", _rounded(float(good[allowed]), math.ceil)))
    if caught.size:
        lowest = float(caught.min())
        found.append(("highest at which no defect escapes", _rounded(math.nextafter(lowest, 0), math.floor)))
    told: list[OtherThreshold] = []
    for rule, threshold in found:
        point = operating_point(values, bad, threshold)
        if threshold > 0 and all(_counts(point) != _counts(other.point) for other in told):
            told.append(OtherThreshold(rule, threshold, point))
    return tuple(told)


def _counts(point: OperatingPoint) -> Sequence[int]:
    return point.false_rejects, point.escapes


def _rounded(value: float, to: Callable[[float], int]) -> float:
    """``value`` with ``DIGITS`` digits, rounded by ``math.ceil`` or ``math.floor``; the result keeps to its side."""
    if value <= 0:
        return 0.0
    places = DIGITS - 1 - math.floor(math.log10(value))
    return round(to(value * 10.0**places) / 10.0**places, max(places, 0))
