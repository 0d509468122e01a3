"""Listing folders in the way all layouts need it: sorted, without hidden entries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

NAMED = 5  # an error names so many files and counts the others: it stays one readable line


# Folders that storage and archives leave among the user's own; thumbnails in them must not count as parts.
SYSTEM = frozenset(
    {"@eaDir", "#recycle", "#snapshot", "__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
)


def subfolders(folder: Path) -> list[Path]:
    """The folders directly in ``folder``, sorted, hidden ones and a system's own left out; empty if it is none."""
    if not folder.is_dir():
        return []
    own = (path for path in folder.iterdir() if path.is_dir() and path.name not in SYSTEM)
    return sorted(path for path in own if not path.name.startswith("."))


def name_some(items: Sequence[object]) -> str:
    """The first few of ``items``, and how many more there are."""
    more = f" and {len(items) - NAMED} more" if len(items) > NAMED else ""
    return ", ".join(map(str, items[:NAMED])) + more
