"""What the service logs: warnings and worse on stderr, and of a kind so many a minute, then their number.

What the network makes happen, it can make happen a thousand times a second, and a full disk stops the line as surely.
Of our own messages, which name a camera or a sink, more are let through than of libraries', which bring tracebacks.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..outside.shown import shown

WINDOW_S = 60.0
OURS = 20
"""Messages of one place in our code that are shown in a window."""
OTHERS = 1
"""Of one place in a library."""
_MOST_KINDS = 512
_LOOK_S = 5.0
_PREFIX = __name__.partition(".")[0] + "."


@dataclass
class _Kind:
    """The messages of one place in the code, in one window."""

    begun: float
    shown: int = 0
    more: int = 0
    last: str = ""


class _Shown(logging.Formatter):
    """A message is one line, and a name in it may hold anything: what is not visible is written out."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        return shown(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return "\n".join(shown(line) for line in super().formatException(ei).split("\n"))


class ThrottledHandler(logging.Handler):
    """Writes messages to stderr, of one kind so many in a window; afterwards, how many more there were.

    A kind is the place in the code that logs: what its message is made of may be an attacker's choice.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(logging.WARNING)
        self.setFormatter(_Shown())
        self._clock = clock
        self._kinds: OrderedDict[tuple[str, str, int], _Kind] = OrderedDict()

    def emit(self, record: logging.LogRecord) -> None:
        """Shows a message, or counts it."""
        key = (record.name, record.pathname, record.lineno)
        kind = self._kinds.get(key)
        now = self._clock()
        if kind is not None and now - kind.begun >= WINDOW_S:
            self._conclude(key, now)
            kind = None
        if kind is None:
            kind = self._kinds[key] = _Kind(now)
            if len(self._kinds) > _MOST_KINDS:
                self._conclude(next(iter(self._kinds)), now)
        try:
            if kind.shown < (OURS if record.name.startswith(_PREFIX) else OTHERS):
                kind.shown += 1
                self._write(self.format(record))
            else:
                kind.more += 1
                kind.last = shown(record.getMessage())
        except Exception:
            self.handleError(record)

    def conclude(self, *, all_of_them: bool = False) -> None:
        """Says how many more there were of each kind whose window is over, or of all."""
        with self.lock or threading.Lock():
            now = self._clock()
            for key in [key for key, kind in self._kinds.items() if all_of_them or now - kind.begun >= WINDOW_S]:
                self._conclude(key, now)

    def _conclude(self, key: tuple[str, str, int], now: float) -> None:
        kind = self._kinds.pop(key)
        if kind.more:
            self._write(f"{kind.last}: {kind.more:,} more like it in the last {now - kind.begun:.0f} s")

    def _write(self, text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


@contextmanager
def throttled_log() -> Iterator[None]:
    """Logs through a `ThrottledHandler` for as long as the context lasts."""
    handler = ThrottledHandler()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_S):
            handler.conclude()

    thread = threading.Thread(target=look, name="log", daemon=True)
    logging.getLogger().addHandler(handler)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        logging.getLogger().removeHandler(handler)
        handler.conclude(all_of_them=True)
