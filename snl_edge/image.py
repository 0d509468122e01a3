"""From an image file to the model's input: the one definition that training and run time share."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from .errors import DataError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})


def read_image(path: Path) -> NDArray[np.uint8]:
    """Reads an image file as ``uint8 [H, W, 3]`` RGB.

    Grey becomes three equal channels, an alpha channel is dropped, the EXIF orientation is applied.
    16-bit images are scaled by 1/257 (65535 to 255), the same for every image: stretching each one
    to its own range would hide exactly the faults that change the brightness.

    Raises:
        DataError: the file is missing, empty, cut short or no image.
    """
    try:
        encoded = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise DataError(f"cannot read {path}", error.strerror or str(error), "check path and permissions") from error
    if encoded.size == 0:
        raise DataError(f"{path} is empty", fix="remove it or record it again")
    if _is_cut_short(encoded.tobytes()):
        raise DataError(f"{path} is cut short", "the JPEG lacks its end", "copy it again or remove it")
    image = _decode(encoded)
    if image is None:
        raise DataError(f"{path} is no readable image", "the decoder refused it", "remove it or save it again as PNG")
    if image.dtype == np.uint16:
        image = np.round(image / 257.0).astype(np.uint8)
    if image.dtype != np.uint8:
        raise DataError(f"{path} has pixels of type {image.dtype}", fix="save it with 8 or 16 bits per channel")
    return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB)  # pyright: ignore[reportReturnType]


def _decode(encoded: NDArray[np.uint8]) -> NDArray | None:
    try:
        return cv2.imdecode(encoded, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
    except cv2.error:  # raised, not None, for headers that promise absurd sizes
        return None


def _is_cut_short(encoded: bytes) -> bool:
    """Whether a JPEG has no end-of-image marker after its first scan (ITU-T T.81, annex B).

    OpenCV before 5 fills the lost part of such a file with grey and says nothing; other formats it refuses.
    """
    if not encoded.startswith(b"\xff\xd8"):
        return False
    segment = 2
    while encoded[segment : segment + 1] == b"\xff" and encoded[segment + 1 : segment + 2] != b"\xda":
        segment += 2 + int.from_bytes(encoded[segment + 2 : segment + 4], "big")  # skips an EXIF thumbnail whole
    return encoded.find(b"\xff\xd9", segment) < 0


def fit_to_input(
    image: NDArray[np.uint8], size: tuple[int, int], out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Resizes ``uint8 [H, W, 3]`` to the model's input ``size = (height, width)``, into ``out`` where it is given.

    The whole frame is used and stretched to the input's aspect: nothing at the edge of a part may
    fall out of sight. Shrinking averages areas (no aliasing of fine texture), enlarging is bilinear.

    Args:
        image: the frame.
        size: ``(height, width)``.
        out: contiguous ``uint8 [height, width, 3]`` to write into and return; a new array (or ``image`` itself, if it
            fits) when not given.
    """
    height, width = size
    if image.shape[:2] == (height, width):
        if out is None:
            return np.ascontiguousarray(image)
        np.copyto(out, image)
        return out
    shrinks = image.shape[0] >= height and image.shape[1] >= width
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), out, interpolation=interpolation)  # pyright: ignore[reportReturnType,reportCallIssue,reportArgumentType]


def focus(picture: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of ``uint8 [H, W, 3]`` RGB in grey: falls when the lens loses focus or gets dirty."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return float(cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_32F))[1][0, 0] ** 2)


def brightness(picture: NDArray[np.uint8]) -> float:
    """Mean of ``uint8 [H, W, 3]``, 0 to 255."""
    return sum(cv2.mean(picture)[:3]) / 3


def list_images(folder: Path) -> list[Path]:
    """The image files directly in ``folder``, sorted by name; hidden files and other suffixes are left out."""
    return sorted(
        path
        for path in Path(folder).iterdir()
        if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )
