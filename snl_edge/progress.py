"""The one look of progress bars and messages; everything goes to stderr, so stdout stays for results."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .outside.shown import shown


class Messages(Console):
    """On stderr; text is shown as it is, brackets and all, and what is not visible in it is written out."""

    def __init__(self) -> None:
        super().__init__(stderr=True, soft_wrap=True, markup=False, emoji=False)

    def print(self, *objects: Any, **options: Any) -> None:
        """As rich's, for lines of text: a name in them may hold anything (:func:`.outside.shown.shown`)."""
        super().print(*(shown(one) if isinstance(one, str) else one for one in objects), **options)


console = Messages()
LOG_SECONDS = 30.0
"""Between two lines where stderr is a file or a service's log, which shows no bar."""


class Report(Protocol):
    """Says how far the work is; may be called from any thread."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """``done`` of ``total``, and what else is worth showing."""


@contextmanager
def progress_bar(label: str) -> Iterator[Report]:
    """Shows a bar on a terminal, and now and then a line elsewhere; yields what moves it."""
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        with Progress(*columns, console=console) as progress:
            task = progress.add_task(shown(label), total=None, note="")
            yield lambda done, total, note="": progress.update(task, completed=done, total=total, note=shown(note))
    else:
        yield _LogLines(label)


class _LogLines:
    def __init__(self, label: str) -> None:
        self._label = label
        self._due = time.monotonic() + LOG_SECONDS

    def __call__(self, done: int, total: int, note: str = "") -> None:
        if done == total or time.monotonic() >= self._due:
            self._due = time.monotonic() + LOG_SECONDS
            console.print(f"{self._label}: {done} of {total} {note}".rstrip())
