"""Outlines drawn with Labelme: a JSON file of its own for each image, named like it (github.com/wkentaro/labelme).

``shapes`` is a list of ``shape_type`` and ``points`` ``[[x, y], ...]``; ``imageHeight`` and ``imageWidth`` are the size
of the image. Every shape counts as a defect, whatever its label says.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from snl_edge.errors import DataError

from .outlines import fill_circle, fill_polygon


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
            annotation: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
            mask = np.zeros((int(annotation["imageHeight"]), int(annotation["imageWidth"])), np.uint8)
            for number, shape in enumerate(annotation["shapes"], start=1):
                where = f"shape {number}: "
                _draw(mask, shape)
        except OSError as error:
            raise DataError(
                f"cannot read {self.path}", error.strerror or str(error), "check path and permissions"
            ) from error
        except (ValueError, KeyError, TypeError, IndexError, cv2.error) as error:
            raise DataError(
                f"{self.path} holds no outlines as Labelme writes them",
                where + (f"{type(error).__name__} {error}" if str(error) else type(error).__name__),
                "save it again with Labelme as polygons, rectangles or circles",
            ) from error
        return mask.astype(bool)


def _draw(mask: NDArray[np.uint8], shape: dict[str, Any]) -> None:
    kind, points = shape.get("shape_type") or "polygon", shape["points"]
    if kind == "circle":
        fill_circle(mask, points[0], points[1])
    elif kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        fill_polygon(mask, [(left, top), (right, top), (right, bottom), (left, bottom)])
    elif kind in ("polygon", "rectangle", "oriented_rectangle", "rotation") and len(points) >= 3:
        fill_polygon(mask, points)
    elif kind == "mask":
        _paste(mask, shape["mask"], points)
    else:
        raise ValueError(f"a {kind} of {len(points)} points has no area")


def _paste(mask: NDArray[np.uint8], encoded: str, points: list[list[float]]) -> None:
    """A mask drawn by brush: a PNG in base64, whose first pixel lies at the first point."""
    try:
        png = np.frombuffer(base64.b64decode(encoded, validate=True), np.uint8)
    except binascii.Error as error:
        raise ValueError("its mask is no base64") from error
    drawn = cv2.imdecode(png, cv2.IMREAD_GRAYSCALE)
    if drawn is None:
        raise ValueError("its mask is no image")
    left, top = (round(value) for value in points[0])
    target = mask[top : top + drawn.shape[0], left : left + drawn.shape[1]]
    if not drawn.any():
        raise ValueError("its mask marks no pixel")
    if left < 0 or top < 0 or target.shape != drawn.shape:
        raise ValueError("its mask lies outside the image")
    target[drawn > 0] = 1
