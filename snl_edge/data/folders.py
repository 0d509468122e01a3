"""Listing folders in the way all layouts need it: sorted, without hidden entries, never silently empty."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from snl_edge.errors import DataError
from snl_edge.image import IMAGE_SUFFIXES, list_images

NAMED = 5  # an error names so many files and counts the others: it stays one readable line


def subfolders(folder: Path) -> list[Path]:
    """The folders directly in ``folder``, sorted by name, hidden ones left out; empty if it is none itself."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def images_in(folder: Path, purpose: str) -> list[Path]:
    """The images directly in ``folder``, sorted by name.

    Raises:
        DataError: the folder is missing or has none; ``purpose`` says what they are needed for.
    """
    images = list_images(folder) if folder.is_dir() else []
    if not images:
        raise DataError(
            f"no {purpose} in {folder}",
            f"no {', '.join(sorted(IMAGE_SUFFIXES))} file there" if folder.is_dir() else "there is no such folder",
            "add images, remove the folder, or choose other products with --products",
        )
    return images


def name_some(items: Sequence[object]) -> str:
    """The first few of ``items``, and how many more there are."""
    more = f" and {len(items) - NAMED} more" if len(items) > NAMED else ""
    return ", ".join(map(str, items[:NAMED])) + more
