"""Where pictures come from. A new source is a module here and two lines in this file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .base import Source
from .folder import FolderSettings, FolderSource
from .genicam import GenicamSettings, GenicamSource
from .gstreamer import CsiSettings, GStreamerSettings, open_gstreamer
from .rtsp import RtspSettings, open_rtsp
from .synthetic import SyntheticSettings, SyntheticSource
from .v4l2 import V4l2Settings, open_v4l2
from .video import VideoSettings, VideoSource

SourceSettings = Annotated[
    V4l2Settings
    | CsiSettings
    | RtspSettings
    | GStreamerSettings
    | GenicamSettings
    | VideoSettings
    | FolderSettings
    | SyntheticSettings,
    Field(discriminator="type"),
]


def open_source(settings: SourceSettings) -> Source:
    """The source for these settings; it is opened later, by its camera's thread."""
    match settings:
        case V4l2Settings():
            return open_v4l2(settings)
        case CsiSettings() | GStreamerSettings():
            return open_gstreamer(settings)
        case RtspSettings():
            return open_rtsp(settings)
        case GenicamSettings():
            return GenicamSource(settings)
        case VideoSettings():
            return VideoSource(settings)
        case FolderSettings():
            return FolderSource(settings)
        case SyntheticSettings():
            return SyntheticSource(settings)
