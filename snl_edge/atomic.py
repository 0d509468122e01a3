"""Writing a file or a folder whole or not at all: under a temporary name first, then renamed.

A temporary file or folder is locked for as long as somebody works on it. What a kill left behind is locked by nobody:
the next writer into the same folder finds it by its name and removes it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import OutputError

_MARK = ".snl-edge-"
"""In the name of what is not finished, between the name that it will have and a random part."""
_UNFINISHED = re.compile(rb"\..+\.snl-edge-[0-9a-f]{12}(\.[^.]+)?", re.DOTALL)
_LONGEST_NAME = 255
"""Bytes of a file name on the file systems of Linux."""
_OLD = ".earlier"
_EXCHANGE, _HERE = 2, -100
"""RENAME_EXCHANGE and AT_FDCWD, see renameat2(2)."""
_swept: set[Path] = set()


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
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target.parent)
        with _locked(lambda: _new_file(target), Path.unlink) as (temporary, descriptor):
            yield temporary
            os.fsync(descriptor)
            temporary.replace(target)
    except OSError as error:
        raise _cannot_write(target, error) from error


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Yields an empty folder beside ``target``; on a clean exit it takes the place of ``target``, whatever is there.

    Nobody sees a time without ``target``: both exchange their names in one step. On file systems that cannot do that,
    a kill between the two renames leaves the earlier folder under its temporary name; the next call puts it back.
    When the body raises, the earlier folder stays as it was. Files are to be synced by who writes them.

    Raises:
        OutputError: the place cannot be written.
    """
    target = Path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target.parent)
        with _locked(lambda: _new_folder(target), shutil.rmtree) as (temporary, _):
            new = temporary / target.name
            new.mkdir()
            yield new
            _swap_in(new, target)
    except OSError as error:
        raise _cannot_write(target, error) from error


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yields an empty folder among the system's temporary ones, which is removed afterwards.

    Raises:
        OutputError: it cannot be made.
    """
    place = Path(tempfile.gettempdir()) / "scratch"
    try:
        remove_leftovers(place.parent)
        with _locked(lambda: _new_folder(place), shutil.rmtree) as (temporary, _):
            yield temporary
    except OSError as error:
        raise _cannot_write(place.parent, error) from error


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


def require_writable(target: Path) -> None:
    """Refuses a file or folder that could not be made, before hours of work depend on it; nothing is made for it.

    What only writing shows, as a full disk, is not seen.

    Raises:
        OutputError: there is no such place, or nobody here may write there.
    """
    place = target.absolute()
    while not os.path.lexists(place):
        place = place.parent
    if place == target.absolute() and not place.is_dir():
        require_replaceable(target)
        place = place.parent
    if not place.is_dir():
        raise _cannot_write(target, NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)))
    if not os.access(place, os.W_OK | os.X_OK):
        raise _cannot_write(target, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def remove_leftovers(folder: Path) -> None:
    """Removes what processes that are gone left unfinished in ``folder``; once in the life of this process.

    A folder whose earlier state lies in a leftover, and nowhere else, is put back (`replacing_folder`).
    """
    folder = folder.absolute()
    if folder in _swept:
        return
    _swept.add(folder)
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            if _UNFINISHED.fullmatch(os.fsencode(entry.name)) and not entry.is_symlink():
                with suppress(OSError):
                    _remove_if_left(Path(entry.path))


def _remove_if_left(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where somebody is at work, or no locks are
        if not still_names(path, descriptor):
            return
        if not path.is_dir():
            path.unlink()
            return
        earlier = path / _OLD
        if earlier.is_dir():  # killed in the middle of `_swap_in`: beside it lies the new one, which has its name
            for new in path.iterdir():
                if new != earlier and not (target := path.with_name(new.name)).exists():
                    earlier.rename(target)
        shutil.rmtree(path)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(make: Callable[[], Path], remove: Callable[[Path], None]) -> Iterator[tuple[Path, int]]:
    """Gives what ``make`` made, and a descriptor that holds a lock on it; ``remove`` removes what is left of it."""
    path, descriptor = _made_and_locked(make)
    try:
        yield path, descriptor
    finally:
        with suppress(OSError):
            remove(path)
        os.close(descriptor)


def _made_and_locked(make: Callable[[], Path]) -> tuple[Path, int]:
    while True:
        path = make()
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # as below, but sooner
            continue
        with suppress(OSError):  # a file system without locks: there nobody removes leftovers either
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if still_names(path, descriptor):
            return path, descriptor
        os.close(descriptor)  # somebody took it for a leftover before it was locked


def still_names(path: Path, descriptor: int) -> bool:
    """Whether ``path`` still leads to what the descriptor was opened for: it may be replaced before it is locked."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _new_file(target: Path) -> Path:
    path = _temporary_name(target, target.suffix)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    return path


def _new_folder(target: Path) -> Path:
    path = _temporary_name(target, "")
    path.mkdir()
    return path


def _temporary_name(target: Path, suffix: str) -> Path:
    """A hidden name beside ``target`` that no file has; writers that go by the suffix find it."""
    end = os.fsencode(f"{_MARK}{secrets.token_hex(6)}{suffix}")
    stem = os.fsencode(target.name)[: max(0, _LONGEST_NAME - 1 - len(end))]
    return target.with_name(os.fsdecode(b"." + stem + end))


def _swap_in(new: Path, target: Path) -> None:
    """Puts ``new`` in the place of ``target``, which is left beside where ``new`` was, to be removed."""
    if not target.exists():
        new.rename(target)
    elif not _exchanged(new, target):
        old = new.with_name(_OLD)
        target.rename(old)
        try:
            new.rename(target)
        except OSError:
            old.rename(target)
            raise


def _exchanged(one: Path, other: Path) -> bool:
    """Exchanges two names in one step; False where kernel, C library or file system cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    if renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.EXDEV, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(other))


def _cannot_write(target: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot write {target}", error.strerror or str(error), "choose a folder you may write to, with space left"
    )
