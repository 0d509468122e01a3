"""JSON Lines file: one message a line, flushed to disk before it counts as delivered, rotated by size."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Literal

from pydantic import Field

from ...records.record import Entry
from .message import encode
from .sink_settings import SinkSettings
from .transport import DeliveryError

OPEN = "verdicts.jsonl"
"""The file that is being written. Full ones are ``verdicts-<id of the last record>.jsonl`` and never change again."""


class JsonLinesSink(SinkSettings):
    """Writes verdicts into files of a folder, for a plant that fetches files."""

    type: Literal["jsonlines"]
    folder: Path
    """Where the files lie."""
    max_mb: float = Field(default=64.0, gt=0)
    """A file that has reached this size is closed and renamed."""
    keep: int = Field(default=16, ge=1)
    """So many full files stay, the newest; whoever fetches them may delete them."""


class JsonLinesTransport:
    """Writes to a local folder."""

    def __init__(self, settings: JsonLinesSink) -> None:
        self._settings = settings
        self._file: BinaryIO | None = None

    def open(self) -> None:
        """Opens the file; half a line, which a crash has left at its end, is cut off."""
        try:
            self._settings.folder.mkdir(parents=True, exist_ok=True)
            self._file = _open_whole(self._settings.folder / OPEN)
        except OSError as error:
            raise self._error(error) from error

    def deliver(self, entries: Sequence[Entry]) -> int:
        """Writes and flushes to disk."""
        if not entries:
            return 0
        assert self._file is not None
        try:
            content = b"".join(encode(entry) + b"\n" for entry in entries)
            while content:  # a disk that becomes full takes a part and fails at the next one
                content = content[self._file.write(content) :]
            os.fsync(self._file.fileno())
            if self._file.tell() >= self._settings.max_mb * 1e6:
                self._rotate(entries[-1].id)
        except OSError as error:
            raise self._error(error) from error
        return len(entries)

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            file, self._file = self._file, None
            file.close()

    def _rotate(self, last: int) -> None:
        folder = self._settings.folder
        self.close()
        (folder / OPEN).rename(folder / f"verdicts-{last:012d}.jsonl")
        for old in sorted(folder.glob("verdicts-*.jsonl"))[: -self._settings.keep]:
            old.unlink(missing_ok=True)
        self._file = _open_whole(folder / OPEN)

    def _error(self, error: OSError) -> DeliveryError:
        return DeliveryError(f"cannot write in {self._settings.folder}: {error.strerror or error}")


def _open_whole(path: Path) -> BinaryIO:
    """Opens for appending after the last whole line. Unbuffered, so that `close` has nothing left to write."""
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0)
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - 65536)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    file.truncate(end)
    file.seek(end)
    return file
