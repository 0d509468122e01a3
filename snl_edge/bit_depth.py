"""How many bits of a 16-bit file a camera filled: no file says it, and read as 16 bits a 12-bit picture is black."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from .errors import DataError

CAMERAS = (8, 10, 12, 14)
"""Depths narrower than the file that are met."""
_ROWS = 64
Bits = Annotated[int, Field(ge=8, le=16)]


def suspected_bits(peak: int) -> int | None:
    """The depth that 16-bit pictures may have whose largest value is ``peak``; None if they use more than 14 bits."""
    return next((bits for bits in CAMERAS if peak < 2**bits), None)


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
