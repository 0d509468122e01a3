"""How large a tensor's values get, over any number of images in constant memory."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from snl_edge.errors import DataError

BINS = 4096


class Histogram:
    """Counts magnitudes in ``BINS`` equal bins from 0 to a power of two that grows by merging pairs of bins.

    Edges of the wider bins are edges of the narrower ones, so neither order nor batching changes the result.

    Attributes:
        counts: ``int64 [BINS]``.
        top: upper edge of the last bin; 0 before the first value above 0.
        largest: largest magnitude seen.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, np.int64)
        self.top = 0.0
        self.largest = 0.0

    def add(self, values: NDArray[np.float32]) -> None:
        """Counts the magnitudes of ``values``, of any shape.

        Raises:
            DataError: a value is no finite number.
        """
        magnitudes = np.abs(values).ravel()
        largest = float(magnitudes.max(initial=0.0))
        if not math.isfinite(largest):
            raise DataError("a tensor holds a value that is no finite number", fix="check the model with FP32")
        self.largest = max(self.largest, largest)
        if self.top == 0:
            # Of zeros alone the width of a bin cannot be told; they all fall into the first.
            if largest == 0:
                self.counts[0] += magnitudes.size
                return
            self.top = _power_above(largest)
        while largest >= self.top:
            self.counts = np.concatenate([self.counts.reshape(-1, 2).sum(axis=1), np.zeros(BINS // 2, np.int64)])
            self.top *= 2
        # A power of two scales without rounding: a value on an edge stays on it.
        self.counts += np.bincount((magnitudes * np.float32(BINS / self.top)).astype(np.int32), minlength=BINS)

    @property
    def centres(self) -> NDArray[np.float64]:
        """The middle of each bin."""
        return np.linspace(0.0, self.top, BINS, endpoint=False) + 0.5 * self.top / BINS


def _power_above(value: float) -> float:
    return math.ldexp(1.0, math.frexp(value)[1])
