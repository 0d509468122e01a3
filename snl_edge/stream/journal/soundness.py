"""`snl-edge stream journal`: is the journal whole?"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from ...atomic import require_replaceable
from ...errors import DataError, OutputError
from ...outside.files import real_path
from .actuations import unaccounted
from .gaps import UNRECORDED
from .journal import Journal
from .kept_files import kept_files, lost_journal
from .schema import FILE

_OUTCOMES = """
SELECT run, camera, actuator, outcome, COUNT(*) FROM actuation GROUP BY run, camera, actuator, outcome
UNION ALL
SELECT run, camera, actuator, 'open', COUNT(*) FROM intent GROUP BY run, camera, actuator
"""


@dataclass
class CameraReport:
    """One camera in one run."""

    run: int
    camera: str
    parts: int
    first: int
    last: int
    missing: int
    """Sequence numbers up to the last without a record; those that retention took do not count."""
    declared: int
    """Of these, how many the audit declares as not recorded one by one (fail-safe, the disk refused)."""
    ended: bool
    """Whether the run was stopped in an orderly way; if not, parts on their way at that moment are missing."""
    verdicts: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, dict[str, int]] = field(default_factory=dict)
    """By actuator and outcome: what became of the parts that concerned it; ``open`` are those on their way, or left
    there by a process that died, which the next start or `stream acknowledge` ends as ``unknown``."""

    @property
    def lost(self) -> int:
        """Records that should be there: none of a run that was ended in order."""
        return self.missing - self.declared if self.ended else 0


@dataclass
class JournalReport:
    """What the check found."""

    folder: str
    damage: str | None
    """What is wrong with the file; None if it is sound."""
    cameras: list[CameraReport]
    pictures: int
    """Parts whose picture is there; most of them have a heatmap, too."""
    heatmaps: int
    missing_pictures: int
    """Files that a record names and that are not there."""
    orphans: int
    """Picture files that no record names: written, and then the process was killed."""
    unaccounted: int = 0
    """Rejects of unknown outcome that nobody has acknowledged."""

    @property
    def consistent(self) -> bool:
        """Nothing is lost or damaged."""
        return self.damage is None and not self.missing_pictures and not any(camera.lost for camera in self.cameras)


def check_journal(folder: Path) -> JournalReport:
    """Checks the file, the numbering of every camera in every run, and the pictures.

    Raises:
        DataError: there is no journal, or its list of changes is damaged.
    """
    if lost := lost_journal(folder):
        return JournalReport(str(folder), lost, [], 0, 0, 0, sum(1 for _ in kept_files(folder)))
    require_journal(folder)
    journal = Journal(folder, existing=True)
    with journal.reading() as connection:
        try:
            verdict = connection.execute("PRAGMA quick_check").fetchone()[0]
            ended = dict(connection.execute("SELECT id, ended IS NOT NULL FROM run"))
            rows = connection.execute(
                "SELECT run, camera, COUNT(*), MIN(sequence), MAX(sequence) FROM verdict GROUP BY run, camera"
            ).fetchall()
            kinds = connection.execute(
                "SELECT run, camera, verdict, COUNT(*) FROM verdict GROUP BY run, camera, verdict"
            ).fetchall()
            moved = connection.execute(_OUTCOMES).fetchall()
            lost = unaccounted(connection)
            named = connection.execute("SELECT image, heatmap FROM verdict WHERE image IS NOT NULL").fetchall()
            oldest, trimmed = connection.execute("SELECT MIN(run), MIN(id) > 1 FROM verdict").fetchone()
        except sqlite3.DatabaseError as error:
            return JournalReport(str(folder), str(error), [], 0, 0, 0, 0)
    verdicts: dict[tuple[int, str], dict[str, int]] = defaultdict(dict)
    for run, camera, kind, count in kinds:
        verdicts[run, camera][kind] = count
    outcomes: dict[tuple[int, str], dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for run, camera, actuator, outcome, count in moved:
        outcomes[run, camera][actuator][outcome] = count
    with damage_told(folder):
        declared = _declared(journal)
    cameras = []
    for run, camera, parts, first, last in rows:
        # Retention takes the oldest records; the numbering of the run that it has reached starts with what it left.
        start = first if trimmed and run == oldest else 0
        missing = last + 1 - start - parts
        cameras.append(
            CameraReport(
                run,
                camera,
                parts,
                first,
                last,
                missing,
                declared[run, camera],
                bool(ended[run]),
                verdicts[run, camera],
                dict(outcomes[run, camera]),
            )
        )
    images = {image for image, _ in named}
    heatmaps = {heatmap for _, heatmap in named if heatmap is not None}
    files = images | heatmaps
    present = {path.relative_to(folder).as_posix() for path in kept_files(folder)}
    journal.close()
    return JournalReport(
        str(folder),
        None if verdict == "ok" else verdict,
        cameras,
        len(present & images),
        len(present & heatmaps),
        len(files - present),
        len(present - files),
        lost.rejects if lost else 0,
    )


def _declared(journal: Journal) -> dict[tuple[int, str], int]:
    found: dict[tuple[int, str], int] = defaultdict(int)
    for entry in journal.audits(1_000_000):
        if entry.action == UNRECORDED:
            detail: dict[str, Any] = entry.detail
            found[detail["run"], detail["camera"]] += detail["count"]
    return found


def require_journal(folder: Path) -> None:
    """Refuses a folder that holds none.

    Raises:
        DataError: it does not.
    """
    file = folder / FILE
    if not file.is_file():
        raise DataError(f"{folder} holds no journal", f"{FILE} is missing", "give the folder that journal.folder names")
    if not file.stat().st_size:
        raise DataError(f"{folder} holds no journal", f"{FILE} is empty", "restore it from a backup")


def require_sound(folder: Path) -> None:
    """Refuses a folder whose journal is not to be written to: nothing is put into a damaged file.

    Raises:
        DataError: there is none, or its file is damaged.
    """
    require_journal(folder)
    journal = Journal(folder, existing=True)
    try:
        with damage_told(folder), journal.reading() as connection:
            found = connection.execute("PRAGMA quick_check").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(found)
    finally:
        journal.close()


@contextmanager
def damage_told(folder: Path) -> Iterator[None]:
    """For what reads a journal's records: a page of the file, or a value in it, may be damaged.

    Raises:
        DataError: it cannot be read.
    """
    try:
        yield
    except (sqlite3.Error, JSONDecodeError) as error:
        fix = f"restore a backup, or save what can be read with sqlite3's .recover; `snl-edge stream journal {folder}`"
        fix += " tells how much is whole"
        raise DataError(f"the journal in {folder} cannot be read", str(error), fix) from error


def require_outside(folder: Path, target: Path) -> None:
    """Refuses a file to be written that would lie among the journal's own, or can be no such file.

    Raises:
        OutputError: it would, or something else than a file is there.
    """
    if real_path(target.parent).is_relative_to(real_path(folder)):
        why = f"it would lie in the journal's own folder, {folder}"
        raise OutputError(f"cannot write {target}", why, "choose another folder")
    require_replaceable(target)
