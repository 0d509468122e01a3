"""A folder of image files as a camera: those that are there, or those that arrive as well."""

from __future__ import annotations

import logging
import time
from collections import deque
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from ...errors import CameraError, DataError
from ...image import load_image
from ...image_files import list_folder
from ..settings import Seconds, Settings
from .base import Colour, EndOfPictures, PictureError

_log = logging.getLogger(__name__)


class FolderSettings(Settings):
    """Image files in a folder, in the order of their names; heatmaps that a line kept are left out."""

    type: Literal["folder"] = "folder"
    path: Path
    """The folder."""
    watch: bool = False
    """Wait for files that arrive later. They must arrive whole: written elsewhere, then renamed into the folder."""
    poll_s: Seconds = 0.2
    """Time between two looks at a watched folder."""
    repeat: bool = False
    """Begin again at the end."""

    @model_validator(mode="after")
    def _one_way(self) -> FolderSettings:
        if self.watch and self.repeat:
            raise ValueError("watch and repeat exclude each other")
        return self


class FolderSource:
    """Reads files one by one; a broken one is reported and left behind."""

    live = False
    colour: Colour = "rgb"

    def __init__(self, settings: FolderSettings) -> None:
        self._settings = settings
        self._seen: set[Path] = set()
        self._waiting: deque[Path] = deque()
        self._told = False

    def open(self) -> None:
        """Looks into the folder."""
        self._look()
        if not self._waiting and not self._settings.watch:
            raise CameraError(f"{self._settings.path} holds no image", fix="check the path, or set watch: true")

    def read(self) -> NDArray[np.uint8] | NDArray[np.uint16] | None:
        """The next file's picture, in its own depth."""
        if not self._waiting and self._settings.repeat:
            self._seen.clear()
            self._look()
        elif not self._waiting and self._settings.watch:
            time.sleep(self._settings.poll_s)
            self._look()
        if not self._waiting:
            if self._settings.watch:
                return None
            raise EndOfPictures
        path = self._waiting.popleft()
        try:
            return load_image(path)
        except DataError as error:
            if not path.exists():
                self._look()  # says so if the folder has gone
            raise PictureError(error.what, error.why, error.fix) from error

    def _look(self) -> None:
        try:
            listing = list_folder(self._settings.path)
        except OSError as error:
            raise CameraError(
                f"cannot look into {self._settings.path}", error.strerror or str(error), "check the path"
            ) from error
        if listing.heatmaps and not self._told:
            self._told = True
            _log.warning("%s: %d heatmaps that a line kept are left out", self._settings.path, len(listing.heatmaps))
        self._waiting.extend(path for path in listing.images if path not in self._seen)
        self._seen = set(listing.images)  # forgets what was taken away: a watched folder may run for months

    def close(self) -> None:
        """Holds nothing."""
