"""One camera as the line's file describes it, and what of it a bundle must fit."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ...errors import ConfigError, DataError
from ...image import fit_to_input, read_image
from ...runtime.manifest import InputSpec
from ..settings import Seconds, Settings, Share
from ..sources import SourceSettings
from ..sources.folder import FolderSettings
from ..sources.rtsp import RtspSettings
from .triggers import EveryFrame, Hardware, TriggerSettings

Rotation: TypeAlias = Literal[0, 90, 180, 270]


class InspectedRegion(Settings):
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


class Reconnect(Settings):
    """How a camera that has gone is looked for."""

    first_s: Seconds = 0.5
    """Pause before the first try; it doubles with each further one."""
    most_s: Seconds = 10.0
    """Longest pause."""


class CameraSettings(Settings):
    """One camera."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")
    """Its name in records, messages, file names and on screens."""
    source: SourceSettings
    """Where its pictures come from."""
    trigger: TriggerSettings = EveryFrame()
    """What says that a part is there."""
    product: str | None = None
    """What it always sees; recognised in each picture if not given."""
    compare_product: bool = True
    """Hold ``product`` against what is recognised, so that parts of other products do not pass. false: they pass if
    their score is low, and the health page says so for as long as it is."""
    region: InspectedRegion | None = None
    """The inspected rectangle of its picture, in pixels; all of it if not given."""
    rotation: Rotation = 0
    """Clockwise turn of the region, in degrees."""
    ignore_mask: Path | None = None
    """Picture file of the inspected region, of any size: anomalies do not count where it is white."""
    ignore: tuple[IgnoredRectangle, ...] = ()
    """Rectangles in which anomalies do not count."""
    checks: PictureChecks = PictureChecks()
    """When a picture cannot be judged."""
    delay_ms: float = Field(default=0.0, ge=0)
    """What a picture takes from its exposure until it is received (encoder, network). A trigger is answered by one that
    is received so much later or more, so that it does not show what was there before."""
    reconnect: Reconnect = Reconnect()
    """What happens when it has gone."""
    silent_after_s: Seconds = 10.0
    """Without a picture for so long, a camera whose pictures should keep coming counts as gone."""

    @model_validator(mode="after")
    def _each_file_is_a_part(self) -> CameraSettings:
        watched = isinstance(self.source, FolderSettings) and self.source.watch
        if watched and isinstance(self.trigger, EveryFrame) and self.trigger.every > 1:
            raise ValueError("each file of a watched folder is a part: leave out trigger.every")
        return self

    @model_validator(mode="after")
    def _no_picture_waits_for_the_next(self) -> CameraSettings:
        if isinstance(self.source, RtspSettings) and isinstance(self.trigger, Hardware):
            raise ValueError(
                "a network stream gives a picture when the next one begins, so with trigger hardware the verdict would "
                "come with the next part: let the camera run free and trigger in another way, or read it by a "
                "gstreamer pipeline (rtspsrc)"
            )
        return self


def check_region(camera: str, region: InspectedRegion | None, rotation: Rotation, takes: InputSpec) -> None:
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
