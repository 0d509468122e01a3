"""What reading a layout left out or took for granted, gathered over all products and said in a line each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from snl_edge.counted import counted

from .findings import Finding
from .folders import name_some

PLAIN = frozenset({"product_name", "validation_trains", "validation_tests", "depth"})
"""Kinds that only say how a data set was read; all others are doubts."""


class _Count(int):
    def __format__(self, words: str) -> str:
        one, _, many = words.partition("|")
        return (one if self == 1 else many) if many else counted(int(self), words)


@dataclass
class Notes:
    """Collects images, or names of folders and products, under the kind of what is to be said of them."""

    _images: dict[str, list[Path]] = field(default_factory=dict)
    _names: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, images: Iterable[Path]) -> None:
        """Adds ``images`` to what is said under ``kind``."""
        self._images.setdefault(kind, []).extend(images)

    def name(self, kind: str, *names: object) -> None:
        """Adds folders, products or reasons to what is said under ``kind``."""
        self._names.setdefault(kind, []).extend(map(str, names))

    def findings(self, texts: Mapping[str, str]) -> tuple[Finding, ...]:
        """A finding for each kind in ``texts`` that something was added to.

        A text may use ``{count:image}`` (``1 image``, ``2 images``), ``{count:counts|count}`` (what goes with one, and
        with several), ``{files}`` and ``{folders}`` of the images, and ``{names}``.
        """
        found: list[Finding] = []
        for kind, text in texts.items():
            images, names = self._images.get(kind, []), self._names.get(kind, [])
            if images or names:
                folders = list(dict.fromkeys(str(path.parent) for path in images))
                count = _Count(len(images))
                told = {"files": name_some(images), "folders": name_some(folders), "names": name_some(names)}
                words = text.format(count=count, **told)
                found.append(Finding(kind, words, tuple(images), kind not in PLAIN))
        return tuple(found)
