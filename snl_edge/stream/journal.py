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
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..errors import OutputError
from . import actuation
from .actuation import Actuation, Unaccounted
from .journal_lock import JournalLock
from .record import Blob, Entry, PictureFile, Record

FILE = "journal.sqlite"
SCHEMA_VERSION = 4
_COLUMNS = tuple(field.name for field in fields(Record))
_SCHEMA = """
CREATE TABLE journal (id TEXT NOT NULL, schema_version INTEGER NOT NULL);
CREATE TABLE run (
  id INTEGER PRIMARY KEY, started REAL NOT NULL, ended REAL, software TEXT NOT NULL, config TEXT NOT NULL
);
CREATE TABLE verdict (
  id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL REFERENCES run(id),
  camera TEXT NOT NULL, sequence INTEGER NOT NULL, captured REAL NOT NULL, decided REAL NOT NULL,
  latency_ms REAL NOT NULL, verdict TEXT NOT NULL, action TEXT NOT NULL, reason TEXT, part TEXT, encoder INTEGER,
  product TEXT, product_distance REAL, score REAL, threshold REAL, blobs TEXT NOT NULL, engine TEXT NOT NULL,
  recipe TEXT NOT NULL, threshold_version INTEGER NOT NULL, shadow INTEGER NOT NULL, image TEXT, heatmap TEXT,
  recognised TEXT, warning TEXT, file TEXT, file_size INTEGER, file_mtime_ns INTEGER,
  picture_age_ms REAL,
  UNIQUE (run, camera, sequence)
);
CREATE INDEX verdict_kind ON verdict (verdict, id);
CREATE INDEX verdict_file ON verdict (camera, file) WHERE file IS NOT NULL;
CREATE INDEX verdict_picture ON verdict (id) WHERE image IS NOT NULL;
CREATE TABLE reader (name TEXT PRIMARY KEY, position INTEGER NOT NULL);
CREATE TABLE audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
  detail TEXT NOT NULL
);
CREATE TABLE actuation (
  id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL, camera TEXT NOT NULL, sequence INTEGER NOT NULL,
  actuator TEXT NOT NULL, outcome TEXT NOT NULL, time REAL NOT NULL, late_ms REAL, detail TEXT NOT NULL
);
CREATE INDEX actuation_part ON actuation (run, camera, sequence);
"""
_UPGRADES = {
    1: """
ALTER TABLE verdict ADD COLUMN recognised TEXT;
ALTER TABLE verdict ADD COLUMN warning TEXT;
ALTER TABLE verdict ADD COLUMN file TEXT;
ALTER TABLE verdict ADD COLUMN file_size INTEGER;
ALTER TABLE verdict ADD COLUMN file_mtime_ns INTEGER;
CREATE INDEX verdict_file ON verdict (camera, file) WHERE file IS NOT NULL;
""",
    2: "ALTER TABLE verdict ADD COLUMN picture_age_ms REAL;",
    3: actuation.TABLES,
}
"""From each earlier version to the next; a new journal begins at 3."""


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

    Raises:
        OutputError: it cannot be written, or another line holds it.

    Attributes:
        folder: where it lies.
        id: unique in the world; part of every message id.
        run: number of the current run; 0 until `begin`.
    """

    def __init__(self, folder: Path, *, hold: bool = False) -> None:
        self.folder = folder
        self.run = 0
        self._lock = threading.Lock()
        self._hold: JournalLock | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._hold = JournalLock(folder) if hold else None
            self._writer = _connect(folder / FILE)
            with self._lock, self._writer:
                self.id = _prepare(self._writer)
        except (OSError, sqlite3.Error) as error:
            self._release()
            raise OutputError(
                f"cannot open the journal in {folder}", str(error), "choose a writable folder on a local disk"
            ) from error

    def begin(self, software: str, config: str) -> None:
        """Starts a run: sequence numbers of every camera start at 0 again, and what earlier runs were to move for and
        have no outcome of ends as unknown."""
        with self._lock, self._writer:
            actuation.give_up(self._writer, time.time())
            cursor = self._writer.execute(
                "INSERT INTO run (started, software, config) VALUES (?, ?, ?)", (time.time(), software, config)
            )
        self.run = cursor.lastrowid or 0

    def append(
        self, records: Sequence[Record], concerned: Callable[[Record], Sequence[str]] = lambda record: ()
    ) -> list[int]:
        """Writes records in one transaction and returns their ids once they are safely on disk.

        Args:
            records: of this run.
            concerned: the actuators that are to move for a record: their intents are written with it.

        Raises:
            sqlite3.Error: nothing of them was written (disk full, read-only, broken).
        """
        ids: list[int] = []
        with self._lock, self._writer:
            for record in records:
                cursor = self._writer.execute(_INSERT, (self.run, *_row(record)))
                ids.append(cursor.lastrowid or 0)
                actuation.intend(self._writer, self.run, record, concerned(record))
        return ids

    def audit(self, actor: str, action: str, **detail: object) -> None:
        """Notes who changed what."""
        with self._lock, self._writer:
            self._audit(actor, action, detail)

    def _audit(self, actor: str, action: str, detail: dict[str, object]) -> None:
        self._writer.execute(
            "INSERT INTO audit (time, actor, action, detail) VALUES (?, ?, ?, ?)",
            (time.time(), actor, action, json.dumps(detail, sort_keys=True)),
        )

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

    def actuated(self, actuations: Sequence[Actuation]) -> None:
        """Notes what became of rejects, in one transaction."""
        with self._lock, self._writer:
            actuation.settle(self._writer, actuations)

    def give_up(self) -> None:
        """Ends as unknown what an earlier run left open; for one who holds the journal while no run is going on."""
        with self._lock, self._writer:
            actuation.give_up(self._writer, time.time())

    def acknowledge_unknown(self, last: int, actor: str) -> Unaccounted | None:
        """Notes that ``actor`` has looked for the rejects of unknown outcome, up to the outcome with the id ``last``.

        Returns:
            what was acknowledged; None if there was nothing left, and nothing was noted.
        """
        with self._lock, self._writer:
            found = actuation.unaccounted(self._writer, last)
            if found is not None:
                actuation.acknowledge(self._writer, last, time.time())
                self._audit(actor, "acknowledge", {"rejects": found.rejects, "runs": found.runs})
        return found

    def unaccounted(self) -> Unaccounted | None:
        """Rejects of unknown outcome that nobody has acknowledged; None if there are none."""
        with self.reading() as connection:
            return actuation.unaccounted(connection)

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

    def select(self, condition: str, values: Sequence[object]) -> list[Entry]:
        """Entries for which an SQL ``condition`` of ours holds; outside input goes into ``values`` only."""
        query = f"SELECT id, run, {', '.join(_COLUMNS)} FROM verdict WHERE {condition}"
        with self.reading() as connection:
            rows = connection.execute(query, tuple(values)).fetchall()
        return [Entry(row[0], row[1], _record(row[2:]), f"{self.id}:{row[0]}") for row in rows]

    def audits(self, limit: int = 100) -> list[AuditEntry]:
        """The latest changes, newest first."""
        with self.reading() as connection:
            rows = connection.execute("SELECT * FROM audit ORDER BY id DESC LIMIT ?", (limit,)).fetchall()
        return [AuditEntry(number, when, actor, action, json.loads(d)) for number, when, actor, action, d in rows]

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
            self._writer.execute(f"DELETE FROM actuation WHERE time < ? AND NOT ({actuation.KEPT})", (until,))
            return self._writer.execute(
                "DELETE FROM verdict WHERE id < ? AND captured < ?", (first + limit + _OUT_OF_ORDER, until)
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
            return actuation.latest(connection, "TRUE", limit)

    def outcomes(self, ids: Sequence[int]) -> dict[int, list[Actuation]]:
        """What became of these records at the actuators that they concerned; open where that is not known yet."""
        with self.reading() as connection:
            return actuation.outcomes(connection, ids)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that can only read."""
        with closing(sqlite3.connect(f"{(self.folder / FILE).absolute().as_uri()}?mode=ro", uri=True)) as connection:
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


