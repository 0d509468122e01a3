"""The live picture of each camera: taken from the line at most so often, drawn and encoded once for all viewers."""

from __future__ import annotations

import threading
import time

import numpy as np
from numpy.typing import NDArray

from ..image import swapped
from ..runtime.overlay import draw_overlay, draw_unknown, ignored_in
from ..stream.control.interface import Latest, Line
from ..stream.journal.thumbnails import jpeg, shrink
from ..stream.records.record import Entry

_DEFAULT_THRESHOLD = 0.5  # colours the map of a part that no threshold decided (unknown product)


class View:
    """One part of one camera, small and our own copy; encoded when first asked for."""

    def __init__(self, latest: Latest, width: int) -> None:
        self.entry = latest.entry
        self._frame = None if latest.frame is None else shrink(latest.frame, width)
        if self._frame is not None and latest.colours == "bgr":
            self._frame = swapped(self._frame)
        self._map = None if latest.anomaly_map is None else latest.anomaly_map.copy()
        self._encoded: dict[bool, bytes] = {}
        self._lock = threading.Lock()

    @property
    def has_picture(self) -> bool:
        """Whether there is anything to see."""
        return self._frame is not None

    def encoded(self, heatmap: bool) -> bytes | None:
        """The picture as JPEG, with the heatmap over it where wanted; None where there was no picture."""
        if self._frame is None:
            return None
        with self._lock:
            if heatmap not in self._encoded:
                self._encoded[heatmap] = jpeg(self._drawn(self._frame) if heatmap else self._frame)
            return self._encoded[heatmap]

    def _drawn(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        record = self.entry.record
        drawn = frame
        if self._map is not None:
            drawn = draw_overlay(frame, self._map, record.threshold or _DEFAULT_THRESHOLD, ignored_in(self._map))
        return draw_unknown(drawn) if record.verdict == "unknown" else drawn


class LiveFeed:
    """The last views of every camera. Nobody looking costs nothing; more viewers cost no more than one.

    Args:
        line: what to look at.
        width: of the pictures, in pixels.
        rate: views a second and camera, at most.
    """

    def __init__(self, line: Line, width: int, rate: float) -> None:
        self._line, self._width, self._interval = line, width, 1 / rate
        self._views: dict[str, list[View]] = {}  # the newest first; the one before may still be on its way
        self._looked: dict[str, float] = {}
        self._lock = threading.Lock()

    def current(self, camera: str) -> Entry | None:
        """The part to show now; a newer one only when the last has been shown for a while."""
        view = self._current(camera)
        return None if view is None else view.entry

    def has_picture(self, camera: str, entry_id: int) -> bool:
        """Whether `picture` can give one."""
        view = self._find(camera, entry_id)
        return view is not None and view.has_picture

    def picture(self, camera: str, entry_id: int, heatmap: bool) -> bytes | None:
        """The JPEG of a part that `current` gave lately; None if it is gone or had no picture."""
        view = self._find(camera, entry_id)
        return None if view is None else view.encoded(heatmap)

    def _current(self, camera: str) -> View | None:
        with self._lock:
            views = self._views.setdefault(camera, [])
            now = time.monotonic()
            if now - self._looked.get(camera, -np.inf) >= self._interval:
                self._looked[camera] = now
                latest = self._line.latest(camera)
                if latest is not None and (not views or views[0].entry.id != latest.entry.id):
                    views.insert(0, View(latest, self._width))
                    del views[3:]
            return views[0] if views else None

    def _find(self, camera: str, entry_id: int) -> View | None:
        with self._lock:
            return next((view for view in self._views.get(camera, ()) if view.entry.id == entry_id), None)
