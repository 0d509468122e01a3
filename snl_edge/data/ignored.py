"""Files beside the images that are not read: somebody recorded them, and would believe that they count."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from snl_edge.counted import counted
from snl_edge.image import IMAGE_SUFFIXES

from .findings import Finding
from .folders import name_some

NO_PICTURES = frozenset({".txt", ".md", ".rst", ".log", ".html", ".htm", ".pdf", ".doc", ".docx", ".odt"}) | frozenset(
    {".json", ".jsonl", ".csv", ".tsv", ".xml", ".yaml", ".yml", ".ini", ".cfg", ".toml", ".xls", ".xlsx", ".ods"}
    | {".db", ".sqlite", ".py", ".sh", ".bat", ".url", ".lnk", ".md5", ".sha1", ".sha256", ".tmp", ".bak"}
)
"""Notes, tables and the like, which nobody takes for pictures."""
PACKED = frozenset({".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".xz", ".bz2"})
MOVING = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".wmv"})


def ignored_files(images: Iterable[Path]) -> list[Finding]:
    """What lies in the folders of ``images`` and below them and is of a kind that is not read, counted by suffix."""
    found = sorted(path for path in _files_beside(images) if _may_be_pictures(path))
    if not found:
        return []
    counts = Counter(path.suffix.lower() for path in found)
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(counts.items()))
    fixes = [
        word
        for word, wanted in (
            ("unpack the archives", any(suffix in PACKED for suffix in counts)),
            ("take single pictures from the videos", any(suffix in MOVING for suffix in counts)),
            ("convert the pictures among them to PNG", any(suffix not in PACKED | MOVING for suffix in counts)),
        )
        if wanted
    ]
    folders = name_some(list(dict.fromkeys(path.parent for path in found)))
    text = f"{counted(len(found), 'file')} not read ({kinds}) in {folders}: {'; '.join(fixes)}"
    return [Finding("ignored_files", text, tuple(found))]


def _may_be_pictures(path: Path) -> bool:
    suffix = path.suffix.lower()
    return bool(suffix) and suffix not in IMAGE_SUFFIXES and suffix not in NO_PICTURES


def _files_beside(images: Iterable[Path]) -> Iterator[Path]:
    """Every file in the images' folders and below, none twice; hidden ones left out."""
    seen: set[str] = set()
    for folder in sorted({path.parent for path in images}):
        for place, below, files in os.walk(folder):
            if place in seen:
                below.clear()
                continue
            seen.add(place)
            below[:] = [name for name in below if not name.startswith(".")]
            yield from (Path(place, name) for name in files if not name.startswith("."))
