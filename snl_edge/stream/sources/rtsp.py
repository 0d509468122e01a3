"""A network camera that streams by RTSP, read by FFmpeg through PyAV.

OpenCV's own way to FFmpeg opens one stream at a time in a process, so that a camera that is gone holds up all others,
and takes FFmpeg's options from the environment of the process.

FFmpeg knows that a picture is whole when the next one begins: each comes one picture late. So a camera that sends
pictures for a signal of its own cannot be read this way (`CameraSettings` refuses it).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, urlsplit, urlunsplit

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from ...errors import CameraError
from ...network.credentials import Secret
from ..settings import Seconds, Settings
from .arrival import Arrivals
from .base import Colour, PictureError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame


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
    """``udp`` is a little faster; a picture of which packets are lost is not judged."""
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


class RtspSource:
    """One network camera."""

    live = True
    video = True
    colour: Colour = "bgr"

    def __init__(self, settings: RtspSettings) -> None:
        self.received: float | None = None
        self._settings = settings
        self._container: InputContainer | None = None
        self._frames: Iterator[VideoFrame] = iter(())
        self._arrivals = Arrivals()

    def open(self) -> None:
        """Connects, and waits until the stream says what it holds."""
        self.close()
        try:
            import av.error
        except ImportError as error:
            raise CameraError("network cameras need PyAV", str(error), 'run: pip install "snl-edge[rtsp]"') from error
        settings = self._settings
        options = {"rtsp_transport": settings.transport, "fflags": "nobuffer"}
        try:
            self._container = av.open(
                _with_credentials(settings), options=options, timeout=(settings.timeout_s, settings.timeout_s)
            )
            stream = self._container.streams.video[0]
        except av.error.FFmpegError as error:
            raise CameraError(f"cannot open {settings.url}", _reason(error, settings.timeout_s), self._remedy) from None
        except IndexError:
            self.close()
            raise CameraError(f"{settings.url} sends no video", fix="look up the path of its video stream") from None
        # Threads that each decode a picture of their own would hold pictures back.
        stream.thread_type = "SLICE"
        self._frames = self._container.decode(stream)
        self._arrivals = Arrivals()

    def read(self) -> NDArray[np.uint8] | None:
        """The next picture; waits for it as long as ``timeout_s``, and what is not whole is a `PictureError`."""
        if self._container is None:
            raise CameraError(f"{self._settings.url} is closed")
        import av.error

        try:
            frame = next(self._frames)
        except StopIteration:
            raise CameraError(f"{self._settings.url} has ended its stream", fix=self._remedy) from None
        except av.error.FFmpegError as error:
            why = _reason(error, self._settings.timeout_s)
            raise CameraError(f"{self._settings.url} gives no picture", why, self._remedy) from None
        self.received = self._arrivals.of(frame.time)
        if frame.is_corrupt:
            raise PictureError(
                f"{self._settings.url} sends a picture with parts missing",
                "packets were lost",
                "use transport tcp, and look at the network's load",
            )
        return frame.to_ndarray(format="bgr24")  # pyright: ignore[reportReturnType]

    def close(self) -> None:
        """Ends the connection."""
        container, self._container, self._frames = self._container, None, iter(())
        if container is not None:
            container.close()

    @property
    def _remedy(self) -> str:
        return f"check network, user and password; try it: ffplay {self._settings.url}"


def _reason(error: Exception, timeout_s: float) -> str:
    """What FFmpeg says, without the address that it names with it: the password is in that."""
    text = getattr(error, "strerror", None) or type(error).__name__
    return f"no answer within {timeout_s:g} s" if "Immediate exit" in text else text


def _with_credentials(settings: RtspSettings) -> str:
    if settings.user is None:
        return settings.url
    password = "" if settings.password is None else ":" + quote(settings.password.read(), safe="")
    parts = urlsplit(settings.url)
    return urlunsplit(parts._replace(netloc=f"{quote(settings.user, safe='')}{password}@{parts.netloc}"))
