"""Whether pictures are still those that an interrupted call judged: a line stands for what the file held then."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..errors import DataError
from ..outside.files import MIB, opened
from ..outside.image_size import MOST_BYTES
from .lines import Line
from .names import text_of


def sha256_of_picture(encoded: bytes) -> str:
    """Of a file's content, in hexadecimal. Its time would not do: copying a picture over another may keep it."""
    return hashlib.sha256(encoded).hexdigest()


def sha256_of_file(path: Path) -> str | None:
    """As `sha256_of_picture`, block by block; None where it is no regular file, cannot be read or is too large."""
    digest = hashlib.sha256()
    try:
        with opened(path, MOST_BYTES) as (file, _):
            while block := file.read(MIB):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()


def require_unchanged(lines: Sequence[Line], paths: Sequence[Path], folder: Path) -> None:
    """Refuses to go on after ``lines``, those of the first of ``paths``, where a file holds something else by now.

    What could not be read then must not be readable now: it would get a verdict.

    Raises:
        DataError: names the first that was changed.
    """
    judged = paths[: len(lines)]
    with ThreadPoolExecutor() as threads:
        for line, path, now in zip(lines, judged, threads.map(sha256_of_file, judged), strict=True):
            if line["path"] != text_of(path) or line.get("sha256") != now:
                threads.shutdown(wait=False, cancel_futures=True)
                raise DataError(
                    f"cannot go on after what {text_of(folder)} holds",
                    f"{text_of(path)} was changed since it was judged",
                    "judge again with another --out",
                )
