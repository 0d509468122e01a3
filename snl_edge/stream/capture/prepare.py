"""From a camera's picture to the graph's input: region, rotation, colours, size, and what must be wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...errors import CameraError, ConfigError, DataError
from ...image import Fitter, fit_to_input, focus, read_image
from ...opencv import cv2
from ...runtime.frame import swapped
from ...runtime.manifest import InputSpec, Manifest
from ..settings import Settings, Share

Rotation: TypeAlias = Literal[0, 90, 180, 270]
_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_FROZEN_GRID = 4
"""Of pictures that come byte for byte, each so many-th row and column is compared."""
_FIELDS = 32
"""Fields each way whose mean brightness is compared where pictures come through video compression."""
_ROWS = 256
"""Rows of a picture that are enough for them."""
COMPRESSION = 4
"""Grey levels by which such a mean may differ between compressed pictures of one repeated picture (measured:
docs/stream.md, "A frozen camera")."""
_RELEASE = 2
"""A frozen camera counts as well again when a mean differs by so many times the limit: what one coarse key picture
moves must let no part through."""


class Region(Settings):
    """A rectangle in pixels of the camera's picture."""

    x: int = Field(ge=0)
    """Left edge."""
    y: int = Field(ge=0)
    """Upper edge."""
    width: int = Field(gt=0)
    """To the right of x."""
    height: int = Field(gt=0)
    """Below y."""


class IgnoredRectangle(Settings):
    """A rectangle in shares (0 to 1) of the inspected region, after rotation."""

    x: Share
    """Left edge."""
    y: Share
    """Upper edge."""
    width: Share
    """To the right of x."""
    height: Share
    """Below y."""


class PictureChecks(Settings):
    """When a picture cannot be judged; its part gets the fail-safe verdict."""

    black_below: float | None = Field(default=3.0, ge=0, le=255)
    """Mean brightness (0 to 255) below which the picture counts as black: lamp or camera dead. null: no check."""
    frozen_after: int | None = Field(default=3, ge=2)
    """So many pictures of parts in a row that are the same mean a frozen camera. null: no check, and the health page
    says so."""
    frozen_within: int | None = Field(default=None, ge=0, le=255)
    """Pictures are the same if the mean brightness of no field (some 32 x 32) differs by more grey levels. 0: byte
    for byte, as sensors have noise. If not given, 4 for sources with video compression (``rtsp``, ``video``, a
    ``gstreamer`` pipeline that decodes), where a repeated picture is not the same byte for byte; else 0."""
    focus_below: float | None = Field(default=0.15, ge=0, lt=1)
    """Share of the detail (variance of the Laplacian) that training's pictures of the camera's ``product``, or of the
    product with least, had on average, below which a picture counts as blurred: out of focus, or the lens dirty or
    covered. null: no check. There is none with a bundle without a reference."""
    fixed_size: bool = True
    """A picture of another size than the first is refused: someone changed the camera."""


def inspected(picture: NDArray[np.uint8], region: Region | None, rotation: Rotation, swap: bool) -> NDArray[np.uint8]:
    """The inspected part of a picture ``uint8 [h, w, 3]``. Copies only where something has to change.

    Args:
        picture: as the camera gives it.
        region: its inspected rectangle.
        rotation: of the region, clockwise.
        swap: exchange first and last colour: RGB of BGR, or the reverse.

    Raises:
        CameraError: the region reaches beyond the picture.
    """
    if region is not None:
        height, width = picture.shape[:2]
        if region.x + region.width > width or region.y + region.height > height:
            raise CameraError(
                f"the region {region.width}x{region.height}+{region.x}+{region.y} reaches beyond the picture",
                f"the camera gives {width}x{height}",
                "correct region in the configuration, or the camera's size",
            )
        picture = picture[region.y : region.y + region.height, region.x : region.x + region.width]
    if rotation:
        picture = cv2.rotate(picture, _TURNS[rotation])  # pyright: ignore[reportAssignmentType]
    return swapped(picture) if swap else picture


