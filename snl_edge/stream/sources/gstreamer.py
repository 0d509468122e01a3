"""A GStreamer pipeline, and as one of these the CSI camera of a Jetson."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from ...opencv import cv2
from ..settings import Settings
from .opencv import OpenCvSource, require_gstreamer

_APPSINK = "appsink drop=true max-buffers=1 sync=false"
_DECODES = re.compile(r"26[3456]|vp[89]|av1|theora|mpeg|nvv4l2decoder|avdec_(?!mjpeg)|decodebin|playbin|rtsp")
"""What stands in a pipeline that decodes video, by GStreamer's names of elements and formats; JPEG is no video."""


class GStreamerSettings(Settings):
    """Any GStreamer pipeline that ends in an ``appsink`` with BGR pictures."""

    type: Literal["gstreamer"] = "gstreamer"
    pipeline: str
    """As for ``gst-launch-1.0``; ``appsink drop=true max-buffers=1`` keeps old pictures from piling up."""

    @field_validator("pipeline")
    @classmethod
    def _ends_with_us(cls, pipeline: str) -> str:
        if "appsink" not in pipeline:
            raise ValueError("the pipeline must end in an appsink")
        return pipeline


class CsiSettings(Settings):
    """A camera on the CSI connector of a Jetson, through NVIDIA's image processor (``nvarguscamerasrc``)."""

    type: Literal["csi"] = "csi"
    sensor: int = Field(default=0, ge=0)
    """Number of the camera."""
    width: int = Field(default=1920, ge=16)
    """In pixels."""
    height: int = Field(default=1080, ge=16)
    """In pixels."""
    fps: int = Field(default=30, ge=1)
    """Must be a mode of the sensor together with width and height."""
    flip: int = Field(default=0, ge=0, le=7)
    """``nvvidconv``'s flip-method; 2 turns the picture by 180°."""
    exposure_us: float | None = Field(default=None, gt=0)
    """Fixed exposure time; automatic if not given, which an inspection should not be."""
    gain: float | None = Field(default=None, ge=1)
    """Fixed analogue gain; automatic if not given."""

    @property
    def pipeline(self) -> str:
        """The pipeline that these settings stand for."""
        fixed = "aelock=true awblock=true " if self.exposure_us or self.gain else ""
        if self.exposure_us:
            time = round(self.exposure_us * 1000)
            fixed += f'exposuretimerange="{time} {time}" '
        if self.gain:
            fixed += f'gainrange="{self.gain:g} {self.gain:g}" '
        return (
            f"nvarguscamerasrc sensor-id={self.sensor} {fixed}! "
            f"video/x-raw(memory:NVMM),width={self.width},height={self.height},framerate={self.fps}/1,format=NV12 ! "
            f"nvvidconv flip-method={self.flip} ! video/x-raw,format=BGRx ! "
            f"videoconvert ! video/x-raw,format=BGR ! {_APPSINK}"
        )


def open_gstreamer(settings: GStreamerSettings | CsiSettings) -> OpenCvSource:
    """The source for a pipeline; asks for an OpenCV with GStreamer when it is opened."""

    def opener() -> cv2.VideoCapture:
        require_gstreamer()
        return cv2.VideoCapture(settings.pipeline, cv2.CAP_GSTREAMER)

    if settings.type == "csi":
        name, remedy = f"CSI camera {settings.sensor}", "check the ribbon cable and `systemctl status nvargus-daemon`"
    else:
        name, remedy = "the GStreamer pipeline", f"try it: gst-launch-1.0 {settings.pipeline}"
    return OpenCvSource(name, opener, live=True, remedy=remedy, video=bool(_DECODES.search(settings.pipeline)))
