"""Outlines drawn with Labelme: a JSON file of its own for each image, named like it (github.com/wkentaro/labelme).

``shapes`` is a list of ``shape_type`` and ``points`` ``[[x, y], ...]``; ``imageHeight`` and ``imageWidth`` are the size
of the image. Every shape counts as a defect, whatever its label says.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snl_edge.decode import decode_unchanged
from snl_edge.errors import DataError
from snl_edge.outside.files import reason
from snl_edge.outside.json_text import MOST_ANNOTATED_VALUES, MOST_ANNOTATIONS, read_json

from .outlines import Drawing


@dataclass(frozen=True)
class LabelmeFile:
    """The outlines of one image."""

    path: Path

    def read(self) -> NDArray[np.bool_]:
        """What the shapes mark, ``bool [H, W]`` in the size of the annotated image.

        Raises:
            DataError: the file is not Labelme's, or holds a shape without an area.
        """
        where = ""
        try:
            annotation = read_json(self.path, most=MOST_ANNOTATIONS, most_values=MOST_ANNOTATED_VALUES)
            drawing = Drawing((int(annotation["imageHeight"]), int(annotation["imageWidth"])))
            for number, shape in enumerate(annotation["shapes"], start=1):
                where = f"shape {number}: "
                _draw(drawing, shape)
        except OSError as error:
            raise DataError(f"cannot read {self.path}", reason(error), "check path and permissions") from error
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, DataError) as error:
            raise DataError(
                f"{self.path} holds no outlines as Labelme writes them",
                where + _why(error),
                "save it again with Labelme as polygons, rectangles or circles",
            ) from error
        return drawing.mask.astype(bool)


def _why(error: Exception) -> str:
    if isinstance(error, DataError):
        return f"{error.what}: {error.why}"
    return f"{type(error).__name__} {error}" if str(error) else type(error).__name__


def _draw(drawing: Drawing, shape: dict[str, Any]) -> None:
    kind, points = shape.get("shape_type") or "polygon", shape["points"]
    if kind == "circle":
        drawing.circle(points[0], points[1])
    elif kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        drawing.polygon([(left, top), (right, top), (right, bottom), (left, bottom)])
    elif kind in ("polygon", "rectangle", "oriented_rectangle", "rotation") and len(points) >= 3:
        drawing.polygon(points)
    elif kind == "mask":
        _paste(drawing, shape["mask"], points)
    else:
        raise ValueError(f"a {kind} of {len(points)} points has no area")


def _paste(drawing: Drawing, encoded: str, points: list[list[float]]) -> None:
    """A mask drawn by brush: a PNG in base64, whose first pixel lies at the first point."""
    try:
        png = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError("its mask is no base64") from error
    mask = drawing.mask
    drawn = np.asarray(np.atleast_3d(decode_unchanged(png, "its mask"))[..., :3].any(axis=-1))
    drawing.count(drawn.size)
    left, top = (round(value) for value in points[0])
    target = mask[top : top + drawn.shape[0], left : left + drawn.shape[1]]
    if not drawn.any():
        raise ValueError("its mask marks no pixel")
    if left < 0 or top < 0 or target.shape != drawn.shape:
        raise ValueError("its mask lies outside the image")
    target[drawn] = 1
