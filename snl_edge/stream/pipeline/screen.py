"""Verdicts on their way to the disk, and which of their pictures stay in memory for the screen."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...runtime.manifest import Colours
from ..control.interface import Latest
from ..records.record import Entry, Record

_MAP_EVERY_S = 1 / 30
"""The screen never draws more often (``dashboard.live_rate``)."""


@dataclass(eq=False, slots=True)
class Pending:
    """A verdict on its way to the disk."""

    record: Record
    started: float
    frame: NDArray[np.uint8] | None
    anomaly_map: NDArray[np.float32] | None
    colours: Colours = "rgb"
    """Of ``frame``."""
    pictured: bool = False
    """Its picture is still to be written."""
    acted: bool = False
    kept: tuple[str | None, str | None] | None = None
    """Its picture's and heatmap's paths, once written or given up."""
    taken: bool = False
    """Its row is being written, or is: what is kept from now on has to be added to it."""
    id: int | None = None
    """Of its row."""


class Screen:
    """Of each camera the next verdict to be committed and the newest keep their pictures, all others lose them.

    Good parts whose map nobody asked the engine for are passed over: another of the camera, with its map, came just
    before. So memory stays bounded however slow the disk is, and the screen moves however fast the line is. Any thread
    may call any method.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due: dict[str, float] = {}
        self._on_way: dict[str, list[Pending]] = {}
        self._latest: dict[str, Latest] = {}

    def due(self, camera: str) -> bool:
        """Whether this camera's next good part should come with its map; says yes at most so often."""
        now = time.monotonic()
        with self._lock:
            if now - self._due.get(camera, -_MAP_EVERY_S) < _MAP_EVERY_S:
                return False
            self._due[camera] = now
            return True

    def keep(self, pending: Pending) -> None:
        """Takes a new verdict, in place of the newest that was not the next."""
        if pending.record.verdict == "good" and pending.anomaly_map is None:
            if not pending.pictured:
                pending.frame = None
            return
        with self._lock:
            shown = self._on_way.setdefault(pending.record.camera, [])
            if len(shown) == 2:
                replaced = shown.pop()
                if not replaced.pictured:
                    replaced.frame = replaced.anomaly_map = None
            shown.append(pending)

    def pictured(self, pending: Pending) -> None:
        """Its picture is written: no longer needed for that."""
        with self._lock:
            pending.pictured = False
            if not any(pending is kept for kept in self._on_way.get(pending.record.camera, [])):
                pending.frame = pending.anomaly_map = None

    def show(self, pending: Pending, entry: Entry) -> None:
        """It is committed: it is the last part of its camera, unless one that was triggered later is."""
        camera = pending.record.camera
        with self._lock:
            shown = self._on_way.get(camera, [])
            if pending not in shown:
                return
            shown.remove(pending)
            known = self._latest.get(camera)
            if known is None or known.entry.record.sequence < entry.record.sequence:
                self._latest[camera] = Latest(entry, pending.frame, pending.anomaly_map, pending.colours)

    def latest(self, camera: str) -> Latest | None:
        """The last committed part of a camera."""
        return self._latest.get(camera)
