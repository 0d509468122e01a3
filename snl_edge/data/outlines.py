"""From outlines of defects to masks."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from snl_edge.outside.image_size import MOST_PIXELS

_SHIFT = 4  # bits of a fraction of a pixel in OpenCV's coordinates
_THIN = 1e-3
"""Pixels within which corners lie on a line: annotation tools write fractions of a pixel, and no defect is so thin."""
MOST_WORK = 1 << 31
"""Pixels that the outlines of one picture may be drawn over, each for itself, and edges times rows: some seconds."""
_FARTHEST = 1 << 20
"""Pixels from the origin that a corner may lie: beyond, OpenCV's whole numbers overflow."""


class Drawing:
    """The mask of one picture while outlines are drawn into it.

    Args:
        size: ``(height, width)`` of the picture.

    Raises:
        ValueError: it is larger than any that is read.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        height, width = size
        if not (height > 0 and width > 0 and height * width <= MOST_PIXELS):
            raise ValueError(f"a picture of {width}x{height} pixels is none that is read")
        self.mask = np.zeros(size, np.uint8)
        """``uint8 [H, W]``, 1 where an outline marks it."""
        self._left = MOST_WORK

    def polygon(self, points: Sequence[Sequence[float]] | NDArray[np.float64]) -> None:
        """As :func:`fill_polygon`.

        Raises:
            ValueError: it is none, or too much was drawn.
        """
        require_area(points)
        low, high = np.min(points, axis=0), np.max(points, axis=0)
        width, height = np.clip(high - low + 2, 1, self.mask.shape[::-1]).tolist()
        self.count(int(height) * (int(width) + len(points)))
        fill_polygon(self.mask, points)

    def circle(self, centre: Sequence[float], edge: Sequence[float]) -> None:
        """As :func:`fill_circle`.

        Raises:
            ValueError: it is none, or too much was drawn.
        """
        self.count(self.mask.size)
        fill_circle(self.mask, centre, edge)

    def count(self, pixels: int) -> None:
        """Counts what is drawn over.

        Raises:
            ValueError: it is too much by now.
        """
        self._left -= pixels
        if self._left < 0:
            raise ValueError("its outlines are too many or too large to be drawn")


def require_area(points: Sequence[Sequence[float]] | NDArray[np.float64]) -> None:
    """Refuses corners ``[[x, y], ...]`` that enclose nothing; OpenCV would draw them as a line or a dot.

    Raises:
        ValueError: they are no pairs of numbers, fewer than three different ones, on one line, or beyond any picture.
    """
    corners = np.asarray(points, np.float64)
    if corners.size and (corners.ndim != 2 or corners.shape[1] != 2):
        raise ValueError("its corners are no pairs of numbers")
    if not (np.abs(corners) <= _FARTHEST).all():  # not a number is none of these
        raise ValueError("a corner of it lies beyond any picture")
    different = len(np.unique(corners, axis=0)) if corners.size else 0
    if different < 3:
        raise ValueError(f"it has {different} different corners, and so no area")
    centred = corners - corners.mean(axis=0)
    across = np.linalg.svd(centred, full_matrices=False)[2][1]
    if np.abs(centred @ across).max() < _THIN:
        raise ValueError("its corners lie on one line, and so it has no area")


def fill_polygon(mask: NDArray[np.uint8], points: Sequence[Sequence[float]] | NDArray[np.float64]) -> None:
    """Marks the inside of ``points`` ``[[x, y], ...]`` in ``uint8 [H, W]``, and the pixels that its edge crosses.

    Coordinates are those of annotation tools: (0, 0) is the corner of the first pixel, not its centre.

    Raises:
        ValueError: they enclose nothing (`require_area`).
    """
    require_area(points)
    corners = np.round((np.asarray(points, np.float64) - 0.5) * 2**_SHIFT).astype(np.int32)
    cv2.fillPoly(mask, [corners], 1, shift=_SHIFT)


def fill_circle(mask: NDArray[np.uint8], centre: Sequence[float], edge: Sequence[float]) -> None:
    """Marks the disk around ``centre`` through ``edge``, both ``[x, y]``, in ``uint8 [H, W]``.

    Raises:
        ValueError: they are one point.
    """
    radius = np.hypot(edge[0] - centre[0], edge[1] - centre[1])
    if not radius > 0:
        raise ValueError("it has no radius, and so no area")
    across = (np.arange(mask.shape[1]) + 0.5 - centre[0]) ** 2
    for row in range(mask.shape[0]):
        left = max(radius, 0.5) ** 2 - (row + 0.5 - centre[1]) ** 2
        if left >= 0:
            mask[row, across <= left] = 1
