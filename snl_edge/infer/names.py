"""Names of files, whatever bytes they have: as JSON and a terminal take them, and as overlays are called after them."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

LONGEST = 200
"""Bytes of an overlay's name, of 255 that file systems take: a temporary name beside it is longer."""


def text_of(path: Path | str) -> str:
    r"""A path as text that is Unicode: bytes that are no UTF-8 become ``\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def bytes_of(path: Path) -> str | None:
    """A path's bytes in hexadecimal where `text_of` does not tell them; None where it does."""
    encoded = os.fsencode(path)
    try:
        encoded.decode("utf-8")
    except UnicodeDecodeError:
        return encoded.hex()
    return None


def overlay_names(paths: Sequence[Path], suffix: str) -> dict[Path, str]:
    """A file name for the overlay of each picture, none of them twice, not even where case does not count.

    The picture's stem, with as many parent folders in front as make it unique; files that differ in nothing but the
    suffix keep theirs. What a file system may not take is replaced or cut, and a digest of the path added.
    """
    names: dict[Path, str] = {}
    undecided, depth = list(paths), 1
    while undecided:
        tails = {path: "_".join(part.strip("/") for part in path.with_suffix("").parts[-depth:]) for path in undecided}
        counts = Counter(_folded(tail) for tail in tails.values())
        for path, tail in tails.items():
            if counts[_folded(tail)] == 1:
                names[path] = tail
            elif depth >= len(path.parts):
                names[path] = tail + path.suffix.replace(".", "_")
        undecided = [path for path in undecided if path not in names]
        depth += 1
    safe = {path: _safe(name) for path, name in names.items()}
    counts = Counter(map(_folded, safe.values()))
    return {
        path: (name if name == names[path] and counts[_folded(name)] == 1 else f"{name}-{_digest(path)}") + suffix
        for path, name in safe.items()
    }


def _folded(name: str) -> str:
    return name.casefold()


def _safe(name: str) -> str:
    kept = "".join(one if one.isprintable() and one not in '/\\:*?"<>|' else "_" for one in name).strip(". ")
    return kept.encode()[:LONGEST].decode("utf-8", "ignore") or "picture"


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
