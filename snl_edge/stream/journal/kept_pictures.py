"""Pictures of parts, kept below the journal's folder: written before a row names them, and gone by age and size.

A picture is what the engine's input was made from: the inspected region, turned, in 8 bits, at the camera's
resolution. As PNG it is that to the last bit, so that whoever judges it again gets the verdict of its record; JPEG at
the model's own size moves the product distance beyond the limit (docs/stream.md, "Kept pictures").
"""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...atomic import replacing
from ...errors import OutputError
from ...image import swapped
from ...image_files import HEATMAP
from ...opencv import cv2
from ...runtime.manifest import Colours
from ...runtime.overlay import draw_overlay, draw_unknown, ignored_in
from ..records.record import Record
from ..timing import Clock
from .journal import Journal, KeptPicture
from .journal_settings import PictureSettings
from .kept_files import FOLDER, kept_files

_GIB = 2**30
_DAY_S = 86400.0
_LOOK_S = 1.0
_HEATMAP_WIDTH = 640
_JPEG_QUALITY = 92
_UNFINISHED = ".[0-9]*-*"
"""Of the temporary files of `replacing`, which a power cut leaves."""
_LATE = 20_000
"""A picture's record is among so many before the last: more are not given while 32 pictures are compressed."""
_SUFFIXES = {"png": ".png", "jpeg": ".jpg"}


