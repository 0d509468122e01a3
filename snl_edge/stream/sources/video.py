"""A video file as a camera."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import CameraError
from ...opencv import cv2
from ...outside.files import MOST_HASHED, reason, require_regular
from ..settings import Settings
from .base import EndOfPictures
from .opencv import OpenCvSource


class VideoSettings(Settings):
    """A video file, picture by picture."""

    type: Literal["video"] = "video"
    path: Path
    """The file."""
    repeat: bool = False
    """Begin again at the end."""


class VideoSource(OpenCvSource):
    """Reads a file, which has an end."""

    def __init__(self, settings: VideoSettings) -> None:
        super().__init__(
            f"video {settings.path}",
            lambda: cv2.VideoCapture(str(settings.path), cv2.CAP_FFMPEG),
            live=False,
            video=True,
            remedy="check the path, and that ffmpeg can play it",
        )
        self._path = settings.path
        self._repeat = settings.repeat
        self._begun = False

    def open(self) -> None:
        """Opens the file at its beginning."""
        try:
            require_regular(self._path, MOST_HASHED)
        except OSError as error:
            raise CameraError(f"cannot open video {self._path}", reason(error), "check path and permissions") from error
        super().open()
        self._begun = False

    def read(self) -> NDArray[np.uint8] | None:
        """The next picture; OpenCV cannot tell a broken file from its end, except at the very first picture."""
        try:
            picture = super().read()
        except CameraError as error:
            if not self._begun:
                raise
            if not self._repeat:
                raise EndOfPictures from error
            self.open()
            picture = super().read()
        self._begun = True
        return picture
