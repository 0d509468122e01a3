"""Kept pictures to a folder elsewhere, a mounted share say: each under the id of its message, once it is whole."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from ....atomic import replacing
from ....errors import OutputError
from ....image_files import HEATMAP
from ...journal.journal import Journal
from ...records.record import Entry
from .message import encode
from .sink_settings import SinkSettings
from .transport import DeliveryError

_log = logging.getLogger(__name__)


class PicturesSink(SinkSettings):
    """Copies kept pictures, heatmaps and their messages to a folder, for a plant that collects them."""

    type: Literal["pictures"]
    folder: Path
    """Where they go, in a folder for each day."""
    mount: Path | None = None
    """Where the share is mounted that ``folder`` lies on. While nothing is mounted there nothing is written: it would
    fill this machine's own disk."""
    batch: int = Field(default=100, ge=1, le=1000)
    """Records looked at at a time; each part's files are delivered by themselves."""


class PicturesTransport:
    """Writes below a folder. A file is there whole or not at all, and the message last: who sees it finds the rest."""

    def __init__(self, settings: PicturesSink, journal: Journal, actor: str) -> None:
        self._settings = settings
        self._journal = journal
        self._actor = actor

    def open(self) -> None:
        """Looks for the folder; makes it."""
        mount = self._settings.mount
        if mount is not None and not os.path.ismount(mount):
            raise DeliveryError(f"nothing is mounted at {mount}: mount the share")
        try:
            self._settings.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DeliveryError(f"cannot write in {self._settings.folder}: {error.strerror or error}") from error

    def deliver(self, entries: Sequence[Entry]) -> int:
        """Copies the files of the first record that has any; those before it have nothing to copy."""
        self.open()  # a share may have been unmounted since
        for number, entry in enumerate(entries):
            if entry.record.image is not None:
                try:
                    self._copy(entry)
                except OutputError as error:
                    raise DeliveryError(f"cannot write in {self._settings.folder}: {error.why}", number) from error
                return number + 1
        return len(entries)

    def close(self) -> None:
        """Holds nothing."""

    def _copy(self, entry: Entry) -> None:
        record = entry.record
        day = self._settings.folder / time.strftime("%Y-%m-%d", time.gmtime(record.captured))
        name = entry.message_id.replace(":", "-")
        for kept, suffix in ((record.image, Path(record.image or "").suffix), (record.heatmap, HEATMAP)):
            if kept is None:
                continue
            try:
                content = (self._journal.folder / kept).read_bytes()
            except FileNotFoundError:  # the message goes all the same, and names the file that is not there
                _log.warning("%s: %s was removed before it could be copied", self._actor, kept)
                self._journal.audit(self._actor, "picture gone", message_id=entry.message_id, picture=kept)
                continue
            except OSError as error:
                raise DeliveryError(f"cannot read {kept} in the journal: {error.strerror or error}") from error
            _write(day / f"{name}{suffix}", content)
        _write(day / f"{name}.json", encode(entry) + b"\n")


def _write(target: Path, content: bytes) -> None:
    with replacing(target) as temporary:
        temporary.write_bytes(content)
