"""Outlines in COCO's format: one JSON file for many images (cocodataset.org, "Data format").

``images`` gives ``id``, ``file_name``, ``height`` and ``width``; ``annotations`` gives ``image_id`` and
``segmentation``: polygons ``[[x1, y1, x2, y2, ...], ...]``, or the lengths of runs down the columns, as numbers or
packed into text. Every annotation counts as a defect, whatever its category.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snl_edge.errors import DataError
from snl_edge.outside.files import reason
from snl_edge.outside.json_text import MOST_ANNOTATED_VALUES, MOST_ANNOTATIONS, read_json

from .outlines import Drawing


@dataclass(frozen=True)
class CocoOutlines:
    """The outlines of one image in an annotation file of many."""

    path: Path
    image_id: int | str
    size: tuple[int, int] = field(compare=False)
    """``(height, width)`` of the annotated image."""
    segments: tuple[Any, ...] = field(compare=False, repr=False)

    def read(self) -> NDArray[np.bool_]:
        """What the outlines mark, ``bool [H, W]``.

        Raises:
            DataError: an outline is none of COCO's, or has no area.
        """
        shape = ""
        try:
            drawing = Drawing(self.size)
            for number, segment in enumerate(self.segments, start=1):
                shape = f"annotation {number}"
                if isinstance(segment, dict):
                    drawing.count(drawing.mask.size)
                    drawing.mask |= _from_runs(segment, self.size)
                    continue
                for part, polygon in enumerate(segment, start=1):
                    shape = f"annotation {number}, polygon {part}"
                    drawing.polygon(np.reshape(np.asarray(polygon, np.float64), (-1, 2)))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
            raise DataError(
                f"{self.path} holds an outline of image {self.image_id} that is none of COCO's",
                f"{shape} of the image: {error}",
                "draw it again or remove it, and export polygons",
            ) from error
        return drawing.mask.astype(bool)


def read_coco(path: Path) -> dict[PurePosixPath, CocoOutlines] | None:
    """The outlines in ``path`` by file name; None if this is a JSON file of another kind.

    Images that are only classified or boxed have no outline and are left out.

    Raises:
        DataError: the file cannot be read, or looks like COCO's and is not complete.
    """
    try:
        content = read_json(path, most=MOST_ANNOTATIONS, most_values=MOST_ANNOTATED_VALUES)
    except OSError as error:
        raise DataError(f"cannot read {path}", reason(error), "check path and permissions") from error
    except ValueError as error:
        raise DataError(f"{path} is not a readable JSON file", str(error), "export the annotations again") from error
    if not (isinstance(content, dict) and all(isinstance(content.get(key), list) for key in ("images", "annotations"))):
        return None
    try:
        return _outlines(path, content)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(
            f"{path} looks like COCO's annotations and is not complete",
            f"{type(error).__name__} {error}",
            "export the annotations again",
        ) from error


def _outlines(path: Path, content: Mapping[str, Any]) -> dict[PurePosixPath, CocoOutlines]:
    drawn: dict[Any, list[Any]] = {}
    for annotation in content["annotations"]:
        drawn.setdefault(annotation["image_id"], []).append(annotation.get("segmentation"))
    return {
        PurePosixPath(str(image["file_name"]).replace("\\", "/")): CocoOutlines(
            path, image["id"], (int(image["height"]), int(image["width"])), tuple(drawn[image["id"]])
        )
        for image in content["images"]
        # One outline too few would call a marked defect good: all of an image's, or none.
        if all(drawn.get(image["id"], [None]))
    }


def _from_runs(segment: Mapping[str, Any], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Runs of unmarked and marked pixels in turn, down the columns, as ``uint8 [H, W]``."""
    counts, (height, width) = segment["counts"], segment["size"]
    runs = _unpack(counts) if isinstance(counts, str) else [int(count) for count in counts]
    if (height, width) != size:
        raise ValueError(f"its runs are of {width}x{height} pixels, its image of {size[1]}x{size[0]}")
    if min(runs, default=0) < 0 or sum(runs) != height * width:
        raise ValueError(f"its runs do not fill {width}x{height} pixels")
    if not any(runs[1::2]):
        raise ValueError("its runs mark no pixel")
    return np.repeat((np.arange(len(runs)) % 2).astype(np.uint8), runs).reshape(width, height).T


_LONGEST_RUN = 60
"""Bits."""


def _unpack(text: str) -> list[int]:
    """The packed form of pycocotools: five bits a character, lowest first, of which the sixth says that more follow.

    From the third run on the difference to the run two before is stored.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise ValueError("its runs hold a character that packs none")
        value |= (code & 0x1F) << shift
        shift += 5
        if shift > _LONGEST_RUN:
            raise ValueError("its runs hold a number longer than any picture")
        if code & 0x20:
            continue
        if code & 0x10:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("its runs end in the middle of one")
    return runs


def match(outlines: Sequence[Mapping[PurePosixPath, CocoOutlines]], image: Path) -> CocoOutlines | None:
    """The outlines of ``image``: those whose file name agrees with most of the end of its path."""
    ends = [PurePosixPath(*image.parts[start:]) for start in range(1, len(image.parts))]
    return next((found for end in ends for file in outlines if (found := file.get(end)) is not None), None)
