"""The overlay of a picture as a file: heatmap, boxes and a caption, at a size that people look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..atomic import replacing
from ..errors import OutputError
from ..image import fit_to_input
from ..opencv import cv2
from ..runtime.overlay import draw_boxes, draw_overlay, draw_unknown, ignored_in, with_caption
from ..runtime.verdict import Verdict
from .marks import Format, marked

LONGEST = 1600
"""Pixels of the longest side, where a picture is larger."""
_SHORTEST = 512
"""Pixels of the longest side, where a picture is smaller: below, a caption says nothing."""
_QUALITY = 90


@dataclass(frozen=True)
class OverlayStyle:
    """How overlays are written."""

    format: Format = "jpeg"
    longest: int = LONGEST
    """Pixels that the longest side of a picture is reduced to; 0 leaves every picture at its own size."""

    @property
    def suffix(self) -> str:
        """Of the files' names."""
        return ".png" if self.format == "png" else ".jpg"

    def sized(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture ``uint8 [H, W, 3]`` at the size at which it is drawn upon."""
        longest = max(picture.shape[:2])
        if not self.longest or min(_SHORTEST, self.longest) <= longest <= self.longest:
            return picture
        scale = (self.longest if longest > self.longest else min(_SHORTEST, self.longest)) / longest
        height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
        return fit_to_input(picture, (height, width))


def draw(
    picture: NDArray[np.uint8], verdict: Verdict, size: tuple[int, int], *, ignores: bool, name: str
) -> NDArray[np.uint8]:
    """The overlay ``uint8 [H, W, 3]`` RGB.

    Args:
        picture: ``uint8 [h, w, 3]`` RGB, at any size.
        verdict: with regions in the pixels of the picture as it was judged.
        size: ``(height, width)`` of that.
        ignores: whether what the map leaves at 0 is ignored.
        name: of the picture, for the caption.
    """
    # A heat map shows the distance from what is normal for a product; of an unknown one it would say nothing.
    if verdict.kind == "unknown" or verdict.threshold is None:
        drawn = draw_unknown(picture)
    else:
        ignored = ignored_in(verdict.anomaly_map) if ignores else None
        drawn = draw_overlay(picture, verdict.anomaly_map, verdict.threshold, ignored)
    return with_caption(draw_boxes(drawn, verdict.regions, size), verdict.kind, caption(verdict, name))


def caption(verdict: Verdict, name: str) -> list[str]:
    """What the overlay says in words; what belongs together is one of them."""
    held = f"score {verdict.score:.3f}   limit " + ("none" if verdict.threshold is None else f"{verdict.threshold:.3f}")
    if verdict.relation is not None:
        held += f"   ({verdict.relation:.2f} x limit)"
    product = verdict.product or f"like {verdict.recognised}, distance {verdict.product_distance:.2f}"
    return [verdict.kind.upper(), held, product, *(["doubtful"] if verdict.doubts else []), name]


def write(target: Path, drawn: NDArray[np.uint8], style: OverlayStyle) -> None:
    """Writes an overlay ``uint8 [H, W, 3]`` RGB, marked as one, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    options = [] if style.format == "png" else [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    done, encoded = cv2.imencode(style.suffix, cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise OutputError(f"cannot write {target}", f"{drawn.shape[1]}x{drawn.shape[0]} pixels are no {style.format}")
    with replacing(target) as temporary:
        temporary.write_bytes(marked(encoded.tobytes(), style.format))
