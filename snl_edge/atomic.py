"""Writing a file whole or not at all: under a temporary name first, then renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import OutputError


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``target``; on a clean exit it takes the place of ``target``.

    The parent folder is made if needed. When the body raises, the temporary file is removed and an
    earlier ``target`` stays as it was. The data is on disk before the rename, so a power cut leaves
    either the old file or the new one.

    Raises:
        OutputError: the folder or the file cannot be written.
    """
    target = Path(target)
    require_replaceable(target)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=target.suffix)
        os.close(handle)
        temporary = Path(name)
        temporary.chmod(0o666 & ~_umask())
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    except OSError as error:
        raise OutputError(
            f"cannot write {target}", error.strerror or str(error), "choose a folder you may write to, with space left"
        ) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Writes ``text`` as UTF-8 to ``target``, whole or not at all.

    Raises:
        OutputError: the folder or the file cannot be written.
    """
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def require_replaceable(target: Path) -> None:
    """Refuses what a rename would destroy or cannot replace: a device, a pipe, a socket, a folder.

    Raises:
        OutputError: ``target`` is there and is no regular file.
    """
    if target.exists() and not target.is_file():
        raise OutputError(f"cannot write {target}", "it is no regular file", "give the name of a file")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
