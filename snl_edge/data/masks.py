"""Masks of defects: read from disk, and brought to the size of the model's input."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from snl_edge.decode import decode_unchanged, is_jpeg
from snl_edge.errors import DataError

HALF = 127
"""From above it a mask in JPEG is marked: compression surrounds its marks with faint traces."""


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Reads a mask as ``bool [H, W]``: every pixel that is not black is marked; an alpha channel is ignored.

    MVTec AD marks with 255, VisA with small numbers, so the value itself means nothing here; but of a JPEG only
    what is nearer to white than to black is marked.

    Raises:
        DataError: the file is missing, empty, damaged or no image.
    """
    return read_mask_values(path) > 0


def read_mask_values(path: Path) -> NDArray[np.uint64]:
    """What stands in each pixel of a mask ``[H, W]``: 0 is black, other numbers are the values or colours there.

    Raises:
        DataError: as `read_mask`.
    """
    try:
        encoded = Path(path).read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read mask {path}", error.strerror or str(error), "check path and permissions"
        ) from error
    if not encoded:
        raise DataError(f"mask {path} is empty", fix="draw it again or remove it with its image")
    channels = np.atleast_3d(decode_unchanged(encoded, f"mask {path}"))[..., :3]
    if is_jpeg(encoded):
        channels = np.where(channels > HALF, 255, 0)
    elif channels.dtype.kind != "u":
        channels = channels != 0
    # Up to three channels of up to 16 bits in one number each.
    shifts = np.uint64(16) * np.arange(channels.shape[2], dtype=np.uint64)
    return (channels.astype(np.uint64) << shifts).sum(axis=-1, dtype=np.uint64)


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
