"""What a command answers on stdout; its messages on the way go to stderr (:mod:`.progress`)."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import suppress

from .errors import OutputError
from .outside.shown import shown


def say(line: object = "") -> None:
    """Prints one line; what is not visible in a name is written out (:func:`.outside.shown.shown`)."""
    sys.stdout.write(shown(line) + "\n")


def say_json(value: object, *, indent: int | None = 2) -> None:
    """Prints ``value`` as JSON in ASCII, in one line where ``indent`` is None."""
    sys.stdout.write(json.dumps(value, indent=indent) + "\n")


def complain(text: str) -> None:
    """Prints why a command ends to stderr, which may not be read either: the exit code says it, too."""
    with suppress(OSError):
        sys.stderr.write(f"snl-edge: {shown(text)}\n")
        sys.stderr.flush()


class NobodyReadsError(Exception):
    """Whoever read the answer, ``head`` perhaps, has enough of it. No ``OSError``: typer ends those in its own way."""


class _Raw(io.FileIO):
    """A file descriptor that says in our words why it takes no more."""

    def write(self, data: object, /) -> int:
        try:
            return super().write(data)  # pyright: ignore[reportArgumentType,reportReturnType]
        except BrokenPipeError as error:
            raise NobodyReadsError from error
        except OSError as error:
            raise OutputError("cannot write the answer to standard output", error.strerror or str(error)) from error


def open_stdout() -> None:
    """Makes ``sys.stdout`` one whose errors are ours; for the command line's entry alone.

    Raises:
        OutputError: it is closed, and whatever file is opened next would get the answer.
    """
    if sys.stdout is None:
        _nowhere(1)
        raise OutputError("standard output is closed", fix="let it lead somewhere, as in > /dev/null")
    if sys.stderr is None:
        _nowhere(2)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.fileno() == 1:
        sys.stdout.flush()
        terminal = sys.stdout.isatty()
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(_Raw(1, "w", closefd=False)),
            encoding=sys.stdout.encoding,
            errors="backslashreplace",
            line_buffering=terminal,
        )


def forget_stdout() -> None:
    """Nothing more can be written there: what is still waiting to be is dropped, so that Python's end is silent."""
    _nowhere(1)


def _nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
