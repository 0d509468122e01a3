"""Masks of defects: read from disk, and brought to the size of the model's input."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from snl_edge.decode import decode_unchanged, is_jpeg
from snl_edge.errors import DataError
from snl_edge.image import opened_image

HALF = 127
"""From above it a mask in JPEG is marked: compression surrounds its marks with faint traces."""
MOST_VALUES = 4096
MOST_MARKS = 20_000
MOST_WORK = 64
"""Times the picture that the boxes around all marks may cover."""
_ROWS = 64


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Reads a mask as ``bool [H, W]``: every pixel that is not black is marked; an alpha channel is ignored.

    MVTec AD marks with 255, VisA with small numbers, so the value itself means nothing here; but of a JPEG only
    what is nearer to white than to black is marked.

    Raises:
        DataError: the file is missing, empty, damaged or no image.
    """
    channels, jpeg = _channels(path)
    marked = np.zeros(channels.shape[:2], bool)
    for number in range(channels.shape[2]):
        marked |= channels[..., number] > HALF if jpeg else channels[..., number] != 0
    return marked


def mask_values(path: Path) -> tuple[int, int]:
    """How many values, or colours, mark pixels of a mask, and how many pixels the commonest of them marks.

    A mask of very many values (noise, a photograph) is not counted out: of more than ``MOST_VALUES`` the rarest are
    forgotten on the way, which leaves any that marks a tenth of the picture.

    Raises:
        DataError: as `read_mask`.
    """
    channels, jpeg = _channels(path)
    if channels.shape[2] == 1 and channels.dtype.kind == "u" and channels.itemsize <= 2 and not jpeg:
        found = np.zeros(1 << 16, np.int64)
        for first in range(0, len(channels), _ROWS):
            found += np.bincount(channels[first : first + _ROWS].ravel(), minlength=1 << 16)
        return int(np.count_nonzero(found[1:])), int(found[1:].max())
    counts: Counter[int] = Counter()
    # Up to three channels of up to 16 bits in one number each.
    shifts = np.uint64(16) * np.arange(channels.shape[2], dtype=np.uint64)
    for first in range(0, len(channels), _ROWS):
        rows = channels[first : first + _ROWS]
        rows = np.where(rows > HALF, 255, 0) if jpeg else rows if rows.dtype.kind == "u" else rows != 0
        values, found = np.unique((rows.astype(np.uint64) << shifts).sum(axis=-1, dtype=np.uint64), return_counts=True)
        counts.update(dict(zip(values.tolist(), found.tolist(), strict=True)))
        if len(counts) > MOST_VALUES:
            counts = Counter(dict(counts.most_common(MOST_VALUES)))
    counts.pop(0, None)
    return len(counts), max(counts.values(), default=0)


def _channels(path: Path) -> tuple[NDArray, bool]:
    """``[H, W, C]`` of up to three channels, and whether they come from a JPEG.

    Raises:
        DataError: the file cannot be used.
    """
    with opened_image(Path(path), f"mask {path}") as encoded:
        return np.atleast_3d(decode_unchanged(encoded, f"mask {path}"))[..., :3], is_jpeg(encoded)


def require_few_marks(mask: NDArray[np.bool_], name: str) -> None:
    """Refuses a mask ``bool [H, W]`` of noise: each mark is fitted by itself (`fit_mask`), and that would take hours.

    Raises:
        DataError: it has more than ``MOST_MARKS`` separate marks, they surround each other again and again, or memory
            runs out.
    """
    try:
        count, _, boxes, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    except cv2.error as error:  # four bytes for each pixel
        raise DataError(f"{name} cannot be looked at", "there is not enough free memory", "scale it down") from error
    work = int((boxes[1:, cv2.CC_STAT_WIDTH].astype(np.int64) * boxes[1:, cv2.CC_STAT_HEIGHT]).sum())
    if count - 1 > MOST_MARKS or work > MOST_WORK * mask.size:
        raise DataError(
            f"{name} has {count - 1} separate marks",
            f"up to {MOST_MARKS} can be fitted to a model's input",
            "is it a mask? Draw it again, without noise",
        )


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
