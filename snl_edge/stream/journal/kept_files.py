"""Picture files below a journal's folder: which are there, which are still to come, whether their journal is lost."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from ...image import IMAGE_SUFFIXES
from ..records.record import Entry
from .schema import FILE

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


class Awaited:
    """Ids of records whose picture is still being written: on disk and acted upon, but not yet for sinks, which name
    it. Any thread may call any method."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: set[int] = set()
        self._settled = 0

    def expect(self, ids: Collection[int]) -> None:
        """Notes records; to be called before they can be read."""
        with self._lock:
            self._ids.update(ids)

    def settle(self, ids: Collection[int]) -> None:
        """What was to come has come, or never will; to be called once the row says so."""
        with self._lock:
            self._ids.difference_update(ids)
            self._settled += 1

    def clear(self) -> None:
        """Nothing will come any more."""
        with self._lock:
            self._ids.clear()
            self._settled += 1

    def whole(self, read: Callable[[], list[Entry]]) -> list[Entry]:
        """What ``read`` gives, oldest first, up to the first that is awaited."""
        while True:
            with self._lock:
                settled = self._settled
            entries = read()
            with self._lock:
                first = min(self._ids, default=None)
                # A record that was settled meanwhile may have been read as it was before: read again.
                if settled == self._settled:
                    return entries if first is None else [entry for entry in entries if entry.id < first]
