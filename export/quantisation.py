"""Numbers to INT8 and back: symmetric, zero point 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEVELS = 127
"""INT8 values on either side of 0; -128 is not used."""
_SMALLEST_STEP = 1e-9


def step_of(magnitude: float | NDArray[np.float32]) -> NDArray[np.float32]:
    """The step between INT8 values for a range."""
    return np.asarray(np.maximum(np.asarray(magnitude, np.float64) / LEVELS, _SMALLEST_STEP), np.float32)


def quantise(values: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """INT8 values of a constant, and the step ``float32 [C]`` of each channel along ``axis``; nothing is clipped."""
    step = steps_along(values, axis)
    levels = np.rint(values / np.expand_dims(step, _others(values.ndim, axis)))
    return np.clip(levels, -LEVELS, LEVELS).astype(np.int8), step


def steps_along(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """The smallest step ``float32 [C]`` of each channel along ``axis`` that clips nothing."""
    return step_of(np.abs(values).max(axis=_others(values.ndim, axis)))


def restore(levels: NDArray[np.int8], step: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """What a DequantizeLinear node makes of `quantise`'s result."""
    return levels.astype(np.float32) * np.expand_dims(step, _others(levels.ndim, axis))


def _others(rank: int, axis: int) -> tuple[int, ...]:
    return tuple(index for index in range(rank) if index != axis)