class Pictures:
    """Writes and removes pictures. Only the recorder's picture thread calls `write`, only the retention's `prune`;
    `name_left` comes before both.

    Attributes:
        missed: parts whose picture should have been kept and could not be.
        problem: why, the last time; None while all is well.
    """

    def __init__(self, journal: Journal, settings: PictureSettings, clock: Clock) -> None:
        self.missed = 0
        self.problem: str | None = None
        self._journal = journal
        self._settings = settings
        self._clock = clock
        self._looked = 0.0
        self._space = True
        self._good: dict[str, int] = {}
        self._bytes: int | None = None
        self._unnamed: list[KeptPicture] = []
        self._lock = threading.Lock()

    @property
    def keeps_good(self) -> bool:
        """Whether pictures of good parts are kept, some at least."""
        return self._settings.good_every is not None or "good" in self._settings.of

    def wants(self, record: Record) -> bool:
        """Whether this part's picture should be kept."""
        if record.verdict in self._settings.of:
            return True
        if record.verdict != "good" or self._settings.good_every is None:
            return False
        seen = self._good[record.camera] = self._good.get(record.camera, 0) + 1
        return seen % self._settings.good_every == 0

    def write(
        self,
        record: Record,
        frame: NDArray[np.uint8],
        anomaly_map: NDArray[np.float32] | None,
        colours: Colours = "rgb",
    ) -> tuple[str | None, str | None]:
        """Writes picture and heatmap; returns their paths below the journal's folder, None where it could not."""
        if not self._has_space():
            self.miss(f"less than {self._settings.min_free_gib:g} GiB are free")
            return None, None
        name = _stem(self._journal.run, record)
        try:
            image = self._save(f"{name}{_SUFFIXES[self._settings.format]}", frame, colours)
            heatmap = None
            if anomaly_map is not None:
                heatmap = self._save(f"{name}{HEATMAP}", _heatmap(record, frame, anomaly_map, colours), "rgb")
        except (OutputError, cv2.error) as error:
            self.miss(str(error))
            return None, None
        self.problem = None
        return image, heatmap

    def miss(self, why: str) -> None:
        """Notes a picture that could not be kept."""
        self.missed += 1
        self.problem = why

    def _save(self, name: str, picture: NDArray[np.uint8], colours: Colours) -> str:
        bgr = picture if colours == "bgr" else swapped(picture)
        if name.endswith(".png"):
            # OpenCV's own choice of level, filter and strategy is the fastest of those measured, and no larger.
            encoded = cv2.imencode(".png", bgr[..., 0] if _is_grey(bgr) else bgr)[1]
        else:
            quality = self._settings.jpeg_quality or _JPEG_QUALITY
            encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        with replacing(self._journal.folder / name) as temporary:
            temporary.write_bytes(encoded.data)
        with self._lock:
            if self._bytes is not None:
                self._bytes += encoded.nbytes
        return name

    def _has_space(self) -> bool:
        if time.monotonic() - self._looked > _LOOK_S:
            self._looked = time.monotonic()
            self._space = self.free() >= self._settings.min_free_gib * _GIB
        return self._space

    def free(self) -> int:
        """Free bytes on the journal's disk."""
        try:
            return shutil.disk_usage(self._journal.folder).free
        except OSError:
            return 0

    def prune(self) -> int:
        """Removes the pictures that are too old or too many, oldest first; returns how many parts lost theirs."""
        oldest = time.time() - self._settings.keep_days * _DAY_S if self._clock.steady else 0.0
        if self._bytes is None:
            self._take_stock()
        self._name_left()
        gone = 0
        while True:
            entries = self._journal.select("image IS NOT NULL ORDER BY id LIMIT ?", (100,))
            chosen: list[int] = []
            for entry in entries:
                if entry.record.captured >= oldest and not self._too_much():
                    break
                chosen.append(entry.id)
                for name in (entry.record.image, entry.record.heatmap):
                    self._remove(name)
            if chosen:
                self._journal.forget_pictures(chosen)
                gone += len(chosen)
            if len(chosen) < len(entries) or not entries:
                return gone

    def name_left(self) -> None:
        """Names the pictures of earlier runs that a kill kept from their rows; to be called before any sink reads.

        Where the disk takes nothing yet, these records stay awaited, and `prune` tries again: it makes room.
        """
        self._unnamed = self._left()
        self._journal.awaited.expect([kept.id for kept in self._unnamed])
        self._name_left()

    def _name_left(self) -> None:
        if not self._unnamed:
            return
        with suppress(sqlite3.Error):
            self._journal.append((), pictures=self._unnamed)
            self._unnamed = []

    def _left(self) -> list[KeptPicture]:
        folder = self._journal.folder
        recent = self._journal.select(
            "id > ? AND run < ? AND image IS NULL", (self._journal.last() - _LATE, self._journal.run)
        )
        stems = {entry.id: _stem(entry.run, entry.record) for entry in recent}
        days = {str(Path(stem).parent) for stem in stems.values()}
        there = {f"{day}/{path.name}" for day in days for path in (folder / day).glob("*")}
        left: list[KeptPicture] = []
        for number, stem in stems.items():
            image = next((name for suffix in _SUFFIXES.values() if (name := stem + suffix) in there), None)
            if image is not None:
                heatmap = stem + HEATMAP
                left.append(KeptPicture(number, image, heatmap if heatmap in there else None))
        return left

    def _take_stock(self) -> None:
        """Once: counts what is there, and removes what earlier runs left half-written."""
        with self._lock:
            self._bytes = sum(path.stat().st_size for path in kept_files(self._journal.folder))
        run = self._journal.run
        for left in (self._journal.folder / FOLDER).glob(f"*/{_UNFINISHED}"):
            if int(left.name[1:].split("-")[0]) < run:
                self._remove(left.relative_to(self._journal.folder).as_posix())

    def _too_much(self) -> bool:
        with self._lock:
            used = self._bytes or 0
        return used > self._settings.keep_gib * _GIB or self.free() < self._settings.min_free_gib * _GIB

    def _remove(self, name: str | None) -> None:
        if name is None:
            return
        path = self._journal.folder / name
        with suppress(OSError):
            size = path.stat().st_size
            path.unlink()
            with self._lock:
                self._bytes = max(0, (self._bytes or 0) - size)
        with suppress(OSError):
            path.parent.rmdir()  # the day's folder, once it is empty


def _stem(run: int, record: Record) -> str:
    """Of a picture's path below the journal's folder."""
    day = time.strftime("%Y-%m-%d", time.gmtime(record.captured))
    return f"{FOLDER}/{day}/{run:06}-{record.camera}-{record.sequence:08}"


def _is_grey(picture: NDArray[np.uint8]) -> bool:
    """Whether all three colours are the same everywhere: a third of the file, and read back they are three again."""
    return all(
        np.array_equal(seen[..., 0], seen[..., 1]) and np.array_equal(seen[..., 0], seen[..., 2])
        for seen in (picture[::16, ::16], picture)  # few pixels tell that a picture is coloured
    )


def _heatmap(
    record: Record, frame: NDArray[np.uint8], anomaly_map: NDArray[np.float32], colours: Colours
) -> NDArray[np.uint8]:
    width = min(frame.shape[1], _HEATMAP_WIDTH)
    size = (width, max(1, round(frame.shape[0] * width / frame.shape[1])))
    small: NDArray[np.uint8] = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)  # pyright: ignore[reportAssignmentType]
    picture = swapped(small) if colours == "bgr" else small
    drawn = draw_overlay(picture, anomaly_map, record.threshold or 0.5, ignored_in(anomaly_map))
    return draw_unknown(drawn) if record.verdict == "unknown" else drawn
