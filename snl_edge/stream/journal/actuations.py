"""Intents and outcomes of actuators, as the journal keeps them.

An intent is written in the transaction of its verdict and goes in that of its outcome, so a reject on disk has one or
the other, wherever a process dies. What an earlier run left open ends as ``unknown``, and stands until somebody
acknowledges it. All functions work on a connection to the journal, within a transaction of the caller.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import astuple, fields

from ..records.actuation import Actuation, Unaccounted
from ..records.record import Record

TABLES = """
CREATE TABLE intent (
  run INTEGER NOT NULL, camera TEXT NOT NULL, sequence INTEGER NOT NULL, actuator TEXT NOT NULL, time REAL NOT NULL,
  PRIMARY KEY (run, camera, sequence, actuator)
) WITHOUT ROWID;
ALTER TABLE actuation ADD COLUMN acknowledged REAL;
CREATE INDEX actuation_unknown ON actuation (run, camera, sequence) WHERE outcome = 'unknown' AND acknowledged IS NULL;
"""
"""What a journal of version 3 lacks."""


KEPT = "outcome = 'unknown' AND acknowledged IS NULL"
"""Outcomes that retention leaves alone."""


UNACCOUNTED = f"""
SELECT verdict.id FROM (SELECT run, camera, sequence FROM actuation INDEXED BY actuation_unknown WHERE {KEPT})
JOIN verdict USING (run, camera, sequence)
"""
"""Records of rejects that nobody has acknowledged."""


KILLED = "check the bin: the process ended between verdict and outcome, so it may or may not have moved"


ENDED = "check the bin: the run ended before the outcome was on disk, so it may or may not have moved"


_AT_A_TIME = 500


_COLUMNS = tuple(field.name for field in fields(Actuation))


_INSERT = f"INSERT INTO actuation ({', '.join(_COLUMNS)})"


def intend(connection: sqlite3.Connection, run: int, record: Record, actuators: Sequence[str]) -> None:
    """Notes which actuators are to move for a record, but for those whose outcome came before its verdict's row."""
    for actuator in actuators:
        part = (run, record.camera, record.sequence, actuator)
        connection.execute(
            "INSERT INTO intent SELECT ?, ?, ?, ?, ? WHERE NOT EXISTS"
            " (SELECT 1 FROM actuation WHERE run = ? AND camera = ? AND sequence = ? AND actuator = ?)",
            (*part, record.decided, *part),
        )


def settle(connection: sqlite3.Connection, actuations: Sequence[Actuation]) -> None:
    """Notes outcomes, in place of their intents."""
    connection.executemany(
        f"{_INSERT} VALUES ({', '.join('?' * len(_COLUMNS))})", [astuple(actuation) for actuation in actuations]
    )
    connection.executemany(
        "DELETE FROM intent WHERE run = ? AND camera = ? AND sequence = ? AND actuator = ?",
        [(one.run, one.camera, one.sequence, one.actuator) for one in actuations],
    )


def give_up(connection: sqlite3.Connection, now: float) -> None:
    """Ends every open intent as ``unknown``; for a moment at which no run is going on."""
    connection.execute(
        f"{_INSERT} SELECT run, camera, sequence, actuator, 'unknown', ?, NULL,"
        " CASE WHEN (SELECT ended FROM run WHERE run.id = intent.run) IS NULL THEN ? ELSE ? END, NULL"
        " FROM intent ORDER BY run, time",
        (now, KILLED, ENDED),
    )
    connection.execute("DELETE FROM intent")


def acknowledge(connection: sqlite3.Connection, last: int, now: float) -> None:
    """Notes that somebody has looked for the parts of all unknown outcomes up to the id ``last``."""
    connection.execute(
        f"UPDATE actuation INDEXED BY actuation_unknown SET acknowledged = ? WHERE {KEPT} AND id <= ?", (now, last)
    )


def unaccounted(connection: sqlite3.Connection, last: int = 2**62) -> Unaccounted | None:
    """The rejects that nobody has acknowledged, of outcomes up to the id ``last``; None if there are none."""
    # By the index that holds only them: health asks each second, and years of outcomes must not be walked through.
    rows = connection.execute(
        "SELECT run, camera, sequence, MAX(id) FROM actuation INDEXED BY actuation_unknown"
        f" WHERE {KEPT} AND id <= ? GROUP BY run, camera, sequence",
        (last,),
    ).fetchall()
    if not rows:
        return None
    return Unaccounted(len(rows), tuple(sorted({row[0] for row in rows})), max(row[3] for row in rows))


def latest(connection: sqlite3.Connection, condition: str, limit: int) -> list[Actuation]:
    """The latest outcomes for which an SQL ``condition`` of ours holds, newest first."""
    rows = connection.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM actuation WHERE {condition} ORDER BY id DESC LIMIT ?", (limit,)
    )
    return [Actuation(*row) for row in rows]


def outcomes(connection: sqlite3.Connection, ids: Sequence[int]) -> dict[int, list[Actuation]]:
    """Of each record with one of these ids that concerned an actuator: the outcomes, open ones too."""
    found: dict[int, list[Actuation]] = {}
    part = "run = verdict.run AND {table}.camera = verdict.camera AND {table}.sequence = verdict.sequence"
    columns = ", ".join(f"actuation.{name}" for name in _COLUMNS)
    open_columns = "intent.run, intent.camera, intent.sequence, actuator, 'open', time, NULL, '', NULL"
    for start in range(0, len(ids), _AT_A_TIME):
        some = ids[start : start + _AT_A_TIME]
        for table, wanted in (("actuation", columns), ("intent", open_columns)):
            query = (
                f"SELECT verdict.id, {wanted} FROM verdict JOIN {table} ON {table}.{part.format(table=table)}"
                f" WHERE verdict.id IN ({', '.join('?' * len(some))})"
            )
            for number, *row in connection.execute(query, tuple(some)):
                found.setdefault(number, []).append(Actuation(*row))
    return found


def waiting(connection: sqlite3.Connection, actuator: str | None = None, before: float = float("inf")) -> int:
    """How many intents are open, of verdicts ``before`` this moment (seconds since 1970) and of one actuator or all."""
    return connection.execute(
        "SELECT COUNT(*) FROM intent WHERE time < ? AND (? IS NULL OR actuator = ?)", (before, actuator, actuator)
    ).fetchone()[0]
