"""Where pictures come from. A new source is a module here and two lines in this file, or a plug-in of somebody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from .base import Source
from .folder import FolderSettings, FolderSource
from .genicam import GenicamSettings, GenicamSource
from .gstreamer import CsiSettings, GStreamerSettings, open_gstreamer
from .plugin import PluginSettings, PluginSource
from .rtsp import RtspSettings, RtspSource
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
    | SyntheticSettings
    | PluginSettings,
    Field(discriminator="type"),
]


_OPENERS: dict[type, Callable[[Any], Source]] = {
    V4l2Settings: open_v4l2,
    CsiSettings: open_gstreamer,
    RtspSettings: RtspSource,
    GStreamerSettings: open_gstreamer,
    GenicamSettings: GenicamSource,
    VideoSettings: VideoSource,
    FolderSettings: FolderSource,
    SyntheticSettings: SyntheticSource,
    PluginSettings: PluginSource,
}


def open_source(settings: SourceSettings) -> Source:
    """The source for these settings; it is opened later, by its camera's thread."""
    return _OPENERS[type(settings)](settings)