class Placer:
    """Writes inspected pictures to their places in the graph's input, and shows what checks look at. For one thread."""

    def __init__(self) -> None:
        self._fitter = Fitter()
        self._thinned: NDArray[np.uint8] | None = None

    def put(self, picture: NDArray[np.uint8], takes: InputSpec, place: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Writes ``picture`` to ``place``; returns it at the model's size, for brightness and `PictureFaults.of_input`.

        Where the graph resizes, the picture is copied and no more; what is returned is then one pixel of each small
        rectangle: its mean is that of all, and pictures that are identical stay identical.
        """
        if takes.frame is None:
            return self._fitter.fit(picture, takes.size, place)
        np.copyto(place, picture)
        self._thinned = cv2.resize(picture, takes.size[::-1], self._thinned, interpolation=cv2.INTER_NEAREST)  # pyright: ignore[reportAttributeAccessIssue,reportCallIssue,reportArgumentType]
        return self._thinned  # pyright: ignore[reportReturnType]

    def focus(self, picture: NDArray[np.uint8], takes: InputSpec, seen: NDArray[np.uint8]) -> float:
        """Its focus as training measured it, at the model's size; ``seen`` is what `put` returned.

        Where the graph resizes, this costs a resize on the host: single pixels would alias, and seem sharper.
        """
        if takes.frame is None:
            return focus(seen)
        fitted = self._fitter.fit(picture, takes.size)
        return focus(swapped(fitted) if takes.colours == "bgr" else fitted)


def least_focus(manifest: Manifest, product: str | None) -> float:
    """The focus that pictures of ``product`` had in training on average, or those of the product with the least; 0
    where the bundle has no reference."""
    reference = manifest.reference or {}
    known = reference.values() if product is None else [reference[product]] if product in reference else []
    return min((own.features["focus"].mean for own in known if "focus" in own.features), default=0.0)


def check_region(camera: str, region: Region | None, rotation: Rotation, takes: InputSpec) -> None:
    """Refuses a region, turned, of another size than the graph takes.

    Raises:
        ConfigError: it is.
    """
    if region is None or takes.frame is None:
        return
    width, height = (region.height, region.width) if rotation in (90, 270) else (region.width, region.height)
    if (height, width) != takes.frame.size:
        raise ConfigError(
            f"camera {camera} inspects {width}x{height} pixels",
            f"the bundle was built for frames of {takes.frame.width}x{takes.frame.height} alone",
            f"change the region, or build with --frame {width}x{height}, or without --frame",
        )


def ignored_pixels(
    mask: Path | None, rectangles: tuple[IgnoredRectangle, ...], size: tuple[int, int]
) -> NDArray[np.bool_] | None:
    """Which pixels ``bool [H, W]`` of the anomaly map do not count; None if all do.

    Raises:
        ConfigError: the mask cannot be read, or nothing would be left to inspect.
    """
    if mask is None and not rectangles:
        return None
    height, width = size
    ignored = np.zeros(size, bool)
    if mask is not None:
        try:
            white = read_image(mask).max(axis=2) > 127
        except DataError as error:
            raise ConfigError(error.what, error.why, "give a picture in which white is ignored") from error
        # Area and any: a thin white line must not vanish when the mask shrinks.
        ignored |= fit_to_input(white.astype(np.uint8)[..., None].repeat(3, axis=2) * 255, size)[..., 0] > 0
    for box in rectangles:
        rows = slice(int(box.y * height), int(np.ceil((box.y + box.height) * height)))
        ignored[rows, int(box.x * width) : int(np.ceil((box.x + box.width) * width))] = True
    if ignored.all():
        raise ConfigError("the ignore mask covers the whole picture", fix="leave something to inspect")
    return ignored


def frozen_within(checks: PictureChecks, video: bool) -> int:
    """The limit that applies: ``checks.frozen_within``, or what suits a source with or without video compression."""
    return checks.frozen_within if checks.frozen_within is not None else COMPRESSION * video


class PictureFaults:
    """Finds what makes a picture unfit to be judged. One for each camera.

    Args:
        video: pictures come through compression that spans them, see `Source`.
    """

    def __init__(self, checks: PictureChecks, *, video: bool = False) -> None:
        self._checks = checks
        self._within = frozen_within(checks, video)
        self._size: tuple[int, ...] | None = None
        self._first: NDArray[np.uint8] | None = None
        self._same = 1
        self.blurred = False
        """What was found of the last picture whose focus was measured."""

    def of_camera(self, picture: NDArray[np.uint8]) -> str | None:
        """``size`` if the camera's picture has another size than its first, else None."""
        if self._size is None or not self._checks.fixed_size:
            self._size = picture.shape
        return None if picture.shape == self._size else "size"

    def of_input(self, prepared: NDArray[np.uint8], mean: float) -> str | None:
        """``black``, ``frozen`` or None, for what `Placer.put` gave, ``uint8 [H, W, 3]``, of this mean brightness."""
        if self._checks.black_below is not None and mean < self._checks.black_below:
            return "black"
        if self._checks.frozen_after is None:
            return None
        sample = _fields(prepared) if self._within else prepared[::_FROZEN_GRID, ::_FROZEN_GRID]
        if self._is_first(sample):
            self._same += 1
        else:
            self._first, self._same = sample.copy(), 1
        return "frozen" if self._same >= self._checks.frozen_after else None

    def of_focus(self, focus: float, least: float) -> str | None:
        """``blurred`` or None, for a picture of this focus, where `least_focus` is so much."""
        self.blurred = focus < (self._checks.focus_below or 0.0) * least
        return "blurred" if self.blurred else None

    def _is_first(self, sample: NDArray[np.uint8]) -> bool:
        """Whether it is the picture that came first; not the last, or what moves slowly would never count as moving."""
        if self._first is None or self._first.shape != sample.shape:
            return False
        if not self._within:
            return np.array_equal(sample, self._first)
        frozen = self._same >= (self._checks.frozen_after or 0)
        return bool(cv2.absdiff(sample, self._first).max() <= self._within * (_RELEASE if frozen else 1))


def _fields(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mean brightness of each field ``uint8 [h, w]``, about 32 each way, of a picture ``uint8 [H, W, 3]``."""
    rows = picture[:: max(1, picture.shape[0] // _ROWS)]
    # Whole pixels to each field: OpenCV takes four times as long to share pixels out. Less than a field is left at the
    # edges. Either order of colours will do, as pictures of one camera are compared.
    field = [max(1, side // _FIELDS) for side in rows.shape[:2]]
    height, width = (side // pixels for side, pixels in zip(rows.shape[:2], field, strict=True))
    whole = rows[: height * field[0], : width * field[1]]
    means = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(means, cv2.COLOR_RGB2GRAY)  # pyright: ignore[reportReturnType]
