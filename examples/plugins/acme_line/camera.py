"""A camera of one's own for the line: here it draws bolts, yours would ask its SDK for a frame."""

from __future__ import annotations

import time
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from snl_edge.plugins import CameraError, EndOfPictures, SourcePlugin


class AcmeSettings(BaseModel):
    """What stands under ``settings`` in the line's file; a misspelt name is refused before the line starts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    serial: int
    rate: float = Field(default=10.0, gt=0)
    pictures: int = Field(default=20, ge=1)


class AcmeSource:
    """Gives pictures until there are no more; its camera's thread alone calls it."""

    live = True  # pictures come whether wanted or not, so old ones must not pile up
    video = False  # no compression that spans pictures
    colour: Literal["rgb", "bgr"] = "bgr"

    def __init__(self, settings: AcmeSettings) -> None:
        self.received: float | None = None
        self._settings = settings
        self._given = 0

    def open(self) -> None:
        """Called again after a fault: the line tries until the camera is back."""
        if self._settings.serial == 0:
            raise CameraError("there is no camera with serial number 0", fix="correct settings.serial")

    def read(self) -> NDArray[np.uint8] | None:
        """The next picture, uint8 [h, w, 3]; None if none came within about a second."""
        if self._given == self._settings.pictures:
            raise EndOfPictures
        time.sleep(1 / self._settings.rate)
        self._given += 1
        self.received = time.monotonic()
        rng = np.random.default_rng(self._given)
        picture = rng.integers(90, 110, (240, 320, 3), dtype=np.uint8)
        centre = (160 + int(rng.integers(-5, 6)), 120)
        cv2.circle(picture, centre, 60, (180, 180, 180), -1)
        cv2.circle(picture, centre, 25, (60, 60, 60), -1)
        return picture

    def close(self) -> None:
        """Gives the camera back; a second call does nothing."""


plugin = SourcePlugin(AcmeSettings, AcmeSource)
