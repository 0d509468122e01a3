"""Images that a table names, in a layout of its own or a published one: they must be there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from snl_edge.errors import DataError

from .findings import counted
from .folders import name_some
from .samples import Sample


def require_listed(samples: Sequence[Sample], table: Path, fix: str) -> None:
    """Refuses a table whose images are not all there; what is there and no file is refused by who reads it.

    Raises:
        DataError: counts the missing ones and names the first few; ``fix`` is what to do.
    """
    missing = [sample.path for sample in samples if not sample.path.exists()]
    if missing:
        are = "is" if len(missing) == 1 else "are"
        raise DataError(f"{counted(len(missing), 'image')} named by {table} {are} missing", name_some(missing), fix)
