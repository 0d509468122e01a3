"""What is measured of one image when a data set is checked: a few numbers each, so that any number of images fits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snl_edge.image import brightness, focus, load_image, to_uint8
from snl_edge.opencv import cv2

from .samples import Sample

LOOKED_AT = 512
"""Longest side at which focus is measured: above it the sensor's noise would count."""
GIST = 32
"""Squares a side of an image's gist."""
WHITE = 250
"""A pixel whose darkest channel reaches it is taken for saturated."""


@dataclass(frozen=True)
class Figures:
    """One image in numbers."""

    sample: Sample
    size: tuple[int, int]
    """``(height, width)``."""
    digest: bytes
    """SHA-256 of its size and of its pixels as 8-bit RGB, whatever the file's format."""
    single_channel: bool
    """Whether all channels are equal."""
    brightness: float
    """Mean, 0 to 255."""
    darkest: int
    brightest: int
    saturated: float
    """Share of pixels from ``WHITE`` on."""
    focus: float
    """Variance of the Laplacian, of the image shrunk to ``LOOKED_AT``."""
    peak: int | None
    """Largest value of a 16-bit file; None for other files."""
    gist: NDArray[np.float16]
    """``[GIST * GIST]``: mean grey of squares, by which the same picture is known when it was saved again."""


def measure(sample: Sample) -> Figures:
    """Decodes one image and measures it.

    Raises:
        DataError: it cannot be used.
    """
    stored = load_image(sample.path)
    peak = int(stored.max()) if stored.dtype == np.uint16 else None
    image = to_uint8(stored, sample.bits, sample.path)
    small = _shrunk(image)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)  # whole grey levels are too coarse for a gist
    return Figures(
        sample=sample,
        size=image.shape[:2],
        digest=hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest(),
        single_channel=bool((small[..., 0] == small[..., 1]).all() and (small[..., 1] == small[..., 2]).all()),
        brightness=brightness(small),
        darkest=int(small.min()),
        brightest=int(small.max()),
        saturated=float((small.min(axis=2) >= WHITE).mean()),
        focus=focus(small),
        peak=peak,
        gist=cv2.resize(grey, (GIST, GIST), interpolation=cv2.INTER_AREA).astype(np.float16).ravel(),
    )


def _shrunk(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """No side longer than ``LOOKED_AT``, by averaging areas."""
    scale = LOOKED_AT / max(image.shape[:2])
    if scale >= 1:
        return image
    size = tuple(max(1, round(scale * side)) for side in image.shape[1::-1])
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # pyright: ignore[reportReturnType]
