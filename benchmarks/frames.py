"""What is measured with: fresh frames for every call, of noise or of real images, never zeros."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from snl_edge.errors import DataError
from snl_edge.image import IMAGE_SUFFIXES, read_image

POOL = 48
"""Frames drawn before the measuring starts and then handed out in turn: more than any cache of the last level holds
at camera size."""


def frame_pool(size: tuple[int, int], images: Path | None, seed: int, count: int = POOL) -> list[NDArray[np.uint8]]:
    """``count`` different frames ``uint8 [height, width, 3]``: noise, or the images below ``images`` brought to size.

    Raises:
        DataError: the folder has no image, or one cannot be read.
    """
    rng = np.random.default_rng(seed)
    if images is None:
        return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(count)]
    paths = sorted(path for path in images.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise DataError(f"there are no images in {images}", fix="give a folder of pictures, or leave --images out")
    chosen = [paths[index] for index in rng.permutation(len(paths))[:count]]
    return [cv2.resize(read_image(path), size[::-1], interpolation=cv2.INTER_AREA) for path in chosen]  # pyright: ignore[reportReturnType]


class Turn:
    """Hands out frames of a pool in turn, a batch at a time."""

    def __init__(self, pool: Sequence[NDArray[np.uint8]]) -> None:
        self._pool, self._next = pool, 0

    def take(self, batch: int) -> list[NDArray[np.uint8]]:
        """The next ``batch`` frames."""
        start, self._next = self._next, (self._next + batch) % len(self._pool)
        return [self._pool[(start + offset) % len(self._pool)] for offset in range(batch)]
