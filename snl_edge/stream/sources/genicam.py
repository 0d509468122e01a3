"""A GenICam camera (GigE Vision, USB3 Vision) through Harvester and its maker's GenTL producer.

Written after Harvester's documentation (https://github.com/genicam/harvesters); not yet run with a camera.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...errors import CameraError
from ...opencv import cv2
from ..settings import Seconds, Settings
from .base import Colour

_TO_BGR = {
    "Mono8": cv2.COLOR_GRAY2BGR,
    "RGB8": cv2.COLOR_RGB2BGR,
    "BGR8": None,
    # GenICam names the pattern by its first row, OpenCV by its second (PFNC; OpenCV, imgproc colour conversions).
    "BayerRG8": cv2.COLOR_BayerBG2BGR,
    "BayerGR8": cv2.COLOR_BayerGB2BGR,
    "BayerGB8": cv2.COLOR_BayerGR2BGR,
    "BayerBG8": cv2.COLOR_BayerRG2BGR,
}


class GenicamSettings(Settings):
    """A machine-vision camera."""

    type: Literal["genicam"] = "genicam"
    producer: Path
    """The maker's GenTL producer, a ``.cti`` file."""
    serial_number: str | None = None
    """Which camera; the first that is found if not given."""
    features: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Features of the camera to set, in this order, as ``PixelFormat: BayerRG8``, ``ExposureTime: 800.0``,
    ``TriggerMode: "On"``, ``TriggerSource: Line1``."""
    timeout_s: Seconds = 1.0
    """How long one wait for a picture lasts."""


class GenicamSource:
    """One camera of one producer."""

    live = True
    video = False
    colour: Colour = "bgr"

    def __init__(self, settings: GenicamSettings) -> None:
        self._settings = settings
        self._harvester: Any = None
        self._acquirer: Any = None
        self.received: float | None = None

    def open(self) -> None:
        """Loads the producer, finds the camera, sets its features and starts it."""
        try:
            from harvesters.core import Harvester  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise CameraError(
                "GenICam cameras need Harvester", str(error), 'run: pip install "snl-edge[genicam]"'
            ) from error
        if not self._settings.producer.is_file():
            raise CameraError(
                f"there is no producer {self._settings.producer}",
                fix="install the camera maker's SDK and give its .cti",
            )
        serial = self._settings.serial_number
        try:
            self._harvester = Harvester()
            self._harvester.add_file(str(self._settings.producer))
            self._harvester.update()
            self._acquirer = self._harvester.create({"serial_number": serial} if serial else 0)
            nodes = self._acquirer.remote_device.node_map
            for name, value in self._settings.features.items():
                getattr(nodes, name).value = value
            self._acquirer.start()
        except Exception as error:  # GenTL producers raise errors of many kinds
            self.close()
            raise CameraError(
                f"cannot open GenICam camera {serial or ''}".rstrip(),
                str(error) or type(error).__name__,
                "check cable and power, and that no other program holds the camera",
            ) from error

    def read(self) -> NDArray[np.uint8] | None:
        """The next picture, copied out of the producer's buffer."""
        try:
            buffer = self._acquirer.try_fetch(timeout=self._settings.timeout_s)
        except Exception as error:
            raise CameraError("the GenICam camera failed", str(error) or type(error).__name__) from error
        if buffer is None:
            return None
        with buffer:
            self.received = time.monotonic()
            component = buffer.payload.components[0]
            return to_bgr(component.data, component.data_format, component.height, component.width)

    def close(self) -> None:
        """Stops the camera and lets the producer go."""
        acquirer, harvester = self._acquirer, self._harvester
        self._acquirer = self._harvester = None
        if acquirer is not None:
            acquirer.destroy()
        if harvester is not None:
            harvester.reset()


def to_bgr(data: NDArray[np.uint8], pixel_format: str, height: int, width: int) -> NDArray[np.uint8]:
    """A producer's flat buffer as ``uint8 [height, width, 3]`` BGR, in memory of its own.

    Raises:
        CameraError: the pixel format is none of those we convert.
    """
    if pixel_format not in _TO_BGR:
        raise CameraError(
            f"the camera sends {pixel_format}", f"we read {', '.join(_TO_BGR)}", "set PixelFormat under features"
        )
    code = _TO_BGR[pixel_format]
    picture = data.reshape(height, width, -1) if pixel_format in ("RGB8", "BGR8") else data.reshape(height, width)
    return picture.copy() if code is None else cv2.cvtColor(picture, code)  # pyright: ignore[reportReturnType]
