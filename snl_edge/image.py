"""From an image file to the model's input, its depth, colours and size: one definition for training and run time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .arguments import require_path, require_whole
from .atomic import replacing
from .decode import decode, unreadable
from .errors import DataError
from .opencv import cv2
from .outside.decoding_memory import decoding_memory
from .outside.files import opened, reason
from .outside.image_size import MOST_BYTES, image_size

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
_CAMERAS = (8, 10, 12, 14)
"""Depths narrower than the file that are met."""
_ROWS = 64


def read_image(path: Path | str, bits: int | None = None) -> NDArray[np.uint8]:
    """Reads an image file as ``uint8 [H, W, 3]`` RGB.

    Grey becomes three equal channels, an alpha channel is dropped, the EXIF orientation is applied.

    Args:
        path: the file.
        bits: how many the camera filled of a 16-bit file, 8 to 16; all 16 when None. 8-bit files are not changed.

    Raises:
        DataError: the file is missing, empty, cut short, damaged as far as its format shows it, or no image; it has
            more than 268 megapixels (`snl_edge.outside.image_size`); or a value needs more than ``bits``.
    """
    path, bits = require_path(path, "an image"), None if bits is None else require_whole(bits, "bits", 8, 16)
    return to_uint8(load_image(path), bits, path)


def load_image(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Reads an image file as ``[H, W, 3]`` RGB in its own depth, ``uint8`` or ``uint16``; otherwise as `read_image`.

    Raises:
        DataError: the file cannot be used.
    """
    with opened_image(Path(path), str(path)) as encoded:
        return decode(encoded, path)


@contextmanager
def opened_image(path: Path, name: str) -> Iterator[bytes]:
    """The content of an image file whose header promises a picture that may be decoded; waits for memory to do it.

    Args:
        path: the file.
        name: what to call it in errors.

    Raises:
        DataError: it cannot be read, is no regular file, is empty, too large or no image.
    """
    try:
        with opened(path, MOST_BYTES) as (file, size):
            if not size:
                raise DataError(f"{name} is empty", fix="remove it or record it again")
            promised = image_size(lambda at, count: os.pread(file.fileno(), count, at) if at < size else b"", size)
            with decoding_memory.taken(size + promised.decoding_bytes):
                yield file.read(size)
    except OSError as error:
        raise DataError(f"cannot read {name}", reason(error), "check path and permissions") from error
    except ValueError as error:
        raise unreadable(name, error) from error


def save_png(target: Path, picture: NDArray[np.uint8]) -> None:
    """Writes ``uint8 [H, W]`` or ``[H, W, 3]`` RGB as PNG, whole or not at all.

    OpenCV's own writer says nothing of a disk that is full.

    Raises:
        OutputError: the file cannot be written.
    """
    pixels = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    with replacing(target) as temporary:
        temporary.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


def to_uint8(
    image: NDArray[np.uint8] | NDArray[np.uint16], bits: int | None, path: Path | str = "the picture"
) -> NDArray[np.uint8]:
    """Scales ``[H, W, 3]`` to 8 bits: the largest value of ``bits`` becomes 255, the same for every image.

    Stretching each image to its own range would hide exactly the faults that change the brightness.

    Args:
        image: ``uint8`` passes as it is.
        bits: of a ``uint16`` image; 16 when None.
        path: named in errors.

    Raises:
        DataError: a value needs more bits.
    """
    if image.dtype == np.uint8:
        return image  # pyright: ignore[reportReturnType]
    most = 2 ** (bits or 16) - 1
    if bits not in (None, 16) and (peak := int(image.max())) > most:
        raise DataError(
            f"{path} holds the value {peak}",
            f"its pictures are said to have {bits} bits, {most} at most",
            "set the camera as it was for training, or train again with the --bits that it has",
        )
    table = np.round(np.arange(2**16) * (255 / most)).clip(0, 255).astype(np.uint8)
    scaled = np.empty(image.shape, np.uint8)
    for rows in range(0, len(image), _ROWS):  # NumPy makes 64-bit numbers of indices: eight bytes for each of ours
        scaled[rows : rows + _ROWS] = table[image[rows : rows + _ROWS]]
    return scaled


def suspected_bits(peak: int) -> int | None:
    """The depth that 16-bit pictures may have whose largest value is ``peak``; None if they use more than 14 bits."""
    return next((bits for bits in _CAMERAS if peak < 2**bits), None)


