"""Pictures for the browser: scaled down, JPEG, from memory or from below the journal's folder and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...image import IMAGE_SUFFIXES, read_image
from ...opencv import cv2
from ...outside.files import real_path

_QUALITY = 82


def kept_picture(folder: Path, name: str, width: int) -> bytes:
    """A picture that the journal kept, as JPEG of at most ``width`` pixels.

    Args:
        folder: the journal's.
        name: path below it, as in the record.
        width: in pixels; never enlarged.

    Raises:
        DataError: it is gone (retention), lies elsewhere or is no picture.
    """
    root = real_path(folder)
    path = real_path(root / name)
    if not path.is_relative_to(root) or path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_file():
        raise DataError("the picture is not there", "it was too old or the disk too full to keep it")
    return jpeg(shrink(read_image(path), width))


def shrink(image: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """A copy of ``uint8 [h, w, 3]`` at most ``width`` pixels wide."""
    scale = width / image.shape[1]
    if scale >= 1:
        return image.copy()
    size = (width, max(1, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # pyright: ignore[reportReturnType]


def jpeg(image: NDArray[np.uint8]) -> bytes:
    """Encodes ``uint8 [h, w, 3]`` RGB."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
