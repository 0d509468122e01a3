"""What is to be said of a data set, doubts and plain notes: one line each, and the images that show it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Finding:
    """Something that a person should look at before trusting what was learned from these images, or should know."""

    kind: str
    """A short name of the kind of doubt, such as ``repeats``; the same for every finding of the kind."""
    text: str
    """One line: what is doubtful, where, and what to do."""
    images: tuple[Path, ...] = ()
    """What shows it, the clearest first."""
    doubtful: bool = True
    """Whether to look at it; else it is a note, said once: how the data set was read, of which nothing is doubted."""
