"""Files from outside: regular ones only, and none larger than its reader can use.

A pipe would wait for ever, a device never ends, and a folder is read by nobody: each is refused before it is read.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

KIB, MIB, GIB = 2**10, 2**20, 2**30
MOST_TEXT = 64 * MIB
"""Of settings, tables and descriptions."""
MOST_SECRET = 64 * KIB
"""Of a token, a password, a certificate with its chain."""
MOST_CERTIFICATES = 16 * MIB
"""Of a bundle of certificate authorities; what systems trust has a quarter of one."""
MOST_CACHE = 512 * MIB
"""Of what a compiler keeps between two starts."""
MOST_HASHED = 64 * GIB
"""Of a file that is only hashed, block by block."""
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def real_path(path: Path) -> Path:
    """``path`` without links, absolute. Where links lead in a circle it ends there: ``Path.resolve`` raises at it."""
    return Path(os.path.realpath(path))


def readable_size(size: int) -> str:
    """A number of bytes in words."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"


@contextmanager
def opened(path: Path, most: int) -> Iterator[tuple[BinaryIO, int]]:
    """Opens a regular file of up to ``most`` bytes for reading; yields it and its size.

    Raises:
        OSError: it cannot be opened, is no regular file, or is larger.
    """
    name = os.fspath(path)
    if "\0" in name:
        raise OSError(errno.EINVAL, "a file name holds no zero character", name)
    # Not blocking: opening a pipe that nobody writes to would wait. Of a regular file the flag changes nothing.
    descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            kind = next((kind for is_it, kind in _KINDS if is_it(found.st_mode)), "something else")
            raise OSError(errno.EINVAL, f"it is no regular file but {kind}", name)
        if found.st_size > most:
            raise OSError(
                errno.EFBIG,
                f"it has {readable_size(found.st_size)}, and such a file may have {readable_size(most)}",
                name,
            )
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            yield file, found.st_size
    finally:
        os.close(descriptor)


def read_bytes(path: Path, most: int = MOST_TEXT) -> bytes:
    """The content of a regular file of up to ``most`` bytes.

    Raises:
        OSError: it cannot be read, is no regular file, or is larger.
    """
    with opened(path, most) as (file, size):
        content = file.read(size + 1)
        while more := file.read(MIB):  # it grows while it is read; what /proc shows has no size at all
            content += more
            if len(content) > most:
                why = f"such a file may have {readable_size(most)}, and this one grows"
                raise OSError(errno.EFBIG, why, os.fspath(path))
    return content


def read_text(path: Path, most: int = MOST_TEXT) -> str:
    """The content of a UTF-8 file, with or without a byte order mark; line ends become ``\\n``.

    Raises:
        OSError: as `read_bytes`.
        ValueError: it is no UTF-8.
    """
    return text_of(read_bytes(path, most)).replace("\r\n", "\n").replace("\r", "\n")


def text_of(content: bytes) -> str:
    """UTF-8 without its byte order mark.

    Raises:
        ValueError: it is none.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no UTF-8: byte {error.start} is 0x{content[error.start]:02x}") from error


def require_regular(path: Path, most: int) -> None:
    """For a library that opens the file itself: refuses what `read_bytes` would.

    Raises:
        OSError: it cannot be opened, is no regular file, or is larger than ``most`` bytes.
    """
    with opened(path, most):
        pass


def reason(error: Exception) -> str:
    """Why a file was refused, without the name that an ``OSError`` repeats, in one line."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return text.split("\n")[0]
