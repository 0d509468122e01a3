"""The anomaly map drawn over the picture: where a part is faulty, at a glance."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..opencv import cv2
from .verdict import Region, VerdictKind

# In fractions of the threshold: below the first the picture stays untouched, at the last the heat is fullest.
_VISIBLE_FROM = 0.5
_FULLEST_AT = 2.0
_STRONGEST_ALPHA = 0.7
_CONTOUR = (255, 255, 255)
_CONTOUR_EDGE = (0, 0, 0)
_UNKNOWN = (214, 51, 194)
_HATCH = (70, 130, 180)
_BOX = (255, 214, 0)
_CAPTION: dict[VerdictKind, tuple[int, int, int]] = {
    "good": (22, 101, 52),
    "reject": (176, 24, 36),
    "unknown": (134, 25, 143),
}
_SMALLEST_TEXT = 12
"""Pixels."""


def draw_overlay(
    image: NDArray[np.uint8],
    anomaly_map: NDArray[np.float32],
    threshold: float = 0.5,
    ignored: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Draws a heat map over ``image`` and a contour where the map crosses ``threshold``.

    The colours are Inferno's, whose lightness rises evenly with the value (S. van der Walt and
    N. Smith, SciPy 2015). Opacity rises smoothly from zero at half the threshold, so a normal area shows
    the plain picture, and colour depends on the threshold alone: two frames of one line compare.

    Args:
        image: ``uint8 [H, W, 3]`` RGB, of any size; not changed.
        anomaly_map: ``float32 [h, w]`` on the score scale; resized to the picture.
        threshold: the verdict's threshold on the same scale, above zero.
        ignored: ``bool [h, w]`` of the map, what did not count (`ignored_in` tells it of a map): grey and hatched.

    Returns:
        ``uint8 [H, W, 3]`` RGB.

    Raises:
        DataError: a shape, a type or the threshold cannot be drawn.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise DataError(
            f"cannot draw over an image of {image.dtype} {list(image.shape)}",
            fix="give uint8 [H, W, 3] in RGB",
        )
    if anomaly_map.ndim != 2 or anomaly_map.size == 0:
        raise DataError(
            f"an anomaly map of shape {list(anomaly_map.shape)} cannot be drawn",
            fix="give one image's map, [h, w]",
        )
    if not threshold > 0 or not np.isfinite(anomaly_map).all():
        raise DataError(
            "the anomaly map cannot be drawn",
            f"threshold {threshold} or a value of the map is no positive, finite number",
            "check the threshold and the graph's precision",
        )
    height, width = image.shape[:2]
    heat = cv2.resize(anomaly_map.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) / threshold
    level = np.clip((heat - _VISIBLE_FROM) / (_FULLEST_AT - _VISIBLE_FROM), 0.0, 1.0)  # [H, W]
    colour = cv2.applyColorMap(np.round(level * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    alpha = np.float32(_STRONGEST_ALPHA) * np.sqrt(level)
    colour = cv2.cvtColor(colour, cv2.COLOR_BGR2RGB)
    drawn: NDArray[np.uint8] = cv2.blendLinear(np.ascontiguousarray(image), colour, 1 - alpha, alpha)  # pyright: ignore[reportAssignmentType]
    if ignored is not None:
        drawn = draw_ignored(drawn, ignored)
    return _with_contour(drawn, heat > 1.0)


def ignored_in(anomaly_map: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which pixels ``bool [h, w]`` of a map did not count: those of ignored regions, and only those, are exactly 0."""
    return anomaly_map == 0


def draw_ignored(image: NDArray[np.uint8], ignored: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The picture ``uint8 [H, W, 3]`` RGB with what does not count, ``bool [h, w]``, in hatched grey."""
    height, width = image.shape[:2]
    covered = cv2.resize(ignored.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST).astype(bool)
    if not covered.any():
        return image
    step = max(6, min(height, width) // 24)
    rows, columns = np.indices((height, width), sparse=True)
    lines = (rows + columns) % step < max(1, step // 4)
    drawn = image.copy()
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None] // 2 + 64  # flat: nothing in it draws the eye
    drawn[covered] = grey.repeat(3, axis=2)[covered]
    drawn[covered & lines] = _HATCH
    return drawn


def draw_unknown(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture ``uint8 [H, W, 3]`` RGB in a magenta frame: a product that the model has not learned."""
    drawn = image.copy()
    width = max(2, min(image.shape[:2]) // 32)
    for edge in (drawn[:width], drawn[-width:], drawn[:, :width], drawn[:, -width:]):
        edge[:] = _UNKNOWN
    return drawn


def draw_boxes(image: NDArray[np.uint8], regions: Sequence[Region], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture ``uint8 [H, W, 3]`` RGB with a box around each region of a picture of ``size = (height, width)``."""
    drawn = image.copy()
    height, width = image.shape[:2]
    line = max(1, round(min(height, width) / 300))
    for region in regions:
        box = region.box
        left, right = (round(x * width / size[1]) for x in (box.x, box.x + box.width))
        top, bottom = (round(y * height / size[0]) for y in (box.y, box.y + box.height))
        corners = (  # clear of the contour, and in the picture
            (max(line, left - 2 * line), max(line, top - 2 * line)),
            (min(width - 1 - line, right + 2 * line), min(height - 1 - line, bottom + 2 * line)),
        )
        cv2.rectangle(drawn, *corners, _CONTOUR_EDGE, line + 2)
        cv2.rectangle(drawn, *corners, _BOX, line)
    return drawn


def with_caption(image: NDArray[np.uint8], kind: VerdictKind, words: Sequence[str]) -> NDArray[np.uint8]:
    """The picture ``uint8 [H, W, 3]`` RGB with a strip on top of it, in the verdict's colour, that says ``words``.

    What goes together stays in one line if the picture is wide enough; a glyph that the font lacks shows as a box.
    """
    from PIL import Image, ImageDraw, ImageFont

    height, width = image.shape[:2]
    size = max(_SMALLEST_TEXT, round(max(height, width) / 40))
    while True:
        font = ImageFont.load_default(size)
        lines = _lines(words, lambda text, font=font, room=width - size: font.getlength(text) <= room)
        if size == _SMALLEST_TEXT or max(font.getlength(line) for line in lines) + size <= width:
            break
        size = max(_SMALLEST_TEXT, size * 3 // 4)
    step = round(1.35 * size)
    strip = Image.new("RGB", (width, step * len(lines) + size // 2), _CAPTION[kind])
    pen = ImageDraw.Draw(strip)
    for number, line in enumerate(lines):
        pen.text((size // 2, size // 4 + number * step), line, (255, 255, 255), font)
    return np.concatenate([np.asarray(strip), image])


def _lines(words: Sequence[str], fits: Callable[[str], bool]) -> list[str]:
    lines = [words[0]]
    for word in words[1:]:
        longer = f"{lines[-1]}   {word}"
        lines[-1:] = [longer] if fits(longer) else [lines[-1], word]
    return lines


def _with_contour(picture: NDArray[np.uint8], above: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Outlines ``above`` in white on black, visible on light and dark parts alike."""
    outlines, _ = cv2.findContours(above.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    line = max(1, round(min(picture.shape[:2]) / 300))
    cv2.drawContours(picture, outlines, -1, _CONTOUR_EDGE, line + 2)
    cv2.drawContours(picture, outlines, -1, _CONTOUR, line)
    return picture
