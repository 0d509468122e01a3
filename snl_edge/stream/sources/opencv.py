"""What all sources that OpenCV opens have in common."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...errors import CameraError
from ...opencv import OpenCv, cv2, opencv
from .arrival import Arrivals
from .base import Colour

_WAITED_S = 1.0
"""A read that fails sooner has not waited for a picture: the device has gone."""


class OpenCvSource:
    """Reads from what ``opener`` opens.

    Args:
        name: what it is, for messages.
        opener: opens it, every time again.
        live: see `Source`.
        remedy: what to do when it cannot be opened.
        video: see `Source`.
        stamped: ``CAP_PROP_POS_MSEC`` is the camera's or driver's time of the picture that was read.
    """

    colour: Colour = "bgr"

    def __init__(
        self,
        name: str,
        opener: Callable[[], cv2.VideoCapture],
        *,
        live: bool,
        remedy: str,
        video: bool = False,
        stamped: bool = False,
    ) -> None:
        self.live = live
        self.video = video
        self.received: float | None = None
        self._stamped = stamped
        self._arrivals = Arrivals()
        self.name = name
        self._opener = opener
        self._remedy = remedy
        self._capture: cv2.VideoCapture | None = None

    def open(self) -> None:
        """Opens the device, stream or file."""
        self.close()
        try:
            capture = self._opener()
        except cv2.error as error:
            raise CameraError(f"cannot open {self.name}", str(error), self._remedy) from error
        if not capture.isOpened():
            capture.release()
            raise CameraError(f"cannot open {self.name}", "OpenCV says no more than that", self._remedy)
        self._capture = capture
        self._arrivals = Arrivals()

    def read(self) -> NDArray[np.uint8] | None:
        """The next picture; OpenCV allocates it."""
        if self._capture is None:
            raise CameraError(f"{self.name} is closed")
        asked = time.monotonic()
        try:
            arrived, picture = self._capture.read()
        except cv2.error as error:
            raise CameraError(f"{self.name} failed", str(error), self._remedy) from error
        if not arrived:
            if self.live and time.monotonic() - asked >= _WAITED_S:
                return None  # OpenCV's own timeout: a camera that waits for its trigger, or has fallen silent
            raise CameraError(f"{self.name} gives no picture", "it was there before", "check cable, power and network")
        if self.live:
            stamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) if self._stamped else 0
            self.received = self._arrivals.of(stamp / 1000 if stamp > 0 else None)
        return picture if picture.ndim == 3 else cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)  # pyright: ignore[reportReturnType]

    def close(self) -> None:
        """Releases the device."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def require_gstreamer() -> OpenCv:
    """The OpenCV of this process; refuses one that was built without GStreamer, as wheels of the package index are.

    Raises:
        CameraError: with the remedy.
    """
    found = opencv()
    if not found.gstreamer:
        hidden = f"; it hides another OpenCV, in {found.hidden[0]}" if found.hidden else ""
        raise CameraError(
            "this OpenCV has no GStreamer",
            f"it is {found}, and wheels from the package index are built without{hidden}",
            "on a Jetson use JetPack's own OpenCV (docs/jetson.md), elsewhere the distribution's python3-opencv",
        )
    return found
