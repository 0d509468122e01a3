"""The journal's tables, and what brings an older journal to them."""

from __future__ import annotations

import os
import sqlite3
import uuid
from pathlib import Path

from . import actuations

FILE = "journal.sqlite"
SCHEMA_VERSION = 4
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
    3: actuations.TABLES
    + """
ALTER TABLE verdict ADD COLUMN "order" TEXT;
ALTER TABLE verdict ADD COLUMN lot TEXT;
ALTER TABLE verdict ADD COLUMN operator TEXT;
ALTER TABLE verdict ADD COLUMN fields TEXT NOT NULL DEFAULT '{}';
CREATE INDEX verdict_captured ON verdict (captured);
CREATE TABLE choice (
  name TEXT PRIMARY KEY, value TEXT NOT NULL, configured TEXT NOT NULL, actor TEXT NOT NULL, time REAL NOT NULL
);
""",
}
"""From each earlier version to the next; a new journal begins at 3."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection that writes: what it has committed survives a power cut."""
    _require_file(path)
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def open_existing(path: Path) -> sqlite3.Connection:
    """A connection to look at a journal by; an older one is brought to today's version first, nothing else is written.

    Where nothing can be written, as on a read-only mount, it is as `open_to_read` gives it.

    Raises:
        sqlite3.Error: there is none, or it is of a later version.
    """
    # Who may write opens for writing: SQLite then puts its side files away at the end.
    connection = _by_uri(path, "mode=rw") if os.access(path.parent, os.W_OK) else open_to_read(path)
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            raise sqlite3.DatabaseError(f"{FILE} holds no verdicts, nor places for them")
        if version != SCHEMA_VERSION:
            prepare(connection)
        connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """A connection that can only read, from a read-only disk, too.

    In WAL mode SQLite needs to make side files even to read (https://www.sqlite.org/wal.html, "Read-Only Databases").
    Where it cannot, it is told that the file does not change: true while there is no log beside it, which whoever
    writes keeps there. A log with content is never passed over: SQLite refuses what it then cannot read whole.

    Raises:
        sqlite3.Error: there is none.
    """
    log = path.with_name(f"{path.name}-wal")
    still = not os.access(path.parent, os.W_OK) and not log.exists()
    return _by_uri(path, "mode=ro&immutable=1" if still else "mode=ro")


def _require_file(path: Path) -> None:
    """SQLite would wait at a pipe for ever."""
    if path.exists() and not path.is_file():
        raise sqlite3.OperationalError(f"{FILE} is no regular file")


def _by_uri(path: Path, how: str) -> sqlite3.Connection:
    _require_file(path)
    return sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, check_same_thread=False)


def prepare(connection: sqlite3.Connection) -> str:
    """Makes a new journal, or brings an older one to today's version; returns its id.

    Raises:
        sqlite3.Error: it is none, or of a later version.
    """
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
