"""What the page is told as it happens: server-sent events, gathered once for all viewers.

``status`` comes every second and is the heartbeat too: a page that misses it for a few seconds says so and shows
nothing as live. ``part`` comes with each new live view. The format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.concurrency import run_in_threadpool

from ..network.connections import caller_of
from ..stream.control.interface import Line
from ..stream.journal.journal import Journal
from .live import LiveFeed
from .queries import latest
from .wire import brief_json, entry_json, status_json

MOST_VIEWERS = 16
MOST_OF_ONE = 12
"""Of them from one caller, so that others find a place."""
_RECENT = 60
_STATUS_SECONDS = 1.0
_LOOK_SECONDS = 0.1


class EventFeed:
    """Streams of events for the pages that are open.

    Args:
        line: what to tell of.
        journal: where its last verdicts are.
        live: its live views.
        closing: set when the server is to stop; streams end then.
    """

    def __init__(self, line: Line, journal: Journal, live: LiveFeed, closing: threading.Event) -> None:
        self._line, self._journal, self._live, self._closing = line, journal, live, closing
        self._lock = threading.Lock()
        self._status: tuple[float, dict[str, Any]] | None = None
        self._viewers: Counter[str] = Counter()

    @contextmanager
    def place(self, address: str) -> Iterator[bool]:
        """A viewer's place for as long as the context lasts; False if there is none left."""
        caller = caller_of(address)
        there = self._viewers.total() < MOST_VIEWERS and self._viewers[caller] < MOST_OF_ONE
        self._viewers[caller] += there
        try:
            yield there
        finally:
            self._viewers[caller] -= there
            self._viewers += Counter()  # forgets callers of whom there is none

    async def stream(self) -> AsyncIterator[str]:
        """Events for one page, until it goes away or the server stops."""
        told = -1.0
        shown: dict[str, int] = {}
        while not self._closing.is_set():
            taken, status = await run_in_threadpool(self._current_status)
            if taken != told:
                told = taken
                yield _event("status", status)
            for camera in status["cameras"]:
                entry = await run_in_threadpool(self._live.current, camera)
                if entry is not None and shown.get(camera) != entry.id:
                    shown[camera] = entry.id
                    yield _event(
                        "part",
                        {
                            **entry_json(entry),
                            "has_picture": self._live.has_picture(camera, entry.id),
                            "age": max(0.0, time.time() - entry.record.decided),
                        },
                    )
            await asyncio.sleep(_LOOK_SECONDS)

    def _current_status(self) -> tuple[float, dict[str, Any]]:
        """The state, at most a second old, and when it was taken."""
        with self._lock:
            now = time.monotonic()
            if self._status is None or now - self._status[0] >= _STATUS_SECONDS:
                recent = [brief_json(entry) for entry in latest(self._journal, _RECENT)]
                self._status = (now, {**status_json(self._line.status()), "recent": recent, "time": time.time()})
            return self._status


def _event(kind: str, content: dict[str, Any]) -> str:
    return f"event: {kind}\ndata: {json.dumps(content, allow_nan=False)}\n\n"
