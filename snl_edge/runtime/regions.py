"""Where on a part the anomaly map is above the threshold: one definition for the line, `infer` and Python."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..opencv import cv2

MOST_REGIONS = 16
"""Of a part; those with the highest peaks."""


@dataclass(frozen=True, slots=True)
class Blob:
    """One connected region of the anomaly map above the threshold.

    Positions are shares (0 to 1) of the inspected region's width and height, so they hold for any resolution.
    """

    x: float
    """Left edge."""
    y: float
    """Upper edge."""
    width: float
    height: float
    area: float
    """Share of the region that the blob covers."""
    peak: float
    """Largest value of the map in it."""


class Box(NamedTuple):
    """A rectangle in pixels of a picture."""

    x: int
    """Leftmost column."""
    y: int
    """Uppermost row."""
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Region:
    """A `Blob` on one picture."""

    box: Box
    """The smallest rectangle of whole pixels of the picture that holds it."""
    area: float
    """Share (0 to 1) of the picture that it covers."""
    peak: float
    """Largest value of the map in it, on the scale of the score."""


def find_blobs(anomaly_map: NDArray[np.float32], threshold: float) -> tuple[Blob, ...]:
    """The connected regions of the map ``float32 [H, W]`` above the threshold, highest peak first."""
    height, width = anomaly_map.shape
    above = (anomaly_map > threshold).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(above, connectivity=8)
    peaks = np.zeros(count, np.float32)  # of noise there are thousands: none is looked at by itself
    np.maximum.at(peaks, labels.ravel(), np.where(above, anomaly_map, 0).ravel())  # pyright: ignore[reportArgumentType]
    highest = 1 + np.argsort(-peaks[1:], kind="stable")[:MOST_REGIONS]
    blobs: list[Blob] = []
    for label in highest:
        x, y, w, h, area = map(int, stats[label])
        blobs.append(Blob(x / width, y / height, w / width, h / height, area / (width * height), float(peaks[label])))
    return tuple(blobs)


def on_picture(blob: Blob, size: tuple[int, int]) -> Region:
    """A blob in the pixels of a picture of ``size = (height, width)``."""
    height, width = size
    left, right = _whole(blob.x, blob.x + blob.width, width)
    top, bottom = _whole(blob.y, blob.y + blob.height, height)
    return Region(Box(left, top, right - left, bottom - top), blob.area, blob.peak)


def _whole(start: float, end: float, pixels: int) -> tuple[int, int]:
    """The whole pixels that a stretch, in shares of them all, touches; rounding of the shares touches none."""
    first = min(math.floor(start * pixels + 1e-6), pixels - 1)
    return first, max(first + 1, min(pixels, math.ceil(end * pixels - 1e-6)))
