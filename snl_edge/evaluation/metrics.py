"""Image metrics, and pixel metrics in bounded memory however many images there are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

FPR_LIMIT = 0.3
"""AUPRO integrates up to this false-positive rate (Bergmann et al., MVTec AD, IJCV 2021)."""
_DROPPED_BITS = 12
"""Of a float32's 23 mantissa bits; the 11 that stay tell scores apart that differ by 1 in 2,000."""
_BINS = 1 << (32 - _DROPPED_BITS)


@dataclass(frozen=True)
class Ranking:
    """How well scores rank defective above good; NaN where one of the two is absent."""

    auroc: float
    ap: float
    f1_max: float


def rank_images(scores: ArrayLike, defective: ArrayLike) -> Ranking:
    """AUROC, average precision and best F1 of image scores, exact; ties count half."""
    values, order = np.unique(np.asarray(scores, dtype=np.float64), return_inverse=True)
    bad = np.asarray(defective, dtype=bool)
    return _ranking(
        np.bincount(order[~bad], minlength=len(values)).astype(np.float64),
        np.bincount(order[bad], minlength=len(values)).astype(np.float64),
    )


@dataclass(frozen=True)
class PixelRanking(Ranking):
    """A ranking of pixels, and the area under the per-region-overlap curve, scaled to 0…1."""

    aupro: float


class PixelMetrics:
    """Gathers anomaly maps and masks in three histograms over the bit pattern of the score.

    Rounding a float32 to its upper 20 bits keeps its order, needs no range known beforehand and tells apart
    scores that differ by more than 0.05 %; closer ones count as ties. Memory is 24 MiB, whatever comes.
    """

    def __init__(self) -> None:
        self._normal = np.zeros(_BINS)
        self._defective = np.zeros(_BINS)
        self._regions = np.zeros(_BINS)
        self._region_count = 0

    def update(
        self,
        anomaly_map: NDArray[np.float32],
        mask: NDArray[np.bool_],
        ignored: NDArray[np.bool_] | None = None,
    ) -> None:
        """Adds one image: map ``float32 [H, W]`` and mask ``bool [H, W]``, true on defects.

        Pixels that are ``ignored``, ``bool [H, W]``, are neither normal nor defective.
        """
        bins = _bin(anomaly_map)
        normal = ~mask
        if ignored is not None:
            normal, mask = normal & ~ignored, mask & ~ignored
        self._normal += np.bincount(bins[normal], minlength=_BINS)
        if not mask.any():
            return
        self._defective += np.bincount(bins[mask], minlength=_BINS)
        count, regions = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        # Each region weighs 1 in all, so that the mean recall over regions is one cumulative sum.
        weights = 1.0 / np.bincount(regions[mask], minlength=count)[1:]
        self._regions += np.bincount(bins[mask], weights=weights[regions[mask].astype(np.intp) - 1], minlength=_BINS)
        self._region_count += count - 1

    def compute(self) -> PixelRanking:
        """The metrics of everything added so far."""
        ranking = _ranking(self._normal, self._defective)
        return PixelRanking(ranking.auroc, ranking.ap, ranking.f1_max, self._aupro())

    def _aupro(self) -> float:
        if not self._region_count or not self._normal.any():
            return math.nan
        used = (self._normal > 0) | (self._regions > 0)
        fpr = np.concatenate([[0.0], np.cumsum(self._normal[used][::-1]) / self._normal.sum()])
        overlap = np.concatenate([[0.0], np.cumsum(self._regions[used][::-1]) / self._region_count])
        inside = fpr <= FPR_LIMIT
        at_limit = np.interp(FPR_LIMIT, fpr, overlap)
        return _area(np.append(fpr[inside], FPR_LIMIT), np.append(overlap[inside], at_limit)) / FPR_LIMIT


def _bin(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Bins in the order of the scores: a float's bits sort like an integer once negatives are mirrored."""
    bits = np.ascontiguousarray(scores, dtype=np.float32).view(np.uint32).astype(np.int64)
    key = np.where(bits & 0x80000000, 0xFFFFFFFF - bits, bits + 0x80000000)
    return key >> _DROPPED_BITS


def _ranking(good: NDArray[np.float64], defective: NDArray[np.float64]) -> Ranking:
    """Metrics from counts per score, ascending, of good and defective."""
    if not good.sum() or not defective.sum():
        return Ranking(math.nan, math.nan, math.nan)
    used = (good > 0) | (defective > 0)
    false_positives = np.concatenate([[0.0], np.cumsum(good[used][::-1])])
    true_positives = np.concatenate([[0.0], np.cumsum(defective[used][::-1])])
    recall = true_positives / true_positives[-1]
    precision = true_positives[1:] / (true_positives[1:] + false_positives[1:])
    f1 = 2 * precision * recall[1:] / np.maximum(precision + recall[1:], 1e-12)
    return Ranking(
        auroc=_area(false_positives / false_positives[-1], recall),
        ap=float(np.sum(np.diff(recall) * precision)),
        f1_max=float(f1.max()),
    )


def _area(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Area under a polyline (trapezoids)."""
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))
