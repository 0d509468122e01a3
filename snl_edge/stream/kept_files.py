"""Picture files below a journal's folder, and whether the journal that they belong to is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ..image import IMAGE_SUFFIXES
from .journal_schema import FILE

FOLDER = "pictures"
_OF_RUN = re.compile(r"(\d{6,})-.+-\d{8,}")
"""Run, camera and number, as pictures are named."""


def kept_files(folder: Path) -> Iterator[Path]:
    """Pictures and heatmaps below the journal's ``folder``, of whatever format it was set to when they were written."""
    for path in (folder / FOLDER).rglob("*"):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            yield path


def last_run(folder: Path) -> int:
    """The highest number of a run that left pictures below the journal's ``folder``; 0 if none did."""
    return max((int(named[1]) for path in kept_files(folder) if (named := _OF_RUN.match(path.name))), default=0)


def lost_journal(folder: Path) -> str | None:
    """What is wrong where pictures were kept and no journal knows them; None if nothing is.

    A new journal would count its runs from 1 again, and write its pictures over those of the old one.
    """
    file = folder / FILE
    there = file.is_file()
    if (there and file.stat().st_size) or next(kept_files(folder), None) is None:
        return None
    return f"{FILE} is {'empty' if there else 'missing'} beside the pictures in {folder / FOLDER}"
