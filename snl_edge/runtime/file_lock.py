"""A file that several processes read and append to, held by one writer or by readers."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..atomic import still_names

PATIENCE_S = 30.0
"""Whoever holds the file does so for milliseconds; a build that replaces the bundle for as long as links take."""


@contextmanager
def locked(path: Path, flags: int) -> Iterator[int]:
    """Opens ``path`` with the ``flags`` of `os.open` and locks it; yields its number.

    With ``O_RDWR`` nobody else holds it; with ``O_RDONLY`` others may, to read, and nobody writes.

    The file that is locked is the one that ``path`` names: when it was replaced meanwhile, as with the folder that a
    build exchanges, the new one is opened. The lock ends with the process, however that ends.

    Args:
        path: a regular file.
        flags: of `os.open`.

    Raises:
        OSError: it cannot be opened or locked, is no regular file, or another process holds it for too long.
    """
    kind = fcntl.LOCK_EX if flags & os.O_RDWR else fcntl.LOCK_SH
    end = time.monotonic() + PATIENCE_S
    while True:
        # Not to wait for the writer of a pipe that somebody put there.
        file = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise OSError(errno.EINVAL, "it is no regular file", str(path))
            _lock(file, kind, end, path)
            if still_names(path, file):
                yield file
                return
        finally:
            os.close(file)


def _lock(file: int, kind: int, end: float, path: Path) -> None:
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > end:
                raise OSError(
                    errno.EAGAIN, f"another process has been holding it for {PATIENCE_S:.0f} s", str(path)
                ) from error
            time.sleep(0.002)
