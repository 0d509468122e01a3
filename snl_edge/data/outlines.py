"""From outlines of defects to masks."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

_SHIFT = 4  # bits of a fraction of a pixel in OpenCV's coordinates


def fill_polygon(mask: NDArray[np.uint8], points: Sequence[Sequence[float]]) -> None:
    """Marks the inside of ``points`` ``[[x, y], ...]`` in ``uint8 [H, W]``, and the pixels that its edge crosses.

    Coordinates are those of annotation tools: (0, 0) is the corner of the first pixel, not its centre.
    """
    corners = np.round((np.asarray(points, np.float64) - 0.5) * 2**_SHIFT).astype(np.int32)
    cv2.fillPoly(mask, [corners], 1, shift=_SHIFT)


def fill_circle(mask: NDArray[np.uint8], centre: Sequence[float], edge: Sequence[float]) -> None:
    """Marks the disk around ``centre`` through ``edge``, both ``[x, y]``, in ``uint8 [H, W]``."""
    radius = np.hypot(edge[0] - centre[0], edge[1] - centre[1])
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    mask[(columns + 0.5 - centre[0]) ** 2 + (rows + 0.5 - centre[1]) ** 2 <= max(radius, 0.5) ** 2] = 1
