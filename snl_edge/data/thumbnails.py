"""Small pictures inside a page that needs no other file."""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import NDArray

from snl_edge.opencv import cv2

THUMBNAIL = 192
"""Longest side, in pixels."""
MASK_COLOUR = (60, 220, 120)


def data_uri(image: NDArray[np.uint8], longest: int = THUMBNAIL) -> str:
    """``uint8 [H, W, 3]`` RGB as a JPEG in a ``data:`` address, shrunk to ``longest`` pixels a side, never enlarged."""
    scale = longest / max(image.shape[:2])
    size = tuple(max(1, round(scale * side)) for side in image.shape[1::-1])
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()


def draw_truth(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The picture ``uint8 [H, W, 3]`` with the outline of the true defect."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    drawn = image.copy()
    cv2.drawContours(drawn, contours, -1, MASK_COLOUR, max(1, image.shape[0] // 128))
    return drawn
