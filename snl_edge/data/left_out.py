"""What lies among a data set's images and was left out of them, or is no image: somebody may believe that it counts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from snl_edge.counted import counted
from snl_edge.image import IMAGE_SUFFIXES

from .findings import Finding
from .folders import name_some
from .tree import Tree


def left_out(tree: Tree) -> tuple[Finding, ...]:
    """Heatmaps of a line, hidden images with links that are not followed, and folders named as images, each in one.

    A hidden file is left out as everywhere; behind a link that leads nowhere there were perhaps images.
    """
    found: list[Finding] = []
    if heatmaps := [path for folder in tree.folders for path in folder.listing.heatmaps]:
        kept = "that a line kept beside its pictures"
        text = f"{counted(len(heatmaps), 'heatmap')} {kept}, no pictures of parts, left out: {name_some(heatmaps)}"
        found.append(Finding("heatmaps", text, tuple(heatmaps), doubtful=False))
    dangling = [path for folder in tree.folders for path in folder.listing.dangling]
    hidden = [path for folder in tree.folders for path in (*folder.listing.hidden, *_in_hidden_folders(folder.path))]
    kinds = (
        (dangling, "link that leads nowhere", "links that lead nowhere"),
        (hidden, "hidden image", "hidden images"),
        (tree.circular, "link back to a folder above", "links back to a folder above"),
    )
    words = [f"{len(paths)} {one if len(paths) == 1 else many}" for paths, one, many in kinds if paths]
    if words:
        paths = (*dangling, *hidden, *tree.circular)
        found.append(Finding("left_out", f"left out: {', '.join(words)}: {name_some(paths)}", paths, bool(dangling)))
    if folders := [folder.path for folder in tree.folders[1:] if folder.path.suffix.lower() in IMAGE_SUFFIXES]:
        text = f"{counted(len(folders), 'folder')} named as an image, and no image: {name_some(folders)}"
        found.append(Finding("folders_as_images", text, tuple(folders)))
    return tuple(found)


def _in_hidden_folders(folder: Path) -> Iterator[Path]:
    """Images in the hidden folders directly in ``folder``, and below those."""
    for below in sorted(path for path in folder.iterdir() if path.name.startswith(".") and path.is_dir()):
        for place, _, files in os.walk(below):
            yield from (Path(place, name) for name in sorted(files) if Path(name).suffix.lower() in IMAGE_SUFFIXES)
