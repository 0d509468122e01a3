"""Thresholds and sizes that callers from Python give, held to what they must be before anything runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import ConfigError, DataError
from ..outside.shown import brief
from .manifest import HIGHEST

MOST_THREADS = 1024
MOST_BATCH = 4096


def require_threshold(value: object) -> float:
    """A threshold on the score scale, as Python's own number.

    Raises:
        ConfigError: it is no number, not above 0, or above ``HIGHEST``.
    """
    fix = f"give a number above 0 and up to {HIGHEST:g}, such as 0.5"
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise ConfigError(f"{brief(value)} is no threshold", "it is no number", fix)
    if not 0 < value <= HIGHEST:
        raise ConfigError(f"{brief(value)} is no threshold", "all parts would be above it, or none", fix)
    return float(value)


def require_sizes(sizes: object, count: int) -> list[tuple[int, int]]:
    """``(height, width)`` in pixels of ``count`` pictures.

    Raises:
        DataError: there are more or fewer, or one is no pair of whole numbers above 0.
    """
    fix = "give (height, width) in pixels of each frame's picture, or leave sizes out"
    flat = isinstance(sizes, np.ndarray) and sizes.ndim == 0
    if flat or isinstance(sizes, str | bytes) or not isinstance(sizes, Sequence | np.ndarray):
        raise DataError(f"sizes cannot be {brief(sizes)}", fix=fix)
    if len(sizes) != count:
        raise DataError(f"there are {len(sizes)} sizes of {count} frames", fix=fix)
    return [_size(size, index, fix) for index, size in enumerate(sizes)]


def _size(size: object, index: int, fix: str) -> tuple[int, int]:
    pair = list(size) if isinstance(size, Sequence | np.ndarray) and not isinstance(size, str | bytes) else []
    if len(pair) != 2 or not all(
        isinstance(side, int | np.integer) and not isinstance(side, bool) and 0 < side <= 2**31 for side in pair
    ):
        raise DataError(f"size {index} is no (height, width)", fix=fix)
    return int(pair[0]), int(pair[1])
