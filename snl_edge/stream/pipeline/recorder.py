"""Journal first: every verdict goes to disk, and only then to actuators, sinks and screens."""

from __future__ import annotations

import json
import queue
import sqlite3
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray

from ..control.interface import Check, Latest
from ..journal.gaps import Gaps
from ..journal.journal import Journal, KeptPicture
from ..journal.journal_settings import JournalSettings
from ..journal.kept_pictures import Pictures
from ..journal.retention import Retention
from ..records.record import Entry, PictureFile, Record
from ..timing import Clock, DueList
from .parts import Part
from .screen import Pending, Screen

_BATCH = 512
_RETRY_S = 0.25
_PICTURES_WAITING = 32
BALLAST = "ballast"


class Recorder:
    """The journal's threads: commits all waiting records in one transaction, then passes them on; writes pictures.

    No record waits for its picture, which takes longer than all else (compression): its file is named in the row
    afterwards, and only then do sinks get the record.

    Args:
        act: moves actuators for a record and the monotonic time of its trigger; called once for each, after its
            commit or when patience ends.
        concerned: the actuators that this will concern; what they are to do is committed with the record.
        published: is told that there are new entries.
        readers: names of the sinks, whose records must not be removed before they have them.

    Attributes:
        full: the backlog is full: new parts can only get the fail-safe verdict ``journal``.
        acted_early: records that were acted upon before they were on disk.
        committed: records on disk in this run.
        threads: all of them, to be watched.
    """

    def __init__(
        self,
        journal: Journal,
        settings: JournalSettings,
        act: Callable[[Record, float], None],
        concerned: Callable[[Record], Sequence[str]],
        published: Callable[[], None],
        readers: Sequence[str],
    ) -> None:
        self.full = False
        self.acted_early = 0
        self.committed = 0
        self._clock = clock = Clock()
        self.pictures = Pictures(journal, settings.pictures, clock)
        self._journal = journal
        self._settings = settings
        self._act = act
        self._concerned = concerned
        self._published = published
        self._changed = threading.Condition()
        self._backlog: deque[Pending] = deque()
        self._late_pictures: list[Pending] = []
        self._gaps = Gaps(journal)
        self._screen = Screen()
        self._problem: str | None = None
        self._closing = False
        self._with_picture: queue.Queue[Pending | None] = queue.Queue(_PICTURES_WAITING)
        self._patience: DueList[Pending] = DueList(
            settings.patience_ms / 1000, lambda pending: pending.acted, self._act_early
        )
        self._ballast = journal.folder / BALLAST
        self._retention = Retention(journal, self.pictures, clock, settings.keep_days, readers)
        self.threads = [
            threading.Thread(target=self._write_pictures, name="pictures", daemon=True),
            threading.Thread(target=self._patience.run, name="patience", daemon=True),
            threading.Thread(target=self._write_rows, name="journal", daemon=True),
            self._retention,
        ]

    def start(self) -> None:
        """Starts the threads."""
        self._hold_ballast()
        for thread in self.threads:
            thread.start()

    def put(self, part: Part, record: Record, anomaly_map: NDArray[np.float32] | None) -> None:
        """Takes a part's one record; returns at once."""
        pending = Pending(record, part.started, part.frame, anomaly_map, part.colours)
        part.frame = None
        if self.full and record.reason == "journal":
            self._gaps.note(record, moved=bool(self._concerned(record)))
            self._act_once(pending)
            return
        pending.pictured = pending.frame is not None and self.pictures.wants(record)
        self._screen.keep(pending)
        self._patience.add(pending, time.monotonic())
        if pending.pictured:
            try:
                self._with_picture.put_nowait(pending)
            except queue.Full:
                self.pictures.miss("rejects come faster than their pictures can be written")
                self._screen.pictured(pending)
        self._queue(pending)

    def wants_map(self, camera: str) -> bool:
        """Whether a good part's anomaly map is wanted, for the screen or a kept picture."""
        return self.pictures.keeps_good or self._screen.due(camera)

    def judged_files(self, camera: str, files: Sequence[PictureFile]) -> set[PictureFile]:
        """See `Journal.judged_files`."""
        return self._journal.judged_files(camera, files)

    @property
    def backlog(self) -> int:
        """Verdicts that wait for the disk."""
        return len(self._backlog)

    def wait_for_room(self) -> None:
        """Waits while the journal is behind, unless it is in trouble; for sources that can wait."""
        with self._changed:
            self._changed.wait_for(
                lambda: len(self._backlog) < 2 * _BATCH or self._problem is not None or self._closing
            )

    def latest(self, camera: str) -> Latest | None:
        """The last committed part of a camera."""
        return self._screen.latest(camera)

    def _queue(self, pending: Pending) -> None:
        with self._changed:
            self._backlog.append(pending)
            if len(self._backlog) >= self._settings.backlog:
                self.full = True
            self._changed.notify_all()

    def _write_pictures(self) -> None:
        while (pending := self._with_picture.get()) is not None:
            assert pending.frame is not None
            kept: tuple[str | None, str | None] = (None, None)
            try:
                kept = self.pictures.write(pending.record, pending.frame, pending.anomaly_map, pending.colours)
            except Exception as error:  # whatever is wrong with a picture, the next one must be written
                self.pictures.miss(f"{type(error).__name__}: {error}")
            with self._changed:
                pending.kept = kept
                if pending.taken:
                    self._late_pictures.append(pending)
                    self._changed.notify_all()
            self._screen.pictured(pending)

    def _write_rows(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._backlog or self._late_pictures or self._closing)
                if not self._backlog and not self._late_pictures:
                    return
                batch = [self._backlog[index] for index in range(min(len(self._backlog), _BATCH))]
                for pending in batch:
                    pending.taken = True
                    if pending.kept is not None:
                        pending.record = replace(pending.record, image=pending.kept[0], heatmap=pending.kept[1])
                awaited = [number for number, pending in enumerate(batch) if pending.pictured and pending.kept is None]
                late = [pending for pending in self._late_pictures if pending.id is not None]
            pictures = [KeptPicture(pending.id or 0, *(pending.kept or (None, None))) for pending in late]
            try:
                ids = self._journal.append([pending.record for pending in batch], self._concerned, awaited, pictures)
            except sqlite3.Error as error:
                self._trouble(error)
                if self._closing:
                    self._last_resort()
                    return
                time.sleep(_RETRY_S)
                continue
            with self._changed:
                for pending, number in zip(batch, ids, strict=True):
                    pending.id = number
                    self._backlog.popleft()
                self._late_pictures = [pending for pending in self._late_pictures if pending not in late]
                self.committed += len(batch)
                self.full = self.full and len(self._backlog) >= self._settings.backlog // 2
                self._changed.notify_all()
            self._pass_on(batch, ids)
            self._recover()

    def _pass_on(self, batch: list[Pending], ids: list[int]) -> None:
        for pending in batch:
            self._act_once(pending)
        run, journal = self._journal.run, self._journal.id
        entries = [
            Entry(number, run, pending.record, f"{journal}:{number}")
            for pending, number in zip(batch, ids, strict=True)
        ]
        for pending, entry in zip(batch, entries, strict=True):
            self._screen.show(pending, entry)
        self._published()

    def _act_once(self, pending: Pending) -> bool:
        with self._changed:
            if pending.acted:
                return False
            pending.acted = True
        self._act(pending.record, pending.started)
        return True

    def _act_early(self, pending: Pending) -> None:
        self.acted_early += self._act_once(pending)

    def _trouble(self, error: sqlite3.Error) -> None:
        self._problem = str(error)
        if "full" in str(error):
            with suppress(OSError):
                self._ballast.unlink(missing_ok=True)
        self._retention.hurry()

    def _recover(self) -> None:
        if self.full:
            return
        try:
            self._gaps.declare()
        except sqlite3.Error as error:
            self._problem = str(error)
            return
        if self._problem is not None:
            self._problem = None
            self._hold_ballast()

    def _hold_ballast(self) -> None:
        """Reserves real space; less than wished is no reason not to run."""
        size = self._settings.ballast_mib * 2**20
        with suppress(OSError):
            if self._ballast.exists() or self.pictures.free() < 4 * size:
                return
            with self._ballast.open("wb") as file:
                file.write(bytes(size))

    def _last_resort(self) -> None:
        """The disk still refuses and the process ends: what is not on disk goes to the log."""
        for pending in self._backlog:
            self._act_once(pending)
            sys.stderr.write(f"snl-edge: not in the journal: {json.dumps(asdict(pending.record))}\n")
        for gap in self._gaps.open():
            sys.stderr.write(f"snl-edge: not in the journal: {json.dumps(asdict(gap))}\n")

    def check(self) -> Check:
        """Its line on the health page."""
        if self._problem is not None:
            with self._changed:
                backlog = tuple(self._backlog)
            gaps = self._gaps.open()
            waiting = len(backlog) + sum(gap.count for gap in gaps)
            moved = sum(pending.acted and bool(self._concerned(pending.record)) for pending in backlog)
            text = (
                f"{self._problem}; {waiting} verdicts wait in memory, and actuators were told to move for "
                f"{moved + sum(gap.moved for gap in gaps)} of them without a trace on disk. Free or repair it"
            )
            return Check("journal", "failed", text)
        if not self._clock.steady:
            return Check("journal", "warning", "the clock has jumped: nothing is removed by age until the next start")
        if self.pictures.problem is not None:
            return Check("journal", "warning", f"{self.pictures.missed} pictures not kept: {self.pictures.problem}")
        early = f"; {self.acted_early} were acted upon before they were" if self.acted_early else ""
        return Check("journal", "ok", f"{self.committed} verdicts of this run are on disk{early}")

    def close(self) -> None:
        """Writes what is left and ends the threads."""
        self._with_picture.put(None)
        self.threads[0].join()
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self.threads[2].join()
        self._journal.awaited.clear()
        self._patience.close()
        self._retention.stop()
        for thread in self.threads:
            thread.join()
