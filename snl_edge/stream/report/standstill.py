"""When a line did not judge: it was stopped, its process died, or somebody had paused it. From runs and audit."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from .period import Period


@dataclass(frozen=True)
class Standstill:
    """One time without verdicts; it may begin before the period asked for, and end after it."""

    kind: Literal["stopped", "died", "paused"]
    """``died``: the process ended out of order (killed, power cut); ``since`` is its last part's trigger then."""
    since: float
    """Seconds since 1970."""
    until: float | None
    """None: it goes on."""
    actor: str = ""
    """Who paused the line."""
    why: str = ""


def standstills(connection: sqlite3.Connection, period: Period) -> list[Standstill]:
    """Those that reach into the period, in order."""
    runs = connection.execute(
        "SELECT started, ended FROM run WHERE started < ? ORDER BY id", (period.until,)
    ).fetchall()
    later = connection.execute(
        "SELECT started, ended FROM run WHERE started >= ? ORDER BY id LIMIT 1", (period.until,)
    ).fetchall()
    found = [*_between(connection, [*runs, *later]), *_pauses(connection, period, [started for started, _ in runs])]
    return sorted((one for one in found if period.overlap(one.since, one.until)), key=lambda one: one.since)


def open_run(connection: sqlite3.Connection) -> int | None:
    """The last run, where it has no end on record: it goes on, or its process died."""
    row = connection.execute("SELECT id, ended FROM run ORDER BY id DESC LIMIT 1").fetchone()
    return row[0] if row and row[1] is None else None


def _between(connection: sqlite3.Connection, runs: list[tuple[float, float | None]]) -> list[Standstill]:
    found = []
    for (started, ended), (again, _) in pairwise(runs):
        if ended is not None:
            found.append(Standstill("stopped", ended, again))
            continue
        last = connection.execute("SELECT MAX(captured) FROM verdict WHERE captured < ?", (again,)).fetchone()[0]
        found.append(Standstill("died", max(started, last or started), again))
    if runs and runs[-1][1] is not None:
        found.append(Standstill("stopped", runs[-1][1], None))
    return found


def _pauses(connection: sqlite3.Connection, period: Period, starts: list[float]) -> list[Standstill]:
    rows = connection.execute(
        "SELECT time, action, actor, detail FROM audit WHERE action IN ('pause', 'resume', 'recipe') AND time < ?",
        (period.until,),
    ).fetchall()
    # Of the same moment the start comes first: a pause that it makes follows it.
    events = sorted([*((when, "", "", "{}") for when in starts), *rows], key=lambda event: event[0])
    found: list[Standstill] = []
    pause: tuple[float, str, str] | None = None
    for when, action, actor, detail in events:
        # The pause of a start whose recipe could not be run ends with a recipe that can, or with the next start.
        if pause is not None and (action == "resume" or (action in ("recipe", "") and pause[1] == "start")):
            found.append(Standstill("paused", pause[0], when, *pause[1:]))
            pause = None
        if pause is None and action == "pause":
            pause = (when, actor, str(json.loads(detail).get("why", "")))
    if pause is not None:
        found.append(Standstill("paused", pause[0], None, *pause[1:]))
    return found
