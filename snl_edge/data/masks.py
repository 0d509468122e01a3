"""Masks of defects: read from disk, and brought to the size of the model's input."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from snl_edge.errors import DataError


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Reads a mask as ``bool [H, W]``: every pixel that is not black is marked; an alpha channel is ignored.

    MVTec AD marks with 255, VisA with small numbers, so the value itself means nothing here.

    Raises:
        DataError: the file is missing, empty or no image.
    """
    try:
        encoded = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise DataError(
            f"cannot read mask {path}", error.strerror or str(error), "check path and permissions"
        ) from error
    if encoded.size == 0:
        raise DataError(f"mask {path} is empty", fix="draw it again or remove it with its image")
    try:
        mask = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        mask = None
    if mask is None:
        raise DataError(f"mask {path} is no readable image", fix="save it again as PNG")
    return np.asarray(np.atleast_3d(mask)[..., :3].any(axis=-1))


def fit_mask(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Brings ``bool [H, W]`` to ``size = (height, width)`` without losing small or thin defects.

    In each 8-connected region a new pixel is marked if the region covers it at least half as much as it
    covers its best covered pixel. A region that fills pixels thus keeps its area (half covered counts),
    a hair-thin scratch keeps its length, and a single marked pixel stays marked.
    """
    if mask.shape == tuple(size):
        return mask
    count, regions, boxes, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    rows, columns = (_overlap(old, new) for old, new in zip(mask.shape, size, strict=True))
    fitted = np.zeros(size, bool)
    for region in range(1, count):
        x, y, width, height = boxes[region, :4]
        inside = (regions[y : y + height, x : x + width] == region).astype(np.float32)
        top, bottom = _touched(rows[:, y : y + height])
        left, right = _touched(columns[:, x : x + width])
        cover = rows[top:bottom, y : y + height] @ inside @ columns[left:right, x : x + width].T
        # The tolerance keeps the choice between two equal halves free of rounding.
        fitted[top:bottom, left:right] |= cover >= 0.5 * cover.max() * (1 - 1e-4)
    return fitted


def _overlap(old: int, new: int) -> NDArray[np.float32]:
    """How much of each new pixel lies in each old one, along one axis: ``[new, old]``, rows sum to 1."""
    edges = np.arange(new + 1) * (old / new)
    pixels = np.arange(old)
    common = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.maximum(common, 0) * (new / old)).astype(np.float32)


def _touched(overlap: NDArray[np.float32]) -> tuple[int, int]:
    rows = np.flatnonzero(overlap.any(axis=1))
    return int(rows[0]), int(rows[-1]) + 1
