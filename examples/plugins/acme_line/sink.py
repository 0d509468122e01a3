"""A receiver of one's own for verdicts: here a file of tab-separated lines, yours would speak to a plant system.

The line keeps every verdict in its journal, and calls again what could not be delivered; this only delivers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import FileIO
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from snl_edge.plugins import DeliveryError, Entry, SinkPlugin, encode_message


class AcmeSinkSettings(BaseModel):
    """What stands under ``settings`` of the sink."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Path


class AcmeTransport:
    """Called by one thread, one call at a time."""

    def __init__(self, settings: AcmeSinkSettings, timeout_s: float) -> None:
        self._path = settings.file
        self._timeout_s = timeout_s  # a connection would be given up after it
        self._file: FileIO | None = None

    def open(self) -> None:
        """Connects, or raises DeliveryError: then it is tried again later."""
        try:
            self._file = FileIO(self._path, "a")
        except OSError as error:
            raise DeliveryError(f"cannot write {self._path}: {error.strerror}") from error

    def deliver(self, entries: Sequence[Entry]) -> int:
        """How many, from the first, have arrived; the same message may come twice, and has the same id then."""
        assert self._file is not None
        for entry in entries:
            told = json.loads(encode_message(entry))  # the JSON that every sink sends: docs/sinks.md
            line = "\t".join(str(told[name]) for name in ("message_id", "camera", "sequence", "verdict", "score"))
            self._file.write(f"{line}\n".encode())
        return len(entries)

    def close(self) -> None:
        """Disconnects; also after a failed open, and a second time."""
        if self._file is not None:
            self._file.close()
            self._file = None


plugin = SinkPlugin(AcmeSinkSettings, AcmeTransport)
