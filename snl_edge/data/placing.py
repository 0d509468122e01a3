"""What the folders between a product and its images say of them: split, label, type of defect."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from snl_edge.errors import DataError

from .labels import LABELS, SPLITS, Role, roles_of, speaks_of_defects, words_of

ASK = (
    "sort the images into <product>/good and <product>/bad, or list them in a table (docs/data.md), and move out what "
    "is neither; or, if each folder is a product and all its parts are good, say so with --layout folder"
)


@dataclass(frozen=True)
class Place:
    """What is said of the images in one folder; ``split`` and ``label`` are None where nothing is."""

    split: Role | None = None
    label: Role | None = None
    defect: str = ""
    """The type of defect, as the folder calls it."""
    nested: str = ""
    """The first folder below one of good images that says nothing."""
    other: Role | None = None
    """``MASKS`` or ``DEPTH`` where these are no pictures of parts."""


def place(path: Path, parts: tuple[str, ...]) -> Place:
    """Reads the names ``parts`` that lead from a product's folder down to the folder ``path`` of images.

    A folder that says nothing is a type of defect below a defective one, and directly below ``test`` as in MVTec AD;
    below good images it only groups them.

    Raises:
        DataError: the names contradict each other or leave open whether the images are good.
    """
    named = [(name, roles_of(name)) for name in parts]
    splits = {role for _, roles in named for role in roles & SPLITS}
    split = next(iter(splits)) if len(splits) == 1 else None
    for other in (Role.MASKS, Role.DEPTH):
        if any(other in roles for _, roles in named):
            return Place(split, other=other)
    if len(splits) > 1:
        raise DataError(
            f"{path} is said to be {' and '.join(sorted(s.value for s in splits))}", fix="rename its folders"
        )
    label: Role | None = None
    defect = nested = ""
    typed = False  # a folder that is no label has said which type of defect
    for name, roles in named:
        told = roles & LABELS
        if len(told | ({label} if label else set())) > 1:
            raise DataError(
                f"{path} is said to be good and defective", fix="rename its folders, or list the images in a table"
            )
        if told:
            (label,) = told
            defect = defect or (name if label is Role.DEFECT else "")
        elif roles:
            continue
        elif label is None and split in (Role.TEST, Role.VALIDATION):
            label, defect, typed = Role.DEFECT, name, True
        elif label is None:
            raise DataError(
                f"nobody says whether the images in {path} are good",
                "folders beside it are named by label (good, bad, train, test), so it may be a product or a defect",
                ASK,
            )
        elif label is Role.GOOD and speaks_of_defects(name):
            raise DataError(
                f"{path} lies below good images, and its name speaks of a defect",
                fix="move it out if its parts are defective, else rename it",
            )
        elif label is Role.GOOD:
            nested = nested or name
        elif not typed and words_of(name):  # a date or a number names no type
            defect, typed = name, True
    return Place(split, label, defect, nested)
