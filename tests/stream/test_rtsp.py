"""Network cameras, against GStreamer's RTSP server and real sockets."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from lines import line_config

from snl_edge.errors import CameraError
from snl_edge.stream.capture.camera_settings import CameraSettings
from snl_edge.stream.sources.rtsp import RtspSettings, RtspSource

PYTHON = "/usr/bin/python3"
"""The system's: GStreamer's bindings come from its packages."""
SERVER = Path(__file__).parents[1] / "rtsp_server.py"
NEEDS = "needs GStreamer's RTSP server (gstreamer1.0-rtsp, -plugins-ugly, python3-gi, gir1.2-gst-rtsp-server-1.0)"


def _has_server() -> bool:
    probe = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer; "
    probe += "Gst.init(None); assert Gst.ElementFactory.find('x264enc')"
    with suppress(OSError):
        return subprocess.run([PYTHON, "-c", probe], capture_output=True, check=False).returncode == 0
    return False


with_server = pytest.mark.skipif(not _has_server(), reason=NEEDS)


@contextmanager
def streaming(*login: str) -> Iterator[tuple[str, Callable[[str], None]]]:
    """The address of a running stream, and what tells its server to ``pause`` or ``go``."""
    command = [PYTHON, str(SERVER), "0", *login]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        stdin = server.stdin

        def tell(word: str) -> None:
            stdin.write(word + "\n")
            stdin.flush()

        try:
            yield f"rtsp://127.0.0.1:{server.stdout.readline().split()[1]}/line", tell
        finally:
            server.kill()


@contextmanager
def dead_camera() -> Iterator[str]:
    """The address of a camera whose network takes connections, and which never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"rtsp://127.0.0.1:{listener.getsockname()[1]}/line"


def source(url: str, **settings: object) -> RtspSource:
    return RtspSource(RtspSettings.model_validate({"url": url, **settings}))


@with_server
def test_dead_cameras_do_not_hold_up_a_healthy_one() -> None:
    with streaming() as (url, _), dead_camera() as first, dead_camera() as second:

        def give_up(url: str) -> None:
            with pytest.raises(CameraError):
                source(url, timeout_s=6).open()

        opening = [threading.Thread(target=give_up, args=(url,)) for url in (first, second)]
        for thread in opening:
            thread.start()
        healthy = source(url)
        healthy.open()
        picture = healthy.read()
        assert picture is not None
        assert picture.shape == (120, 160, 3)
        assert healthy.received is not None
        assert all(thread.is_alive() for thread in opening), "it had to wait until they had given up"
        healthy.close()
        for thread in opening:
            thread.join()


@with_server
def test_a_login_that_fails_says_so_without_the_password() -> None:
    with streaming("viewer", "right") as (url, _):
        with pytest.raises(CameraError, match="401 Unauthorized") as failed:
            source(url, user="viewer", password={"clear": "secret-one"}).open()
        assert "secret-one" not in str(failed.value)
        assert failed.value.__cause__ is None, "FFmpeg's own error names the address with the password"
        camera = source(url, user="viewer", password={"clear": "right"})
        camera.open()
        assert camera.read() is not None
        camera.close()


@with_server
def test_a_camera_that_falls_silent_or_goes_is_told_and_can_be_opened_again() -> None:
    with streaming() as (url, tell):
        camera = source(url, timeout_s=0.5)
        camera.open()
        before = camera.read()
        assert before is not None
        tell("pause")
        with pytest.raises(CameraError, match="no answer within 0.5 s"):
            deque((camera.read() for _ in range(100)), maxlen=0)
        tell("go")
        camera.close()
        camera = source(url)
        camera.open()
        after = camera.read()
        assert after is not None
        assert after.mean() > before.mean(), "the picture of before the silence"
        camera.close()
    with pytest.raises(CameraError, match="Connection refused"):
        camera.open()


def test_a_stream_is_not_taken_for_a_triggered_camera(tmp_path: Path) -> None:
    """Its picture would come when the next part triggers, and the reject would hit that one."""
    stream = {"type": "rtsp", "url": "rtsp://camera/line"}
    with pytest.raises(ValueError, match="gives a picture when the next one begins"):
        CameraSettings.model_validate({"name": "a", "source": stream, "trigger": {"type": "hardware"}})
    assert line_config(tmp_path, tmp_path, camera={"source": stream, "trigger": {"type": "software"}})
