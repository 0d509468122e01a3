"""What a caller has, as it says: colours, depth, one frame or several; nothing of it is guessed from the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..arguments import require_whole
from ..errors import ConfigError, DataError
from ..image import to_uint8
from ..opencv import cv2
from ..outside.shown import brief
from .frame import misfit
from .manifest import InputSpec

FrameColours = Literal["rgb", "bgr", "grey"]
Pixels = NDArray[np.uint8] | NDArray[np.uint16]
_NARROWEST = 8
"""Columns of grey frames in an array: with fewer, one frame in colours would be as many as it has rows."""


def declared_frames(
    images: Sequence[Pixels] | Pixels, takes: InputSpec, colours: FrameColours | None = None, bits: int | None = None
) -> Sequence[NDArray[np.uint8]] | NDArray[np.uint8]:
    """The frames as ``uint8 [h, w, 3]`` in the colours that the graph takes; those that are so already as they are.

    Args:
        images: one frame, a sequence of frames of any size, or an array of several; each ``[h, w, 3]``, or ``[h, w]``
            where it is grey; ``uint8`` or ``uint16``.
        takes: the graph's input.
        colours: their order in all frames; the graph's own if not given.
        bits: how many the camera filled of 16-bit frames; as the bundle was trained if not given.

    Raises:
        ConfigError: there are no such colours, or no such depth.
        DataError: a frame has another type, shape or size, or is not what is said of it.
    """
    if colours is not None and not (isinstance(colours, str) and colours in get_args(FrameColours)):
        raise ConfigError(f"unknown colours {brief(colours)}", fix="choose rgb, bgr or grey")
    if bits is not None:
        bits = require_whole(bits, "the bits of a 16-bit frame that a camera fills", 8, 16)
    grey = colours == "grey"
    require_unmasked(images, "images")
    if isinstance(images, np.ndarray):
        if grey and images.ndim == 3 and images.shape[2] < _NARROWEST:
            raise DataError(
                f"images are {described(images)}, and said to be grey",
                f"one frame in colours, or {images.shape[0]} grey ones {images.shape[2]} pixels wide?",
                "say colours= as they are, or give grey frames as a sequence of [h, w]",
            )
        if images.ndim == (2 if grey else 3):
            images = images[None]
        elif images.ndim != (3 if grey else 4):
            raise _refused("images are", images, grey)
    elif isinstance(images, str | bytes) or not isinstance(images, Sequence):
        raise _refused("images are", images, grey)
    usual = True
    for index, image in enumerate(images):
        _check(image, index, takes, grey=grey, bits=bits)
        usual = usual and image.dtype == np.uint8
    if usual and colours in (None, takes.colours):
        return images  # pyright: ignore[reportReturnType]
    return list(_converted(images, takes, colours or takes.colours, bits))


def _check(image: object, index: int, takes: InputSpec, *, grey: bool, bits: int | None) -> None:
    require_unmasked(image, f"frame {index}")
    if not isinstance(image, np.ndarray) or image.dtype not in (np.uint8, np.uint16) or not image.size:
        raise _refused(f"frame {index} is", image, grey)
    if image.ndim != (2 if grey else 3) or (not grey and image.shape[2] != 3):
        raise _refused(f"frame {index} is", image, grey)
    if image.dtype == np.uint16 and bits is None and takes.bits is None:
        raise DataError(
            f"frame {index} is uint16, and nothing says how many bits of it the camera fills",
            "read as 16 a 12-bit frame is black",
            "give bits=, or train with --bits",
        )
    if image.dtype == np.uint8 and bits not in (None, 8):
        raise DataError(f"frame {index} is uint8, and said to have {bits} bits", fix="give uint16, or leave bits out")
    if reason := misfit(image.shape, takes):
        raise DataError(*reason)


def _converted(
    images: Sequence[Pixels] | Pixels, takes: InputSpec, colours: FrameColours, bits: int | None
) -> Iterator[NDArray[np.uint8]]:
    for index, image in enumerate(images):
        eight = np.ascontiguousarray(to_uint8(image, bits or takes.bits, f"frame {index}"))
        if colours == "grey":
            eight = cv2.cvtColor(eight, cv2.COLOR_GRAY2RGB)
        elif colours != takes.colours:
            eight = cv2.cvtColor(eight, cv2.COLOR_BGR2RGB)
        yield eight  # pyright: ignore[reportReturnType]


def _refused(subject: str, image: object, grey: bool) -> DataError:
    wanted = '[h, w] with colours="grey"' if grey else '[h, w, 3] in RGB or BGR, or [h, w] with colours="grey"'
    return DataError(
        f"{subject} {described(image)}", fix=f"give uint8, or uint16 with bits=, of shape {wanted}; or a sequence"
    )


def require_unmasked(images: object, what: str) -> None:
    """Refuses a masked array: what its mask hides would be judged.

    Raises:
        DataError: it is one.
    """
    if isinstance(images, np.ma.MaskedArray):
        raise DataError(
            f"{what}: a masked array",
            "what its mask hides would be judged as if it were seen",
            "fill it (numpy.ma.filled), or have regions ignored (snl-edge ignore)",
        )


def described(image: object) -> str:
    """Type and shape, for an error."""
    return f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else f"a {type(image).__name__}"
