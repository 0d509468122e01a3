"""Counts every verdict in several ways, none of which may cost one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from .control import Check
from .part import Part
from .record import Record

_log = logging.getLogger(__name__)


class Counting:
    """Hands each verdict to all counters. A counter that fails costs neither the verdict nor the other counters.

    Any thread may call any method.

    Args:
        counters: by what they count, as the health page calls it.
    """

    def __init__(self, counters: Mapping[str, Callable[[Part, Record], None]]) -> None:
        self._counters = counters
        self._problems: dict[str, str] = {}

    def take(self, part: Part, record: Record) -> None:
        """Counts a verdict."""
        for name, count in self._counters.items():
            try:
                count(part, record)
            except Exception as error:
                if name not in self._problems:
                    _log.exception("counting %s", name)
                self._problems[name] = f"{type(error).__name__}: {error}"

    def checks(self) -> list[Check]:
        """A line on the health page for each counter that has failed: what it shows is wrong from then on."""
        return [
            Check(f"counting {name}", "failed", f"{problem}: its figures are wrong; restart the service")
            for name, problem in dict(self._problems).items()
        ]
