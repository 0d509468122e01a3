"""`snl-edge stream acknowledge`: somebody has looked for the rejects whose outcome nobody knows."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from ...errors import OutputError
from ..records.actuation import Actuation, Unaccounted
from ..records.record import Record
from .actuations import KEPT, latest
from .journal import Journal
from .soundness import require_sound


@dataclass(frozen=True)
class Sought:
    """A reject to be looked for."""

    actuation: Actuation
    record: Record | None
    """None once retention has removed it."""

    def __str__(self) -> str:
        one, record = self.actuation, self.record
        part = f"run {one.run} {one.camera} {one.sequence} at {one.actuator}"
        if record is None:
            return part
        when = datetime.fromtimestamp(record.captured, timezone.utc).isoformat(" ", "seconds")
        return f"{part}, {f'part {record.part}, ' if record.part else ''}captured {when}"


def acknowledge(folder: Path, actor: str) -> tuple[Unaccounted | None, list[Sought]]:
    """Notes in the journal and its audit that ``actor`` has looked for them; the line may run or not.

    While none runs, what the last one left open is among them: nothing can become known of it any more.

    Returns:
        what was acknowledged, None if there was nothing; and each of them, oldest first.

    Raises:
        DataError: there is no journal, or its file is damaged.
        OutputError: it cannot be written.
    """
    require_sound(folder)
    try:
        journal = Journal(folder, hold=True)
    except OutputError:
        journal = Journal(folder)  # a line runs: what is open is its own
    try:
        if journal.held:
            journal.give_up()
        seen = journal.unaccounted()
        if seen is None:
            return None, []
        with journal.reading() as connection:
            found = latest(connection, KEPT, 1_000_000)[::-1]
        return journal.acknowledge_unknown(seen.last, actor), [Sought(one, _record(journal, one)) for one in found]
    except sqlite3.Error as error:
        raise OutputError(
            "nothing was acknowledged", f"the journal in {folder} cannot be written: {error}", "free or repair its disk"
        ) from error
    finally:
        journal.close()


def _record(journal: Journal, of: Actuation) -> Record | None:
    found = journal.select("run = ? AND camera = ? AND sequence = ?", (of.run, of.camera, of.sequence))
    return found[0].record if found else None
