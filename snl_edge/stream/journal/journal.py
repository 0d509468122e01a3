"""The journal: every verdict on disk before anyone acts on it or hears of it.

SQLite in WAL mode with ``synchronous=FULL``: a commit that has returned survives kill -9 and a power cut
(https://www.sqlite.org/wal.html, https://www.sqlite.org/pragma.html#pragma_synchronous). Readers (sinks, dashboard,
commands) open connections of their own, which in this mode neither wait for the writer nor make it wait.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NamedTuple

from ...errors import DataError, OutputError
from ...runtime.verdict import Blob
from ..records.actuation import Actuation, Unaccounted
from ..records.record import Entry, PictureFile, Record
from . import actuations
from .kept_files import Awaited, last_run, lost_journal
from .lock import JournalLock
from .schema import FILE, connect, open_existing, open_to_read, prepare

_COLUMNS = tuple(field.name for field in fields(Record))
_NAMES_IN_SQL = ", ".join(f'"{name}"' for name in _COLUMNS)


class KeptPicture(NamedTuple):
    """Files of a record that is in the journal already; None where they could not be written."""

    id: int
    image: str | None
    heatmap: str | None


@dataclass(frozen=True)
class AuditEntry:
    """One change that someone or something made to the line."""

    id: int
    time: float
    actor: str
    action: str
    detail: dict[str, object]


class Journal:
    """A folder with the database and, below it, the kept pictures. Any thread may call any method.

    Args:
        folder: where it lies; made if it is not there.
        hold: keep other lines off it until `close`.
        existing: only to look at: nothing is made, an older journal is brought to today's version.

    Raises:
        OutputError: it cannot be written, another line holds it, or pictures are there and their journal is lost.
        DataError: with ``existing``: there is none, or it cannot be read.

    Attributes:
        folder: where it lies.
        id: unique in the world; part of every message id.
        run: number of the current run; 0 until `begin`.
        awaited: records whose picture is still being written.
    """

    def __init__(self, folder: Path, *, hold: bool = False, existing: bool = False) -> None:
        self.folder = folder
        self.run = 0
        self.awaited = Awaited()
        self._lock = threading.Lock()
        self._hold: JournalLock | None = None
        if existing:
            self._open_existing()
        else:
            self._open(hold)

    def _open_existing(self) -> None:
        try:
            self._writer = open_existing(self.folder / FILE)
            self.id: str = self._writer.execute("SELECT id FROM journal").fetchone()[0]
        except sqlite3.Error as error:
            raise DataError(
                f"cannot open the journal in {self.folder}", str(error), "restore it from a backup"
            ) from error

    def _open(self, hold: bool) -> None:
        folder = self.folder
        if lost := lost_journal(folder):
            fix = f"restore it from a backup, or move {folder} away to begin a new one"
            raise OutputError(f"the journal in {folder} is lost", lost, fix)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._hold = JournalLock(folder) if hold else None
            self._writer = connect(folder / FILE)
            with self._lock, self._writer:
                self.id = prepare(self._writer)
        except (OSError, sqlite3.Error) as error:
            self._release()
            raise OutputError(
                f"cannot open the journal in {folder}", str(error), "choose a writable folder on a local disk"
            ) from error

    def begin(self, software: str, config: str) -> None:
        """Starts a run: sequence numbers of every camera start at 0 again, and what earlier runs were to move for and
        have no outcome of ends as unknown.

        No run takes the number of one that left pictures, though the journal may not know it: it was restored from a
        backup, and would write over them.
        """
        pictured = last_run(self.folder)
        with self._lock, self._writer:
            actuations.give_up(self._writer, time.time())
            cursor = self._writer.execute(
                "INSERT INTO run (id, started, software, config)"
                " SELECT 1 + MAX(?, COALESCE(MAX(id), 0)), ?, ?, ? FROM run",
                (pictured, time.time(), software, config),
            )
        self.run = cursor.lastrowid or 0

    def append(
        self,
        records: Sequence[Record],
        concerned: Callable[[Record], Sequence[str]] = lambda record: (),
        awaited: Collection[int] = (),
        pictures: Sequence[KeptPicture] = (),
    ) -> list[int]:
        """Writes records in one transaction and returns their ids once they are safely on disk.

        Args:
            records: of this run.
            concerned: the actuators that are to move for a record: their intents are written with it.
            awaited: which of them, counted from 0, have a picture to come in a later call; `deliverable` ends there.
            pictures: those that were awaited and have come.

        Raises:
            sqlite3.Error: nothing of them was written (disk full, read-only, broken).
        """
        ids: list[int] = []
        expected: list[int] = []
        try:
            with self._lock, self._writer:
                for record in records:
                    cursor = self._writer.execute(_INSERT, (self.run, *_row(record)))
                    ids.append(cursor.lastrowid or 0)
                    actuations.intend(self._writer, self.run, record, concerned(record))
                self._writer.executemany(_NAME_PICTURE, [(kept.image, kept.heatmap, kept.id) for kept in pictures])
                expected = [ids[number] for number in awaited]
                self.awaited.expect(expected)
        except BaseException:
            self.awaited.settle(expected)
            raise
        self.awaited.settle([kept.id for kept in pictures])
        return ids

    def audit(self, actor: str, action: str, **detail: object) -> None:
        """Notes who changed what."""
        with self.transaction() as connection:
            self.note(connection, actor, action, detail)

    @staticmethod
    def note(connection: sqlite3.Connection, actor: str, action: str, detail: Mapping[str, object]) -> None:
        """As `audit`, within a `transaction`."""
        connection.execute(
            "INSERT INTO audit (time, actor, action, detail) VALUES (?, ?, ?, ?)",
            (time.time(), actor, action, json.dumps(detail, sort_keys=True)),
        )

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The writer's connection, for a few statements: all of them are on disk at the end, or none."""
        with self._lock, self._writer:
            yield self._writer

    def acknowledge(self, reader: str, position: int) -> None:
        """Notes that ``reader`` has dealt with all records up to ``position``.

        It survives kill -9, but a power cut may undo it: no disk flush, for which verdicts would have to wait. The
        reader then meets some records twice.
        """
        with self._lock:
            self._writer.execute("PRAGMA synchronous = NORMAL")
            try:
                with self._writer:
                    self._writer.execute("INSERT OR REPLACE INTO reader VALUES (?, ?)", (reader, position))
            finally:
                self._writer.execute("PRAGMA synchronous = FULL")

    def actuated(self, settled: Sequence[Actuation]) -> None:
        """Notes what became of rejects, in one transaction."""
        with self._lock, self._writer:
            actuations.settle(self._writer, settled)

    def give_up(self) -> None:
        """Ends as unknown what an earlier run left open; for one who holds the journal while no run is going on."""
        with self._lock, self._writer:
            actuations.give_up(self._writer, time.time())

    def acknowledge_unknown(self, last: int, actor: str) -> Unaccounted | None:
        """Notes that ``actor`` has looked for the rejects of unknown outcome, up to the outcome with the id ``last``.

        Returns:
            what was acknowledged; None if there was nothing left, and nothing was noted.
        """
        with self._lock, self._writer:
            found = actuations.unaccounted(self._writer, last)
            if found is not None:
                actuations.acknowledge(self._writer, last, time.time())
                self.note(self._writer, actor, "acknowledge", {"rejects": found.rejects, "runs": found.runs})
        return found

    def unaccounted(self) -> Unaccounted | None:
        """Rejects of unknown outcome that nobody has acknowledged; None if there are none."""
        with self.reading() as connection:
            return actuations.unaccounted(connection)

    def position(self, reader: str) -> int | None:
        """The last record that ``reader`` has acknowledged; None if it never did."""
        with self.reading() as connection:
            row = connection.execute("SELECT position FROM reader WHERE name = ?", (reader,)).fetchone()
        return row[0] if row else None

    def last(self) -> int:
        """The newest record's id; 0 if there is none."""
        with self.reading() as connection:
            return connection.execute("SELECT COALESCE(MAX(id), 0) FROM verdict").fetchone()[0]

    def after(self, position: int, limit: int) -> list[Entry]:
        """Up to ``limit`` entries with an id above ``position``, oldest first."""
        return self.select("id > ? ORDER BY id LIMIT ?", (position, limit))

    def deliverable(self, position: int, limit: int) -> list[Entry]:
        """As `after`, up to the first record whose picture is still being written."""
        return self.awaited.whole(lambda: self.after(position, limit))

    def select(self, condition: str, values: Sequence[object]) -> list[Entry]:
        """Entries for which an SQL ``condition`` of ours holds; outside input goes into ``values`` only."""
        query = f"SELECT id, run, {_NAMES_IN_SQL} FROM verdict WHERE {condition}"
        with self.reading() as connection:
            rows = connection.execute(query, tuple(values)).fetchall()
        return [Entry(row[0], row[1], _record(row[2:]), f"{self.id}:{row[0]}") for row in rows]

    def audits(self, limit: int = 100) -> list[AuditEntry]:
        """The latest changes, newest first."""
        with self.reading() as connection:
            rows = connection.execute("SELECT * FROM audit ORDER BY id DESC LIMIT ?", (limit,)).fetchall()
        return [AuditEntry(number, when, actor, action, json.loads(d)) for number, when, actor, action, d in rows]

    def latest_audit(self, action: str) -> AuditEntry | None:
        """The latest change of this kind; None if there was none."""
        query = "SELECT * FROM audit WHERE action = ? ORDER BY id DESC LIMIT 1"
        with self.reading() as connection:
            row = connection.execute(query, (action,)).fetchone()
        if row is None:
            return None
        number, when, actor, action, detail = row
        return AuditEntry(number, when, actor, action, json.loads(detail))

    def count_audits(self, action: str) -> int:
        """How many changes of this kind there have been."""
        with self.reading() as connection:
            return connection.execute("SELECT COUNT(*) FROM audit WHERE action = ?", (action,)).fetchone()[0]

    def forget_pictures(self, ids: Sequence[int]) -> None:
        """Notes that the pictures of these records are gone."""
        with self._lock, self._writer:
            self._writer.executemany(
                "UPDATE verdict SET image = NULL, heatmap = NULL WHERE id = ?", [(number,) for number in ids]
            )

    def forget(self, before: float, readers: Sequence[str], limit: int = 1000) -> int:
        """Removes about ``limit`` records triggered ``before`` that all ``readers`` have dealt with; returns how many.

        By time of the trigger, so that of each camera the oldest numbers go and no hole is left. Pictures of so old
        records must have gone before (`forget_pictures`).
        """
        marks = ", ".join("?" * len(readers))
        with self._lock, self._writer:
            first = self._writer.execute("SELECT MIN(id) FROM verdict").fetchone()[0]
            if first is None:
                return 0
            bounds = [
                self._writer.execute("SELECT captured FROM verdict ORDER BY id LIMIT 1 OFFSET ?", (limit,)),
                self._writer.execute(_OLDEST_UNDELIVERED.format(readers=marks), tuple(readers)),
            ]
            until = min([before, *(row[0] for bound in bounds if (row := bound.fetchone()) and row[0] is not None)])
            self._writer.execute(f"DELETE FROM actuation WHERE time < ? AND NOT ({actuations.KEPT})", (until,))
            return self._writer.execute(
                "DELETE FROM verdict WHERE id < ? AND +captured < ?", (first + limit + _OUT_OF_ORDER, until)
            ).rowcount

    def judged_files(self, camera: str, files: Sequence[PictureFile]) -> set[PictureFile]:
        """Which of these files have a verdict of this camera; one that was written to since has none."""
        found: set[PictureFile] = set()
        with self.reading() as connection:
            for start in range(0, len(files), _NAMES):
                names = [file.name for file in files[start : start + _NAMES]]
                query = _JUDGED_FILES.format(names=", ".join("?" * len(names)))
                found |= {PictureFile(*row) for row in connection.execute(query, (camera, *names))}
        return found.intersection(files)

    def actuations(self, limit: int = 100) -> list[Actuation]:
        """The latest, newest first."""
        with self.reading() as connection:
            return actuations.latest(connection, "TRUE", limit)

    def outcomes(self, ids: Sequence[int]) -> dict[int, list[Actuation]]:
        """What became of these records at the actuators that they concerned; open where that is not known yet."""
        with self.reading() as connection:
            return actuations.outcomes(connection, ids)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that can only read."""
        with closing(open_to_read(self.folder / FILE)) as connection:
            yield connection

    def close(self) -> None:
        """Ends the run and closes the database; a second call does nothing."""
        with self._lock:
            if self.run:
                with self._writer:
                    self._writer.execute("UPDATE run SET ended = ? WHERE id = ?", (time.time(), self.run))
                self.run = 0
            self._writer.close()
            self._release()

    @property
    def held(self) -> bool:
        """Whether it keeps other lines off."""
        return self._hold is not None

    def _release(self) -> None:
        if self._hold is not None:
            self._hold.release()


_INSERT = f"INSERT INTO verdict (run, {_NAMES_IN_SQL}) VALUES ({', '.join('?' * (len(_COLUMNS) + 1))})"


_NAME_PICTURE = "UPDATE verdict SET image = ?, heatmap = ? WHERE id = ?"
_OLDEST_UNDELIVERED = """
SELECT MIN(+captured) FROM verdict WHERE id > (SELECT MIN(position) FROM reader WHERE name IN ({readers}))
"""
# +captured: by id, not by the index of times, which begins with what has long been delivered.
_NAMES = 500
_JUDGED_FILES = """
SELECT file, file_size, file_mtime_ns FROM verdict WHERE camera = ? AND file IS NOT NULL AND file IN ({names})
"""
_OUT_OF_ORDER = 20_000
"""Verdicts may stand in another order than their triggers, but not by more than this."""


def _row(record: Record) -> tuple[object, ...]:
    values = {name: getattr(record, name) for name in _COLUMNS}
    values["blobs"] = json.dumps([asdict(blob) for blob in record.blobs])
    values["fields"] = json.dumps(record.fields) if record.fields else "{}"
    return tuple(values.values())


def _record(row: Sequence) -> Record:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["blobs"] = tuple(Blob(**blob) for blob in json.loads(values["blobs"]))
    values["shadow"] = bool(values["shadow"])
    values["fields"] = json.loads(values["fields"])
    return Record(**values)
