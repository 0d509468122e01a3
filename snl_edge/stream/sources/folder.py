"""A folder of image files as a camera: those that are there, or those that arrive as well."""

from __future__ import annotations

import logging
import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from ...errors import CameraError, DataError
from ...image import load_image
from ...image_files import list_folder
from ..records.record import PictureFile
from ..settings import Seconds, Settings
from .base import Colour, EndOfPictures, PictureError

_log = logging.getLogger(__name__)

Judged = Callable[[Sequence[PictureFile]], Set[PictureFile]]
"""Which of these files have a verdict already."""


class FolderSettings(Settings):
    """Image files in a folder, in the order of their names; heatmaps that a line kept are left out."""

    type: Literal["folder"] = "folder"
    path: Path
    """The folder."""
    watch: bool = False
    """Wait for files that arrive later. Each is judged once: the journal knows which were, also after a restart. A file
    of the same name with another size or time is a new part."""
    poll_s: Seconds = 0.2
    """Time between two looks at a watched folder. A file is read when its size and time stood still for so long."""
    settle_s: Seconds = 2.0
    """A file of a watched folder that cannot be decoded is tried again until it stood still for so long: its writer may
    have paused. Then its part is corrupt."""
    repeat: bool = False
    """Begin again at the end."""

    @model_validator(mode="after")
    def _one_way(self) -> FolderSettings:
        if self.watch and self.repeat:
            raise ValueError("watch and repeat exclude each other")
        return self


class _Still(NamedTuple):
    """A file, and since when it has been as it is (monotonic clock)."""

    file: PictureFile
    since: float
    old: bool = False
    """It lay there when the folder was first looked into."""


class FolderSource:
    """Reads files one by one; a broken one is reported and left behind.

    Attributes:
        file: the file that the last picture, or fault of one, came from.
        old: whether that file lay in a watched folder before the line started: its part has gone by.
        judged: asked about the files of a watched folder that it does not know.
    """

    live = False
    video = False
    received: float | None = None
    colour: Colour = "rgb"

    def __init__(self, settings: FolderSettings) -> None:
        self.file: PictureFile | None = None
        self.old = False
        self._first_look = True
        self.judged: Judged = lambda files: set()
        self._settings = settings
        self._known: dict[Path, PictureFile] = {}
        self._arriving: dict[Path, _Still] = {}
        self._waiting: deque[tuple[Path, _Still]] = deque()
        self._told = False

    def open(self) -> None:
        """Looks into the folder."""
        self._look()
        if not self._waiting and not self._settings.watch:
            raise CameraError(f"{self._settings.path} holds no image", fix="check the path, or set watch: true")

    def read(self) -> NDArray[np.uint8] | NDArray[np.uint16] | None:
        """The next file's picture, in its own depth."""
        if not self._waiting and self._settings.repeat:
            self._known.clear()
            self._look()
        elif not self._waiting and self._settings.watch:
            time.sleep(self._settings.poll_s)
            self._look()
        if not self._waiting:
            if self._settings.watch:
                return None
            raise EndOfPictures
        path, still = self._waiting.popleft()
        self.file, self.old = still.file, still.old
        try:
            picture = load_image(path)
        except DataError as error:
            if not path.exists():
                self._look()  # says so if the folder has gone
            elif self._settings.watch and time.monotonic() - still.since < self._settings.settle_s:
                self._wait_for(path, still)
                return None
            raise PictureError(error.what, error.why, error.fix) from error
        if self._settings.watch and _seen(path) not in (still.file, None):  # written to while it was read
            self._wait_for(path, still)
            return None
        return picture

    def _wait_for(self, path: Path, still: _Still) -> None:
        """Looks at a file again, as if it had not been queued."""
        self._known.pop(path, None)
        self._arriving[path] = still

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
        present = listing.images
        # Files that were taken away are forgotten: a watched folder may run for months.
        self._known = {path: self._known[path] for path in present if path in self._known}
        self._arriving = {path: self._arriving[path] for path in present if path in self._arriving}
        found = {path: file for path in present if (file := _seen(path)) is not None}
        if not self._settings.watch:
            self._queue([(path, _Still(file, 0.0)) for path, file in found.items() if path not in self._known])
            return
        new = [path for path in found if path not in self._known and path not in self._arriving]
        judged = self.judged([found[path] for path in new]) if new else set[PictureFile]()
        self._known |= {path: found[path] for path in new if found[path] in judged}
        self._queue(list(self._standing_still(found)))

    def _standing_still(self, found: Mapping[Path, PictureFile]) -> Iterator[tuple[Path, _Still]]:
        now = time.monotonic()
        for path, file in found.items():
            if self._known.get(path) == file:
                continue
            seen = self._arriving.get(path)
            if seen is None or seen.file != file:
                self._arriving[path] = _Still(file, now, self._first_look)
            elif now - seen.since >= self._settings.poll_s:
                yield path, seen
        self._first_look = False

    def _queue(self, files: Sequence[tuple[Path, _Still]]) -> None:
        for path, still in files:
            self._arriving.pop(path, None)
            self._known[path] = still.file
            self._waiting.append((path, still))

    def close(self) -> None:
        """Holds nothing."""


def _seen(path: Path) -> PictureFile | None:
    """The file as it is now; None where it has gone, or is none (a pipe, a device)."""
    try:
        status = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    # A name need not be text, and what is put on record must be.
    name = os.fsencode(path.name).decode("utf-8", "replace")
    return PictureFile(name, status.st_size, status.st_mtime_ns)
