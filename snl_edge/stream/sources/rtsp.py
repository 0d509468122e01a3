"""A network camera that streams by RTSP."""

from __future__ import annotations

import os
from typing import Literal
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import field_validator

from ...opencv import cv2
from ..settings import Seconds, Settings
from ..sinks.settings import Secret
from .opencv import OpenCvSource


class RtspSettings(Settings):
    """A network camera. Its compression hides fine defects: prefer a camera that sends raw pictures."""

    type: Literal["rtsp"] = "rtsp"
    url: str
    """``rtsp://host:554/path``, without user and password."""
    user: str | None = None
    """Whom to log in as."""
    password: Secret | None = None
    """Where the password is kept."""
    transport: Literal["tcp", "udp"] = "tcp"
    """``udp`` is a little faster and shows torn pictures when packets are lost."""
    timeout_s: Seconds = 5.0
    """Without a picture for so long, the camera counts as gone."""

    @field_validator("url")
    @classmethod
    def _is_rtsp(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("rtsp", "rtsps") or not parts.hostname:
            raise ValueError("give rtsp://host/path")
        if parts.username or parts.password:
            raise ValueError("give user and password by themselves: this file is shown in logs and on screens")
        return url


def open_rtsp(settings: RtspSettings) -> OpenCvSource:
    """The source for a network camera, through FFmpeg."""

    def opener() -> cv2.VideoCapture:
        # FFmpeg's options have no other way in (OpenCV, videoio/src/cap_ffmpeg_impl.hpp).
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = f"rtsp_transport;{settings.transport}|fflags;nobuffer"
        timeout = round(settings.timeout_s * 1000)
        return cv2.VideoCapture(
            _with_credentials(settings),
            cv2.CAP_FFMPEG,
            [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, timeout, cv2.CAP_PROP_READ_TIMEOUT_MSEC, timeout],
        )

    return OpenCvSource(
        settings.url,
        opener,
        live=True,
        video=True,
        stamped=True,
        remedy=f"check network, user and password; try it: ffplay {settings.url}",
    )


def _with_credentials(settings: RtspSettings) -> str:
    if settings.user is None:
        return settings.url
    password = "" if settings.password is None else ":" + quote(settings.password.read(), safe="")
    parts = urlsplit(settings.url)
    return urlunsplit(parts._replace(netloc=f"{quote(settings.user, safe='')}{password}@{parts.netloc}"))
