"""What `infer` is to judge: files as given, pictures below folders, matches of globs; and what is left out of them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..counted import counted
from ..errors import DataError
from ..image import IMAGE_SUFFIXES
from ..image_files import is_kept_heatmap
from ..outside.shown import shown
from .marks import is_overlay


@dataclass(frozen=True)
class Found:
    """Paths to judge, in order and none twice, and what looks like a picture of a part and is none."""

    paths: tuple[Path, ...]
    heatmaps: tuple[Path, ...] = ()
    """That a line keeps beside its pictures."""
    overlays: tuple[Path, ...] = ()
    """That an earlier call wrote."""
    hidden: tuple[Path, ...] = ()
    """In a folder that was searched: the name, or that of a folder on the way, begins with a dot."""
    linked: tuple[Path, ...] = ()
    """Links to folders in a folder that was searched: not followed."""
    closed: tuple[Path, ...] = ()
    """Folders that could not be read."""

    def left_out(self) -> Iterator[str]:
        """What was left out, a line each."""
        kinds = (
            (self.heatmaps, "heatmap", "that a line keeps beside its pictures"),
            (self.overlays, "overlay", "that infer wrote"),
            (self.hidden, "hidden file", "(to judge one, give its name)"),
            (self.linked, "link", "to a folder (to search one, give its name)"),
        )
        for paths, noun, what in kinds:
            if paths:
                yield f"left out: {counted(len(paths), noun)} {what}"
        for path in self.closed:
            yield f"left out: all of {shown(path)}, which cannot be read"


def find_pictures(arguments: Sequence[str]) -> Found:
    """What ``arguments`` name. A file that is given is taken whatever its name; of a folder only pictures are.

    What lies in a folder under the name of a picture and is no regular file is among the paths: to be told as an error.

    Raises:
        DataError: an argument names nothing, or nothing is left to judge.
    """
    found: dict[Path, None] = {}
    hidden: dict[Path, None] = {}
    linked: dict[Path, None] = {}
    closed: dict[Path, None] = {}
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            matches = sorted(_below(path, hidden, linked, closed))
            reason = "the folder holds no images"
        elif os.path.lexists(path):
            matches, reason = [path], ""
        else:
            matches = sorted(Path(match) for match in glob.glob(argument, recursive=True) if not Path(match).is_dir())  # noqa: PTH207
            reason = "there is no such file, folder or match"
        if not matches:
            if path in closed:
                reason = "the folder cannot be read"
            raise DataError(f"nothing to inspect in {shown(argument)}", reason, "check the path; quote globs")
        found |= dict.fromkeys(matches)
    heatmaps = {path: None for path in found if is_kept_heatmap(path)}
    overlays = {path: None for path in found if path not in heatmaps and is_overlay(path)}
    paths = tuple(path for path in found if path not in heatmaps and path not in overlays)
    if not paths:
        kind = "heatmaps" if heatmaps else "overlays"
        raise DataError(
            f"nothing to inspect: {shown(next(iter(found)))} and all others are {kind}",
            "a line keeps them beside its pictures" if heatmaps else "an earlier call of infer wrote them",
            "give the pictures",
        )
    left = (tuple(path for path in kind if path not in found) for kind in (hidden, linked, closed))
    return Found(paths, tuple(heatmaps), tuple(overlays), *left)


def _below(
    folder: Path, hidden: dict[Path, None], linked: dict[Path, None], closed: dict[Path, None]
) -> Iterator[Path]:
    def note(error: OSError) -> None:
        closed[Path(error.filename)] = None

    for where, folders, files in os.walk(folder, onerror=note):
        here = Path(where)
        under_cover = any(part.startswith(".") for part in here.relative_to(folder).parts)
        linked |= dict.fromkeys(_links(here, folders))
        for name in files:
            path = here / name
            if path.suffix.lower() in IMAGE_SUFFIXES:
                if under_cover or name.startswith("."):
                    hidden[path] = None
                else:
                    yield path


def _links(here: Path, folders: Iterable[str]) -> Iterator[Path]:
    return (here / name for name in folders if (here / name).is_symlink())
