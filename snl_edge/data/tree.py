"""The folders below a data set's root, each with its images and its annotations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from snl_edge.image_files import Listing, list_folder
from snl_edge.outside.files import real_path

from .folders import subfolders


@dataclass(frozen=True)
class Folder:
    """One folder: where it is, and what lies directly in it."""

    path: Path
    parts: tuple[str, ...]
    """Names from the root down to it; empty for the root itself."""
    listing: Listing
    annotations: tuple[Path, ...]
    """JSON files, which may hold outlines of defects."""

    @property
    def images(self) -> tuple[Path, ...]:
        """The pictures that count."""
        return self.listing.images


@dataclass(frozen=True)
class Tree:
    """A root and every folder below it, sorted by path, hidden ones left out."""

    root: Path
    folders: tuple[Folder, ...]
    circular: tuple[Path, ...]
    """Links to a folder above them, which are not followed."""


def read_tree(root: Path) -> Tree:
    """Lists ``root`` and all below it; links to folders are followed, but never back up."""
    circular: list[Path] = []
    return Tree(root, tuple(_walk(root, (), frozenset(), circular)), tuple(circular))


def _walk(path: Path, parts: tuple[str, ...], above: frozenset[Path], circular: list[Path]) -> Iterator[Folder]:
    real = real_path(path)
    if real in above:
        circular.append(path)
        return
    annotations = sorted(p for p in path.glob("*.json") if p.is_file() and not p.name.startswith("."))
    yield Folder(path, parts, list_folder(path), tuple(annotations))
    for folder in subfolders(path):
        yield from _walk(folder, (*parts, folder.name), above | {real}, circular)
