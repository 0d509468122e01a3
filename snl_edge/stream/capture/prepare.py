"""From a camera's picture to the graph's input: region, rotation, colours, size, and what must be wrong with it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import CameraError, DataError
from ...image import DepthWatch, Fitter, brightness, focus, swapped, to_uint8
from ...opencv import cv2
from ...runtime.frame import misfit
from ...runtime.manifest import InputSpec, Manifest
from ..pipeline.parts import Part
from ..pipeline.recipe import Recipe
from ..sources.base import Source
from .camera_settings import CameraSettings, InspectedRegion, PictureChecks, Rotation

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


def inspected(
    picture: NDArray[np.uint8], region: InspectedRegion | None, rotation: Rotation, swap: bool
) -> NDArray[np.uint8]:
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


class Unfit(NamedTuple):
    """Why a part cannot be judged by its picture."""

    reason: str
    """Of its fail-safe verdict."""
    told: str
    """What the health page says: one of `FAULTS`, or words."""


class Preparation:
    """Brings a camera's pictures to where the engine takes them from, and finds what makes one unfit. For one thread.

    Args:
        settings: the camera's.
        source: where its pictures come from.
        focus_every: measure the focus of each n-th part.
    """

    def __init__(self, settings: CameraSettings, source: Source, focus_every: int) -> None:
        self._settings = settings
        self._source = source
        self._focus_every = focus_every
        self._depth = DepthWatch()
        self._faults = PictureFaults(settings.checks, video=source.video)
        self._placer = Placer()
        self._focused: tuple[Recipe, float] | None = None

    @property
    def doubt(self) -> str | None:
        """What is doubtful about the depth of its pictures."""
        return self._depth.doubt

    def prepare(self, part: Part, stored: NDArray[np.uint8] | NDArray[np.uint16], recipe: Recipe) -> Unfit | None:
        """Makes ``stored`` the part's picture, in a place of the recipe's inputs; None where it can be judged."""
        self._depth.look(stored, recipe.takes.bits)
        try:
            picture = to_uint8(stored, recipe.takes.bits)
        except DataError as error:
            return Unfit("corrupt", str(error))
        if fault := self._faults.of_camera(picture):
            return Unfit(fault, fault)
        part.recipe = recipe
        swap = self._source.colour != recipe.takes.colours
        try:
            part.frame = inspected(picture, self._settings.region, self._settings.rotation, swap)
        except CameraError as error:  # of the settings: opening the camera again would not help
            return Unfit("size", str(error))
        if wrong := misfit(part.frame.shape, recipe.takes):
            return Unfit("size", "{}; {}: {}".format(*wrong))
        fault = self._place(part, part.frame, recipe)
        return None if fault is None else Unfit(fault, fault)

    def _place(self, part: Part, frame: NDArray[np.uint8], recipe: Recipe) -> str | None:
        """Puts the part's picture into a place of its own, and measures it; returns what is wrong with it."""
        part.slot = recipe.acquire()
        seen = self._placer.put(frame, recipe.takes, recipe.inputs[part.slot])
        part.brightness = brightness(seen)
        # Cheap at the model's size. Where the graph resizes, the host does so for some parts, until one is blurred.
        wanted = part.sequence % self._focus_every == 0
        blurred = None
        if wanted or recipe.takes.frame is None or self._faults.blurred:
            focus = self._placer.focus(frame, recipe.takes, seen)
            part.focus = focus if wanted else None
            blurred = self._faults.of_focus(focus, self._least_focus(recipe))
        return self._faults.of_input(seen, part.brightness) or blurred

    def _least_focus(self, recipe: Recipe) -> float:
        if self._focused is None or self._focused[0] is not recipe:
            self._focused = recipe, least_focus(recipe.bundle.manifest, self._settings.product)
        return self._focused[1]


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


FAULTS = {
    "blurred": "the picture has far less detail than training's had: check focus, clean the lens, see what covers it",
    "black": "the picture is black: check lamp, lens cap and exposure",
    "frozen": "the picture does not change: restart the camera; if what it sees stands still, set checks.frozen_within",
    "size": "the picture has another size than the first: someone changed the camera; set it back or restart",
}
"""What they mean, in words."""