_INSERT = f"INSERT INTO verdict (run, {', '.join(_COLUMNS)}) VALUES ({', '.join('?' * (len(_COLUMNS) + 1))})"


_OLDEST_UNDELIVERED = """
SELECT MIN(captured) FROM verdict WHERE id > (SELECT MIN(position) FROM reader WHERE name IN ({readers}))
"""
_NAMES = 500
_JUDGED_FILES = """
SELECT file, file_size, file_mtime_ns FROM verdict WHERE camera = ? AND file IS NOT NULL AND file IN ({names})
"""
_OUT_OF_ORDER = 20_000
"""Verdicts may stand in another order than their triggers, but not by more than this."""


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _prepare(connection: sqlite3.Connection) -> str:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    # Each step is whole or not at all, so that a kill in between leaves one that can go on.
    if version == 0:
        if connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
            raise sqlite3.DatabaseError(
                f"{FILE} is no journal, or one whose creation by an earlier version was broken off: it is empty then, "
                "so remove it"
            )
        identity = f"INSERT INTO journal VALUES ('{uuid.uuid4().hex}', {SCHEMA_VERSION});"
        connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} {identity} PRAGMA user_version = 3; COMMIT;")
        version = 3
    while version in _UPGRADES:
        connection.executescript(f"BEGIN; {_UPGRADES[version]} PRAGMA user_version = {version + 1}; COMMIT;")
        version += 1
    if version != SCHEMA_VERSION:
        raise sqlite3.DatabaseError(f"schema version {version}, this snl-edge writes {SCHEMA_VERSION}")
    return connection.execute("SELECT id FROM journal").fetchone()[0]


def _row(record: Record) -> tuple[object, ...]:
    values = {name: getattr(record, name) for name in _COLUMNS}
    values["blobs"] = json.dumps([asdict(blob) for blob in record.blobs])
    return tuple(values.values())


def _record(row: Sequence) -> Record:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["blobs"] = tuple(Blob(**blob) for blob in json.loads(values["blobs"]))
    values["shadow"] = bool(values["shadow"])
    return Record(**values)
