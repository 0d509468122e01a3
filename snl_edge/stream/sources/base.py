"""What a source of pictures is."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import CameraError

Colour = Literal["rgb", "bgr"]


class PictureError(CameraError):
    """One picture that cannot be decoded; the next may be well."""


class EndOfPictures(Exception):  # noqa: N818
    """There will be no more: a file or folder is at its end."""


class Source(Protocol):
    """Gives pictures, one after the other. Only its camera's own thread calls it."""

    live: bool
    """Whether pictures come whether wanted or not (a camera), so that old ones must not pile up; else (files) the
    next picture is read when a part needs one."""
    colour: Colour
    video: bool
    """Whether pictures come through compression that spans them (H.264 and the like): one that is repeated then
    differs by its place in the stream."""
    received: float | None
    """When the picture that was read last was received (monotonic clock), before it waited in a buffer. None where a
    picture is fetched when it is read."""

    def open(self) -> None:
        """Opens it; may be called again after `close`.

        Raises:
            CameraError: it cannot be opened.
        """
        ...

    def read(self) -> NDArray[np.uint8] | NDArray[np.uint16] | None:
        """The next picture ``uint8 [h, w, 3]``, not to be written to; None where none came within about a second.

        A file with 16 bits comes as ``uint16``: how many of them count, the bundle knows.

        Raises:
            PictureError: this picture cannot be read, but there may be others.
            CameraError: the source has gone; it has to be opened again.
            EndOfPictures: there will be no more.
        """
        ...

    def close(self) -> None:
        """Gives back what it holds; a second call does nothing."""
        ...