class DepthWatch:
    """Watches pictures that are read as 16 bits because nobody said how many they have."""

    def __init__(self) -> None:
        self._seen = 0
        self._peak = 0

    def look(self, image: NDArray[np.uint8] | NDArray[np.uint16], bits: int | None) -> None:
        """At one picture in its own depth, and how many bits training was told of; then there is nothing to doubt."""
        if bits is not None:
            self._seen = self._peak = 0
        # Once a value needs all bits, no later picture can raise the doubt again: nothing more is looked at.
        elif image.dtype == np.uint16 and suspected_bits(self._peak) is not None:
            self.note(int(image.max()))

    def note(self, peak: int) -> None:
        """The largest value of one 16-bit picture that somebody else looked at."""
        self._seen += 1
        self._peak = max(self._peak, peak)

    @property
    def doubt(self) -> str | None:
        """One line, where the pictures may have fewer bits."""
        bits = suspected_bits(self._peak) if self._seen else None
        if bits is None:
            return None
        one = self._seen == 1
        seen = "the 16-bit picture has no" if one else f"none of {self._seen:,} 16-bit pictures has a"
        was = "It was" if one else "They were"
        return (
            f"{seen} value above {2**bits - 1}: {bits} bits? {was} read as 16 bits and so seen too dark; train with "
            f"--bits {bits} (or --bits 16 if {'it is' if one else 'they are'} right) and build again"
        )


class Fitter:
    """Resizes frames to a model's input.

    The whole frame is used and stretched to the input's aspect: nothing at the edge of a part may fall out of
    sight. A side that is much too long is halved by averaging pairs, again and again (an odd last row or column is
    left out: less than a pixel of the input); the last step is bilinear. That keeps fine texture from aliasing about
    as well as averaging areas does (OpenCV's ``INTER_AREA``), for a fraction of its time, which at a camera's size
    exceeds the model's.

    What lies between frame and input is kept, so that a stream of equal frames allocates nothing. For one thread.
    """

    def __init__(self) -> None:
        self._between: list[NDArray[np.uint8]] = []
        self._made_for: tuple[tuple[int, ...], tuple[int, int]] | None = None

    def fit(
        self, image: NDArray[np.uint8], size: tuple[int, int], out: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """Resizes ``uint8 [H, W, 3]`` to ``size = (height, width)``.

        Args:
            image: the frame.
            size: ``(height, width)``.
            out: contiguous ``uint8 [height, width, 3]`` to write into and return; a new array (or ``image`` itself,
                if it fits) when not given.
        """
        if image.shape[:2] == size and out is None:
            return np.ascontiguousarray(image)
        if self._made_for != (image.shape, size):
            self._between = [np.empty((*half, 3), np.uint8) for half in halvings(image.shape[:2], size)]
            self._made_for = image.shape, size
        for half in self._between:
            height, width, _ = half.shape
            whole = image[: image.shape[0] // height * height, : image.shape[1] // width * width]
            # Bilinear at exactly one half, its samples midway between two pixels, is their mean.
            image = _resize(whole, (height, width), half)
        return _resize(image, size, out)


def halvings(shape: tuple[int, ...], size: tuple[int, int]) -> Iterator[tuple[int, ...]]:
    """Sizes ``(height, width)`` that a frame of ``shape`` is halved to, one after the other, on its way to ``size``."""
    # Not from two: just below it a bilinear step takes, in the middle of the frame, one pixel of two and no mean.
    # From one and three quarters a half is at most an eighth too small, and little sharpness is lost.
    while (half := tuple(n // 2 if n >= 1.75 * least else n for n, least in zip(shape, size, strict=True))) != shape:
        yield (shape := half)


def _resize(image: NDArray[np.uint8], size: tuple[int, ...], out: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    return cv2.resize(image, size[::-1], out, interpolation=cv2.INTER_LINEAR)  # pyright: ignore[reportReturnType,reportCallIssue,reportArgumentType]


def fit_to_input(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resizes one frame, as `Fitter.fit`."""
    return Fitter().fit(image, size)


def swapped(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A copy of ``uint8 [h, w, 3]`` with first and last colour exchanged: BGR to RGB, or back."""
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)  # pyright: ignore[reportReturnType]


def focus(picture: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of ``uint8 [H, W, 3]`` RGB in grey: falls when the lens loses focus or gets dirty."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return float(cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_32F))[1][0, 0] ** 2)


def brightness(picture: NDArray[np.uint8]) -> float:
    """Mean of ``uint8 [H, W, 3]``, 0 to 255."""
    return sum(cv2.mean(picture)[:3]) / 3
