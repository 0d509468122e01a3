"""The folders below a data set's root, each with its images and its annotations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from snl_edge.image import list_images

from .folders import subfolders


@dataclass(frozen=True)
class Folder:
    """One folder: where it is, and what lies directly in it."""

    path: Path
    parts: tuple[str, ...]
    """Names from the root down to it; empty for the root itself."""
    images: tuple[Path, ...]
    annotations: tuple[Path, ...]
    """JSON files, which may hold outlines of defects."""


@dataclass(frozen=True)
class Tree:
    """A root and every folder below it, sorted by path, hidden ones left out."""

    root: Path
    folders: tuple[Folder, ...]


def read_tree(root: Path) -> Tree:
    """Lists ``root`` and all below it; links to folders are followed, but never back up."""
    return Tree(root, tuple(_walk(root, (), frozenset())))


def _walk(path: Path, parts: tuple[str, ...], above: frozenset[Path]) -> Iterator[Folder]:
    real = path.resolve()
    if real in above:
        return  # a link to a folder that holds it
    annotations = sorted(p for p in path.glob("*.json") if p.is_file() and not p.name.startswith("."))
    yield Folder(path, parts, tuple(list_images(path)), tuple(annotations))
    for folder in subfolders(path):
        yield from _walk(folder, (*parts, folder.name), above | {real})
