"""What people chose on a running line, kept in its journal: a restart, kill -9 too, does not undo it in silence."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from ...errors import DataError
from ..journal.journal import Journal
from ..journal.schema import FILE, open_to_read

Chosen = Literal["recipe", "paused", "shadow", "order"]


@dataclass(frozen=True)
class Choice:
    """One of them."""

    value: Any
    """As JSON has it."""
    configured: Any
    """What the line's file said at that moment; None where it says nothing of it."""
    actor: str
    time: float
    """Seconds since 1970."""

    def __str__(self) -> str:
        return f"by {self.actor} on {moment(self.time)}"


def moment(seconds: float) -> str:
    """A time (seconds since 1970) as people of this place read it, to the minute."""
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M}"


def choose(
    journal: Journal,
    actor: str,
    action: str,
    chosen: Mapping[Chosen, Any],
    configured: Mapping[Chosen, Any] = MappingProxyType({}),
    **detail: object,
) -> dict[Chosen, Choice]:
    """Notes who chose what, for the audit and for the next start, in one transaction; a value of None is forgotten.

    Args:
        configured: what the line's file says of each, where it does.

    Raises:
        sqlite3.Error: nothing was noted.
    """
    now = time.time()
    made: dict[Chosen, Choice] = {
        name: Choice(value, configured.get(name), actor, now) for name, value in chosen.items()
    }
    with journal.transaction() as connection:
        for name, choice in made.items():
            connection.execute("DELETE FROM choice WHERE name = ?", (name,))
            if choice.value is not None:
                values = (name, json.dumps(choice.value), json.dumps(choice.configured), actor, now)
                connection.execute("INSERT INTO choice VALUES (?, ?, ?, ?, ?)", values)
        journal.note(connection, actor, action, detail)
    return made


def choices(journal: Journal) -> dict[Chosen, Choice]:
    """All that stand."""
    with journal.reading() as connection:
        return _read(connection)


def choices_in(folder: Path) -> dict[Chosen, Choice]:
    """All that stand in the journal of ``folder``, only looked at; none where there is no such journal.

    Raises:
        DataError: it cannot be read.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        with closing(open_to_read(path)) as connection:
            known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'choice'").fetchone()
            return _read(connection) if known else {}
    except sqlite3.Error as error:
        raise DataError(f"the journal in {folder} cannot be read", str(error)) from error


def _read(connection: sqlite3.Connection) -> dict[Chosen, Choice]:
    rows = connection.execute("SELECT name, value, configured, actor, time FROM choice").fetchall()
    found: dict[Chosen, Choice] = {}
    for name, value, file, actor, when in rows:
        found[name] = Choice(json.loads(value), json.loads(file), actor, when)
    return found
