"""A USB camera, or any other that Linux offers as /dev/video…"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ...opencv import cv2
from ..settings import Settings
from .opencv import OpenCvSource


class V4l2Settings(Settings):
    """A Video4Linux device."""

    type: Literal["v4l2"] = "v4l2"
    device: int | str = 0
    """Number or path; ``/dev/v4l/by-id/…`` stays the same when cameras are plugged in another order."""
    width: int | None = Field(default=None, ge=16)
    """The camera's own if not given; what it does not have is refused."""
    height: int | None = Field(default=None, ge=16)
    """As width."""
    fps: float | None = Field(default=None, gt=0)
    """Pictures a second; the camera's own if not given."""
    fourcc: str | None = Field(default=None, pattern="^[A-Za-z0-9 ]{4}$")
    """Pixel format, as ``MJPG`` or ``YUYV``."""
    exposure: float | None = None
    """Fixed exposure in the driver's unit (mostly 100 µs). Automatic if not given: avoid that."""
    gain: float | None = None
    """Fixed gain in the driver's unit."""
    white_balance: float | None = Field(default=None, gt=0)
    """Fixed white balance in kelvin."""


def open_v4l2(settings: V4l2Settings) -> OpenCvSource:
    """The source for a Video4Linux device."""
    name = f"camera {settings.device}"

    def opener() -> cv2.VideoCapture:
        capture = cv2.VideoCapture(settings.device, cv2.CAP_V4L2)
        wanted: list[tuple[str, int, float | None]] = [
            ("fourcc", cv2.CAP_PROP_FOURCC, _code(settings.fourcc)),
            ("width", cv2.CAP_PROP_FRAME_WIDTH, settings.width),
            ("height", cv2.CAP_PROP_FRAME_HEIGHT, settings.height),
            ("fps", cv2.CAP_PROP_FPS, settings.fps),
            # 1 is V4L2_EXPOSURE_MANUAL (videodev2.h).
            ("exposure", cv2.CAP_PROP_AUTO_EXPOSURE, None if settings.exposure is None else 1),
            ("exposure", cv2.CAP_PROP_EXPOSURE, settings.exposure),
            ("gain", cv2.CAP_PROP_GAIN, settings.gain),
            ("white_balance", cv2.CAP_PROP_AUTO_WB, None if settings.white_balance is None else 0),
            ("white_balance", cv2.CAP_PROP_WB_TEMPERATURE, settings.white_balance),
            ("buffers", cv2.CAP_PROP_BUFFERSIZE, 1),
        ]
        for setting, number, value in wanted:
            taken = value is None or capture.set(number, value)
            if capture.isOpened() and not taken and setting != "buffers":
                capture.release()
                raise cv2.error(f"it refuses {setting}: {value:g}")
        return capture

    remedy = "check the cable, `v4l2-ctl --list-devices` and `--list-formats-ext`, and that the user is in group video"
    return OpenCvSource(name, opener, live=True, remedy=remedy, stamped=True)


def _code(fourcc: str | None) -> int | None:
    return None if fourcc is None else cv2.VideoWriter.fourcc(*fourcc)
