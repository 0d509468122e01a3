"""One camera: its thread, from the trigger to a prepared picture in the queue."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

import numpy as np
from numpy.typing import NDArray

from ...errors import CameraError, ConfigError
from ..control.interface import Check
from ..pipeline.parts import Part, Parts, Waiting
from ..pipeline.recipe import LineState
from ..pipeline.recorder import Recorder
from ..sources import open_source
from ..sources.base import EndOfPictures, PictureError, Source
from ..sources.folder import FolderSource
from .camera_settings import CameraSettings
from .prepare import FAULTS, Preparation
from .triggers import EveryFrame, Hardware, firing

_log = logging.getLogger(__name__)
LONGEST_ID = 200
"""Characters of a part's id that are kept."""
_NOTHING_NEW_S = 0.2


class Camera(threading.Thread):
    """Reads one source and hands prepared pictures over.

    Attributes:
        ended: its source has no more pictures and all that came were handed over.
        pictures: how many were read.

    Args:
        focus_every: measure the focus of each n-th part.
        waiting_limit: triggered parts that may wait for a picture.
    """

    def __init__(
        self,
        settings: CameraSettings,
        state: LineState,
        parts: Parts,
        waiting: Waiting,
        recorder: Recorder,
        *,
        focus_every: int,
        waiting_limit: int,
    ) -> None:
        super().__init__(name=f"camera {settings.name}", daemon=True)
        self.settings = settings
        self.ended = False
        self.pictures = 0
        self._firing = firing(settings.trigger, self.trigger)
        self._source: Source = open_source(settings.source)
        self.video = self._source.video
        if isinstance(self._source, FolderSource):
            self._source.judged = lambda files: recorder.judged_files(settings.name, files)
        self._by_frame = isinstance(settings.trigger, EveryFrame | Hardware)
        self._every = settings.trigger.every if isinstance(settings.trigger, EveryFrame) else 1
        self._state = state
        self._parts = parts
        self._waiting = waiting
        self._recorder = recorder
        self._preparation = Preparation(settings, self._source, focus_every)
        self._limit = waiting_limit
        self._triggered: deque[Part] = deque()
        self._wanted = threading.Condition()
        self._stopping = threading.Event()
        self._problem: str | None = "not opened yet"
        self._fault: str | None = None
        self._last_picture = time.monotonic()

    def start(self) -> None:
        """Starts the thread, and what triggers it.

        Raises:
            ConfigError: the trigger's input cannot be used.
        """
        super().start()
        if self._firing is not None:
            self._firing.start()

    def trigger(self, part_id: str | None = None, encoder: int | None = None) -> int | None:
        """A part is there now: returns its sequence number; None while the line is ending. From any thread.

        Raises:
            ConfigError: the encoder's count is no 64-bit number.
        """
        if encoder is not None and not -(2**63) <= encoder < 2**63:
            raise ConfigError(f"encoder {encoder} is no count", fix="give a number of 64 bits")
        if part_id is not None:  # from outside: nothing that the journal could not hold
            part_id = part_id[:LONGEST_ID].encode("utf-8", "replace").decode()
        part = self._parts.open(self.settings.name, part_id, encoder)
        if part is None:
            return None
        if reason := self._refusal():
            self._parts.fail(part, reason)
            return part.sequence
        with self._wanted:
            while self._triggered and self._triggered[0].decided:
                self._triggered.popleft()
            pushed_out = self._triggered.popleft() if len(self._triggered) >= self._limit else None
            self._triggered.append(part)
            self._wanted.notify()
        if pushed_out is not None:
            self._parts.fail(pushed_out, "dropped")
        if reason := self._refusal():  # the camera may have gone meanwhile, and left nobody to take the part
            self._fail_triggered(reason)
        return part.sequence

    def _refusal(self) -> str | None:
        """Why no part can be judged now."""
        if self._state.paused:
            return "paused"
        if self._recorder.full:
            return "journal"
        return "camera" if self._problem is not None or self.ended else None

    def run(self) -> None:
        """The thread's body: opens the source, again and again if it must."""
        pause = self.settings.reconnect.first_s
        while not self._stopping.is_set() and not self.ended:
            try:
                self._source.open()
                self._last_picture = time.monotonic()
                self._problem = self._fault = None
                while not self._stopping.is_set():
                    if self._turn():
                        pause = self.settings.reconnect.first_s
            except EndOfPictures:
                self.ended = True
            except Exception as error:  # a driver may raise anything; the camera must be looked for again
                self._problem = str(error) if isinstance(error, CameraError) else f"{type(error).__name__}: {error}"
                self._fail_triggered("camera")
                self._stopping.wait(pause)
                pause = min(2 * pause, self.settings.reconnect.most_s)
            finally:
                self._close()
        self._fail_triggered("camera" if self.ended else "shutdown")

    def _close(self) -> None:
        try:
            self._source.close()
        except (
            Exception
        ):  # a driver that lost its device may raise here, too; the camera is looked for again all the same
            _log.exception("closing camera %s", self.settings.name)

    def _turn(self) -> bool:
        """Reads one picture, if one is wanted; whether one came."""
        if not self._by_frame and not self._source.live and not self._wait_for_trigger():
            return False
        try:
            picture = self._source.read()
        except PictureError as error:
            self._fault = str(error)
            if part := self._next_part():
                self._parts.fail(part, "corrupt")
            return False
        if picture is None:
            if self._expects_pictures and time.monotonic() - self._last_picture > self.settings.silent_after_s:
                raise CameraError(f"no picture for {self.settings.silent_after_s:g} s", fix="check cable and power")
            return False
        self._last_picture = time.monotonic()
        self.pictures += 1
        if (self.pictures - 1) % self._every == 0 and (part := self._next_part()):
            try:
                self._hand_over(part, picture)
            except BaseException:
                part.release()
                self._parts.fail(part, "camera")
                raise
        return True

    @property
    def _expects_pictures(self) -> bool:
        return self._source.live and not isinstance(self.settings.trigger, Hardware)

    def _wait_for_trigger(self) -> bool:
        with self._wanted:
            return bool(self._wanted.wait_for(lambda: self._triggered, _NOTHING_NEW_S))

    def _next_part(self) -> Part | None:
        """The part that the picture just read belongs to."""
        folder = self._source if isinstance(self._source, FolderSource) else None
        if self._by_frame:
            part = self._parts.open(self.settings.name)
            if part is not None and folder is not None:
                part.file, part.old = folder.file, folder.old
            if part is not None and (reason := self._refusal()):
                self._parts.fail(part, reason)
            return part if part is not None and not part.decided else None
        with self._wanted:
            while self._triggered:
                part = self._triggered[0]
                if not part.decided and self._came_before(part):
                    return None  # the part waits for the next picture
                self._triggered.popleft()
                if not part.decided:
                    part.file = None if folder is None else folder.file
                    return part
        return None

    def _came_before(self, part: Part) -> bool:
        """Whether the picture just read shows what was there before the part's trigger."""
        received = self._source.received
        return received is not None and received < part.started + self.settings.delay_ms / 1000

    def _hand_over(self, part: Part, stored: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
        begun = time.monotonic()
        part.received = self._source.received
        unfit = self._preparation.prepare(part, stored, self._state.recipe)
        self._fault = None if unfit is None else unfit.told
        part.stages["capture"] = begun - part.started
        part.stages["prepare"] = time.monotonic() - begun
        if unfit is not None:
            part.release()
            self._parts.fail(part, unfit.reason)
        elif dropped := self._waiting.put(part):
            dropped.release()
            self._parts.fail(dropped, "dropped")

    def _fail_triggered(self, reason: str) -> None:
        with self._wanted:
            left, self._triggered = list(self._triggered), deque()
        for part in left:
            self._parts.fail(part, reason)

    @property
    def died(self) -> bool:
        """Whether its thread, or that of its trigger, ended although it should run: parts then come by unseen."""
        if self.ident is None or self.ended or self._stopping.is_set():
            return False
        fires = self._firing is None or self._firing.ident is None or self._firing.is_alive()
        return not (self.is_alive() and fires)

    def check(self) -> Check:
        """Its line on the health page."""
        name = f"camera {self.settings.name}"
        if self.ended:
            return Check(name, "ok", "its source is at its end")
        if self.died:
            return Check(name, "failed", "its thread has ended; restart the service")
        if self._problem is not None:
            return Check(name, "failed", self._problem)
        silent = time.monotonic() - self._last_picture
        if self._fault is not None:
            return Check(name, "failed", FAULTS.get(self._fault, self._fault))
        if self._expects_pictures and silent > self.settings.silent_after_s:
            return Check(name, "failed", f"no picture for {silent:.0f} s: the driver hangs; replug the camera")
        doubt = self._preparation.doubt
        return Check(name, "warning" if doubt else "ok", doubt or f"{self.pictures} pictures")

    def stop(self) -> None:
        """Takes no further pictures; the thread ends after the one it is at."""
        self._stopping.set()
        if self._firing is not None:
            self._firing.stop()
