"""Finds what marks the defects of an image: mask images by their names, and outlines of annotation tools."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from snl_edge.errors import DataError

from .coco import CocoOutlines, match, read_coco
from .labelme import LabelmeFile
from .labels import LABELS, SPLITS, Role, roles_of
from .mask_sources import MaskFiles, MaskSource
from .tree import Folder

_MARK = re.compile(
    r"^(?P<image>.+?)[ _.-]*[_. -](?:mask|masks|gt|groundtruth|ground_truth|label|seg)(?:[ _.-]?\d+)?$", re.IGNORECASE
)
_SKIPPED = SPLITS | {Role.MASKS, Role.IMAGES, Role.DEPTH}

LOSSY = frozenset({".jpg", ".jpeg", ".webp"})

Key = tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """A mask, and the folder that it was found for."""

    source: MaskSource
    split: Role | None


def image_of(mask: Path) -> str | None:
    """The stem of the image that a file named ``<stem>_mask`` (``_gt``, ``_label``, a number after it) marks."""
    found = _MARK.match(mask.stem)
    return found["image"] if found else None


def part_masks(folder: Folder) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """The images in ``folder``, and the masks among them: ``7_mask.png`` beside ``7.png``, ``7.png`` beside ``7.jpg``.

    A picture saved in two formats is one part as well, so nothing is lost where the second is no mask but a copy.
    """
    stems = {path.stem for path in folder.images}
    lossy = {path.stem for path in folder.images if path.suffix.lower() in LOSSY}
    masks = {
        path
        for path in folder.images
        if image_of(path) in stems or (path.stem in lossy and path.suffix.lower() not in LOSSY)
    }
    return tuple(path for path in folder.images if path not in masks), tuple(sorted(masks))


@dataclass
class MaskIndex:
    """The masks of one product, by the folders that lead to them and the stem of their image.

    Folders that name a split, masks or a mere level (``test``, ``ground_truth``, ``rgb``) do not count, so that
    ``ground_truth/crack/007_mask.png`` marks ``test/crack/007.png``.
    """

    coco: Sequence[Mapping[PurePosixPath, CocoOutlines]] = ()
    _named: dict[tuple[Key, str], list[tuple[Role | None, Path]]] = field(default_factory=dict)
    _alike: dict[tuple[Key, str], list[tuple[Role | None, Path]]] = field(default_factory=dict)
    _outlines: dict[tuple[Key, str], list[tuple[Role | None, Path]]] = field(default_factory=dict)

    def add_masks(self, parts: Key, masks: Iterable[Path], split: Role | None) -> None:
        """Adds mask images: as ``<stem>_mask``, as ``<stem>``, and all in a folder ``<stem>`` (MVTec LOCO AD)."""
        key = _key(parts)
        for path in masks:
            if (stem := image_of(path)) is not None:
                self._named.setdefault((key, stem), []).append((split, path))
            self._alike.setdefault((key, path.stem), []).append((split, path))
            if key:
                self._alike.setdefault((key[:-1], key[-1]), []).append((split, path))

    def add_outlines(self, parts: Key, files: Iterable[Path], split: Role | None) -> None:
        """Adds JSON files named like their image."""
        for path in files:
            self._outlines.setdefault((_key(parts), path.stem), []).append((split, path))

    def find(self, parts: Key, image: Path, split: Role | None) -> MaskSource | None:
        """What marks ``image``, which lies under ``parts``; None if nothing does."""
        for key in _looser(parts):
            for table in (self._named, self._alike):
                # A key is in lower case, and so is the stem that was a folder's name.
                for stem in dict.fromkeys((image.stem, image.stem.casefold())):
                    paths = _of_split(table.get((key, stem), ()), split)
                    if paths:
                        return MaskFiles(tuple(paths))
            outlines = _of_split(self._outlines.get((key, image.stem), ()), split)
            if outlines:
                return LabelmeFile(outlines[0])
        return match(self.coco, image)


def read_annotations(folders: Iterable[Folder]) -> tuple[list[Mapping[PurePosixPath, CocoOutlines]], list[str]]:
    """All outlines in COCO's format among the JSON files of ``folders``, and why files were left out."""
    found: list[Mapping[PurePosixPath, CocoOutlines]] = []
    faults: list[str] = []
    folders = list(folders)
    stems = {path.stem for folder in folders for path in folder.images}
    for folder in folders:
        for path in folder.annotations:
            if path.stem in stems:
                continue  # of one image
            try:
                outlines = read_coco(path)
            except DataError as error:
                faults.append(f"{error.what}: {error.why}" if error.why else error.what)
            else:
                found += [outlines] if outlines else []
    return found, faults


def _of_split(entries: Iterable[tuple[Role | None, Path]], split: Role | None) -> list[Path]:
    return sorted({path for own, path in entries if own is None or own is split})


def _key(parts: Key) -> Key:
    return tuple(name.casefold() for name in parts if not roles_of(name) & _SKIPPED)


def _looser(parts: Key) -> Iterator[Key]:
    """Where masks of an image may lie: under all its folders, without ``bad`` and the like, or all in one folder."""
    key = _key(parts)
    yield from dict.fromkeys((key, tuple(name for name in key if not roles_of(name) & LABELS), ()))
