"""What a line is made of, piece by piece: sources, triggers, due list, drift, heartbeat, settings, commands."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from journals import record
from lines import light, line_config, records, run_to_end, running, wait_for, write_parts
from prometheus_client import generate_latest
from pydantic import BaseModel, ValidationError
from resealed import edit_manifest

from snl_edge.dashboard.server import DashboardServer
from snl_edge.data.synthetic import write_synthetic_line
from snl_edge.errors import CameraError, ConfigError
from snl_edge.image import focus, read_image
from snl_edge.runtime.bundle import Bundle
from snl_edge.runtime.frame import as_images
from snl_edge.runtime.manifest import FILE as MANIFEST
from snl_edge.runtime.manifest import ProductReference, Spread
from snl_edge.runtime.manifest_file import read_manifest
from snl_edge.runtime.verdict import find_blobs
from snl_edge.service.check import check_line
from snl_edge.service.demo import demo_bundle, demo_config
from snl_edge.stream.capture.camera_settings import IgnoredRectangle, ignored_pixels
from snl_edge.stream.capture.triggers import StdinTriggers
from snl_edge.stream.config.dashboard_settings import DashboardSettings
from snl_edge.stream.config.line_config import LineConfig, read_config
from snl_edge.stream.config.settings_table import rows
from snl_edge.stream.health.health import standing_warnings
from snl_edge.stream.health.shares import Shares, SharesSettings
from snl_edge.stream.health.watchdog import Watchdog
from snl_edge.stream.journal.journal import Journal
from snl_edge.stream.outputs.actuators import GpioActuator
from snl_edge.stream.pipeline.ruling import Rules
from snl_edge.stream.sources import open_source, plugin
from snl_edge.stream.sources.base import EndOfPictures
from snl_edge.stream.sources.genicam import to_bgr
from snl_edge.stream.sources.gstreamer import CsiSettings, GStreamerSettings
from snl_edge.stream.sources.opencv import OpenCvSource
from snl_edge.stream.sources.rtsp import RtspSettings, _with_credentials
from snl_edge.stream.sources.synthetic import SyntheticSettings, SyntheticSource, draw_parts
from snl_edge.stream.sources.v4l2 import V4l2Settings
from snl_edge.stream.sources.video import VideoSettings
from snl_edge.stream.timing import DueList
from studies.small_bundle import write_small_bundle

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_bundle(tmp_path_factory.mktemp("bundles") / "small", 64).path


def test_synthetic_source_is_the_same_for_the_same_seed_and_keeps_its_rate() -> None:
    def shown(**changes: object) -> list[np.ndarray]:
        settings = {"size": 64, "pictures": 4, "count": 6, "products": ("gear", "wood"), **changes}
        source = SyntheticSource(SyntheticSettings.model_validate(settings))
        source.open()
        found = [source.read() for _ in range(6)]
        with pytest.raises(EndOfPictures):
            source.read()
        return found

    one, same, other = shown(), shown(), shown(seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    begun = time.monotonic()
    shown(rate=50.0)
    assert time.monotonic() - begun >= 5 / 50
    with pytest.raises(ValueError, match="there is no anvil"):
        SyntheticSettings(products=("anvil",))


def test_video_file_is_read_to_its_end_or_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "parts.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for level in (50, 100, 150):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    source = open_source(VideoSettings(path=path))
    source.open()
    levels = [int(np.asarray(source.read()).mean().round(-1)) for _ in range(3)]
    assert levels == [50, 100, 150]
    with pytest.raises(EndOfPictures):
        source.read()
    source.close()
    again = open_source(VideoSettings(path=path, repeat=True))
    again.open()
    assert [int(np.asarray(again.read()).mean().round(-1)) for _ in range(4)][3] == 50
    again.close()
    with pytest.raises(CameraError, match="cannot open video"):
        open_source(VideoSettings(path=tmp_path / "none.avi")).open()


def test_a_camera_that_is_not_there_says_what_to_check() -> None:
    with pytest.raises(CameraError, match=r"cannot open camera /dev/video97.*v4l2-ctl"):
        open_source(V4l2Settings(device="/dev/video97")).open()


def test_a_camera_that_waits_for_its_trigger_is_not_taken_for_gone(monkeypatch) -> None:
    """OpenCV says "no picture" for both; only a read that has waited means that none was triggered."""

    class Capture:
        waits = 1.5

        def isOpened(self) -> bool:  # noqa: N802
            return True

        def read(self) -> tuple[bool, None]:
            clock[0] += self.waits
            return False, None

        def release(self) -> None:
            pass

    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    capture = Capture()
    source = OpenCvSource("camera", lambda: capture, live=True, remedy="look")  # pyright: ignore[reportArgumentType]
    source.open()
    assert source.read() is None
    capture.waits = 0.01
    with pytest.raises(CameraError, match="gives no picture"):
        source.read()


def test_gstreamer_and_csi_need_an_opencv_with_gstreamer() -> None:
    csi = CsiSettings(sensor=1, exposure_us=800, gain=2)
    assert csi.pipeline.startswith(
        'nvarguscamerasrc sensor-id=1 aelock=true awblock=true exposuretimerange="800000 800000"'
    )
    assert csi.pipeline.endswith("appsink drop=true max-buffers=1 sync=false")
    with pytest.raises(ValueError, match="must end in an appsink"):
        GStreamerSettings(pipeline="videotestsrc ! fakesink")
    built_with = next(line for line in cv2.getBuildInformation().splitlines() if "GStreamer:" in line)
    if "YES" in built_with:
        pytest.skip("this OpenCV has GStreamer")
    for settings in (csi, GStreamerSettings(pipeline="videotestsrc ! appsink")):
        with pytest.raises(CameraError, match="this OpenCV has no GStreamer"):
            open_source(settings).open()


def test_rtsp_password_comes_from_elsewhere_and_is_escaped(monkeypatch) -> None:
    monkeypatch.setenv("CAMERA", "p@ss/word")
    settings = RtspSettings.model_validate({"url": "rtsp://cam:554/s", "user": "me", "password": {"env": "CAMERA"}})
    assert _with_credentials(settings) == "rtsp://me:p%40ss%2Fword@cam:554/s"
    assert "p@ss" not in settings.model_dump_json()
    with pytest.raises(ValueError, match="by themselves"):
        RtspSettings(url="rtsp://me:secret@cam/s")


@pytest.mark.parametrize("name", ["Mono8", "RGB8", "BGR8", "BayerRG8"])
def test_genicam_buffers_become_pictures_of_their_own(name: str) -> None:
    colour = np.full((8, 6, 3), (200, 100, 50), np.uint8)  # RGB
    if name == "BayerRG8":
        flat = np.empty((8, 6), np.uint8)
        flat[::2, ::2], flat[::2, 1::2], flat[1::2, ::2], flat[1::2, 1::2] = 200, 100, 100, 50
    else:
        flat = {"Mono8": colour[..., 0], "RGB8": colour, "BGR8": colour[..., ::-1]}[name].copy()
    found = to_bgr(flat.reshape(-1), name, 8, 6)
    assert found.shape == (8, 6, 3)
    assert found[4, 3].tolist() == ([200, 200, 200] if name == "Mono8" else [50, 100, 200])
    assert not np.shares_memory(found, flat)
    with pytest.raises(CameraError, match="sends Mono12"):
        to_bgr(flat.reshape(-1), "Mono12", 8, 6)


def test_interval_trigger_and_triggers_on_standard_input(small: Path, tmp_path: Path, monkeypatch) -> None:
    write_parts(tmp_path / "parts", 4)
    camera = {"trigger": {"type": "interval", "seconds": 0.05}}
    found = records(run_to_end(line_config(small, tmp_path, camera=camera)))
    assert sum(record.verdict == "good" for record in found) == 4
    assert all(record.reason == "camera" for record in found if record.verdict != "good")  # after the last picture
    heard, complaints = [], []
    lines = '{"camera": "right", "part": "A1", "encoder": 7}\n\n{"camera": "nobody"}\n[1]\n{"speed": 1}\nnot json\n'
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    fires = {name: lambda part, encoder, name=name: heard.append((name, part, encoder)) for name in ("left", "right")}
    StdinTriggers(fires, complaints.append).run()
    assert heard == [("right", "A1", 7), ("left", None, None)]
    assert len(complaints) == 4


def test_a_trigger_by_http_needs_the_token_and_carries_part_and_encoder(small: Path, tmp_path: Path) -> None:
    write_parts(tmp_path / "parts", 2)
    (tmp_path / "token").write_text("0123456789abcdef")
    config = line_config(small, tmp_path, camera={"trigger": {"type": "software"}})
    settings = DashboardSettings(port=0, token_file=tmp_path / "token")  # pyright: ignore[reportCallIssue]

    def post(server: DashboardServer, body: dict, **headers: str) -> tuple[int, dict]:
        request = urllib.request.Request(
            f"{server.url}/api/trigger", json.dumps(body).encode(), {"Content-Type": "application/json", **headers}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, {}

    with running(config) as line, DashboardServer(line, line.journal, settings, line.metrics.registry) as server:
        wait_for(lambda: light(line, "camera camera") == "ok")
        part = {"camera": "camera", "part": "A17", "encoder": 4711}
        assert post(server, part)[0] == 401
        bearer = {"Authorization": "Bearer 0123456789abcdef"}
        assert post(server, part, **bearer) == (200, {"camera": "camera", "sequence": 0})
        assert post(server, {**part, "camera": "other"}, **bearer)[0] == 400
        assert post(server, {**part, "speed": 1}, **bearer)[0] == 422
        wait_for(lambda: line.recorder.committed == 1)
        assert [(record.part, record.encoder) for record in records(line)] == [("A17", 4711)]


def test_due_list_calls_back_on_time_for_what_has_not_settled() -> None:
    settled, expired = set(), []

    def call_back(item: int) -> None:
        expired.append((item, time.monotonic()))
        if item == 1:
            raise RuntimeError("the others are still called back for")

    due = DueList(0.05, lambda item: item in settled, call_back)
    thread = threading.Thread(target=due.run)
    thread.start()
    start = time.monotonic()
    for item in range(5):
        due.add(item, start)
    settled.update({0, 3})
    wait_for(lambda: len(expired) == 3)
    assert [item for item, _ in expired] == [1, 2, 4]
    assert all(0.05 <= when - start < 0.5 for _, when in expired)
    due.close()
    thread.join(5)
    assert not thread.is_alive()


def test_blobs_are_the_regions_above_the_threshold_and_ignored_pixels_do_not_count(tmp_path: Path) -> None:
    heat = np.zeros((10, 20), np.float32)
    heat[1:3, 2:6], heat[7, 15] = 0.6, 0.9
    first, second = find_blobs(heat, 0.5)
    assert (first.x, first.y, first.width, first.height, first.peak) == (
        15 / 20,
        7 / 10,
        1 / 20,
        1 / 10,
        pytest.approx(0.9),
    )
    assert second.area == 8 / 200
    mask = np.zeros((40, 80), np.uint8)
    mask[20, :] = 255  # a thin line must survive shrinking
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    found = ignored_pixels(tmp_path / "mask.png", (IgnoredRectangle(x=0, y=0, width=0.1, height=0.1),), (10, 20))
    assert found is not None
    assert found[5].all()
    assert found[0, :2].all()
    assert found.sum() == 22
    with pytest.raises(ConfigError, match="covers the whole picture"):
        ignored_pixels(None, (IgnoredRectangle(x=0, y=0, width=1, height=1),), (10, 20))


def test_drift_is_seen_against_the_reference_in_the_bundle(small: Path, tmp_path: Path) -> None:
    write_parts(tmp_path / "parts", 30)
    drift = {"window": 20, "focus_every": 1}
    seen = {}
    for name, brightness in (("as trained", 120.0), ("darker", 180.0)):
        spread = {"brightness": Spread(mean=brightness, std=2.0)}
        bundle = write_small_bundle(tmp_path / name, 64)
        reference = ProductReference(images=20, features=spread)  # pyright: ignore[reportArgumentType]
        edit_manifest(bundle.path, reference={"gear": reference.model_dump()})
        camera = {"source": {"type": "folder", "path": tmp_path / "parts"}}
        with running(line_config(bundle.path, tmp_path / f"{name} line", camera=camera, drift=drift)) as line:
            wait_for(lambda line=line: line.ended)
            seen[name] = next(check for check in line.status().checks if check.name == "drift gear")
    assert seen["as trained"].light == "ok"
    assert seen["darker"].light == "warning"
    assert "brightness is 120, in training 180" in seen["darker"].text


def test_one_light_for_parts_that_were_not_judged_as_they_should_be() -> None:
    """Shares of the last parts of each camera, by kind; few parts count as a hundred, a pause as none."""
    shares = Shares(SharesSettings(window=200))

    def after(count: int, **changes: object) -> tuple[str, str]:
        for _ in range(count):
            shares.take(record(0, **{"camera": "top", "verdict": "good", "reason": None, **changes}))
        check = shares.check()
        return check.light, check.text

    failsafe = {"verdict": "failsafe", "product": None, "score": None}
    assert after(50)[0] == "ok"
    assert after(50, **failsafe, reason="paused")[0] == "ok"
    assert after(1, **failsafe, reason="camera") == (
        "warning",
        "1 of the last 51 parts of camera top got the fail-safe verdict, most for 'camera'",
    )
    assert after(4, **failsafe, reason="deadline")[0] == "failed"
    assert "verdict, most for 'deadline' (and 1 more)" in after(1, **failsafe, reason="deadline")[1]
    assert "(and 2 more)" in after(4, camera="side", verdict="unknown", reason="mismatch", product=None)[1]
    assert after(200)[0] == "warning"  # the other camera's wrong parts are still there
    assert "4 of the last 4 parts of camera side are not the camera's product" in shares.check().text
    assert after(200, camera="side")[0] == "ok"
    assert after(4, verdict="unknown", product=None) == (
        "warning",
        "4 of the last 200 parts of camera top are of no learned product: wrong parts, or another recipe",
    )
    with pytest.raises(ValidationError, match="finite number"):
        LineConfig.model_validate({"bundle": "b", "cameras": [], "deadline_ms": float("inf")})
    with pytest.raises(ValidationError, match="not above failed"):
        SharesSettings.model_validate({"late": {"warning": 0.2, "failed": 0.1}})


def test_training_leaves_the_reference_in_the_bundle(bundle: Path) -> None:
    manifest = Bundle.open(bundle).manifest
    assert manifest.reference is not None
    assert set(manifest.reference) == set(manifest.products)
    for reference in manifest.reference.values():
        assert set(reference.features) == {"score", "product_distance", "brightness", "focus"}
        assert 0 < reference.features["brightness"].mean < 255


def test_heartbeat_reaches_systemds_socket_only_while_the_line_is_well(tmp_path: Path, monkeypatch) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        receiver.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        monkeypatch.setenv("WATCHDOG_USEC", "20000")
        faults: list[str | None] = [None]
        watchdog = Watchdog(lambda: faults[0], lambda: "running")
        watchdog.start()
        assert receiver.recv(200) == b"READY=1"
        assert receiver.recv(200) == b"STATUS=running\nWATCHDOG=1"
        faults[0] = "engine 0 hangs"
        wait_for(lambda: receiver.recv(200) == b"STATUS=engine 0 hangs")
        watchdog.stop()
        wait_for(lambda: receiver.recv(200) == b"STOPPING=1")
        watchdog.join(5)


def test_metrics_count_what_the_journal_holds(small: Path, tmp_path: Path) -> None:
    write_parts(tmp_path / "parts", 12, spots=(4,))
    line = run_to_end(line_config(small, tmp_path, sinks=[{"type": "jsonlines", "folder": str(tmp_path / "sink")}]))
    text = generate_latest(line.metrics.registry).decode()
    for expected in (
        'snl_edge_parts_total{camera="camera",verdict="good"} 11.0',
        'snl_edge_parts_total{camera="camera",verdict="reject"} 1.0',
        'snl_edge_parts_total{camera="camera",verdict="failsafe"} 0.0',
        'snl_edge_latency_seconds_count{camera="camera"} 12.0',
        'snl_edge_stage_seconds_count{stage="inference"} 12.0',
        'snl_edge_pictures_total{camera="camera"} 12.0',
        "snl_edge_dropped_total 0.0",
        'snl_edge_score{product="gear",quantile="0.5"}',
        'snl_edge_sink_backlog{sink="jsonlines"}',
    ):
        assert expected in text, expected
    assert len((tmp_path / "sink" / "verdicts.jsonl").read_text().splitlines()) == 12


def test_every_setting_is_explained_and_the_examples_are_valid() -> None:
    found = list(rows(LineConfig))
    assert [name for name, _, _, meaning in found if not meaning] == []
    names = [name for name, *_ in found]
    assert len(set(names)) == len(names)
    examples = sorted((ROOT / "examples" / "lines").glob("*.yaml"))
    assert len(examples) >= 4
    for example in examples:
        read_config(example)


def test_check_finds_what_will_not_work(small: Path, tmp_path: Path) -> None:
    write_parts(tmp_path / "parts", 1)
    good = check_line(line_config(small, tmp_path), connect=False)
    assert all(finding.works is not False for finding in good)
    bad = line_config(
        small, tmp_path, camera={"source": {"type": "folder", "path": tmp_path / "none"}, "product": "wheel"}
    )
    wrong = {finding.subject: finding.text for finding in check_line(bad, connect=False) if finding.works is False}
    assert set(wrong) == {"recipe", "camera camera picture"}
    assert "unknown product 'wheel'" in wrong["recipe"]


def test_check_finds_rejects_that_would_come_too_late_and_ports_that_are_held(small: Path, tmp_path: Path) -> None:
    write_parts(tmp_path / "parts", 1)
    ejector = {"type": "gpio", "line": 1, "travel": {"by": "time", "delay_ms": 400}, "tolerance_ms": 20}
    with socket.create_server(("127.0.0.1", 0)) as held:
        changes = {"actuators": [ejector], "dashboard": {"port": held.getsockname()[1]}}
        late = line_config(small, tmp_path, deadline_ms=421, **changes)
        wrong = {finding.subject: finding.text for finding in check_line(late, connect=False) if finding.works is False}
        assert set(wrong) == {"actuator gpio time", "dashboard port"}
        assert "set deadline_ms to 420 at most" in wrong["actuator gpio time"]
        assert "it is held" in wrong["dashboard port"]
        machines = {"dashboard": {"port": 0, "machines": {"host": "127.0.0.1", "port": held.getsockname()[1]}}}
        found = check_line(line_config(small, tmp_path, **machines), connect=False)
        assert {finding.subject for finding in found if finding.works is False} == {"dashboard for machines port"}
    in_time = line_config(small, tmp_path, deadline_ms=420, **changes)
    assert all(finding.works is not False for finding in check_line(in_time, connect=False))


@pytest.mark.parametrize(("deadline_ms", "said"), [(None, True), (121.0, True), (120.0, False)])
def test_a_running_line_says_that_rejects_may_come_too_late(small: Path, deadline_ms: float | None, said: bool) -> None:
    manifest = read_manifest(small / MANIFEST)
    ejector = GpioActuator.model_validate({"type": "gpio", "line": 1, "travel": {"by": "time", "delay_ms": 100}})
    found = standing_warnings([], Rules(), manifest, [ejector], deadline_ms)
    assert [check.name for check in found] == ["time of gpio"] * said


def test_commands_run_check_and_journal(small: Path, tmp_path: Path, snl_edge) -> None:
    write_parts(tmp_path / "parts", 3, spots=(1,))
    lines = [
        f"bundle: {small}",
        "engine: {backend: onnxruntime}",
        "cameras: [{name: camera, source: {type: folder, path: parts}}]",
        "deadline_ms: null",
        "queue: {policy: block}",
        "journal: {pictures: {min_free_gib: 0}}",
        "dashboard: {port: 0}",
    ]
    (tmp_path / "line.yaml").write_text("\n".join(lines))
    done = snl_edge("stream", "check", "line.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    done = snl_edge("stream", "run", "line.yaml")
    assert done.returncode == 0, done.stderr
    assert "2 good, 1 reject, 0 unknown, 0 failsafe" in done.stderr
    done = snl_edge("stream", "journal", "--export", "out.jsonl", "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    assert "consistent" in done.stdout
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 3
    (tmp_path / "line.yaml").write_text("bundle: 3\n")
    done = snl_edge("stream", "run", "line.yaml")
    assert done.returncode == 1
    assert done.stderr.startswith("snl-edge: line.yaml is not valid")
    assert "Traceback" not in done.stderr


WITHOUT_TORCH = """
import sys
from importlib.abc import MetaPathFinder

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "timm", "torchvision", "onnx", "onnxsim", "safetensors", "matplotlib",
                                  "openvino", "pycuda", "paho", "asyncua", "pymodbus", "gpiod", "harvesters"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())
from pathlib import Path
from snl_edge.service.demo import demo_config
from snl_edge.service.run import run_line

config = demo_config(Path(sys.argv[2]), Path(sys.argv[1]), 200.0, 0, 5)
line = run_line(config)
assert sum(line.tally.verdicts.values()) == 10, line.tally.verdicts
"""


def test_the_demo_line_runs_without_torch_and_without_any_sinks_package(small: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, str(small), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ})
    assert done.returncode == 0, done.stderr
    assert "dashboard: http://127.0.0.1" in done.stderr
    journal = Journal(tmp_path / "journal")
    assert journal.last() == 10
    journal.close()


def test_the_demo_s_parts_look_as_those_that_a_demo_s_bundle_was_trained_on(small: Path, tmp_path: Path) -> None:
    """Drawn at a model's size, they are sharper than what training brought there, and good parts are rejected."""
    bundle = Bundle.open(small)
    products = list(bundle.manifest.products)
    write_synthetic_line(tmp_path / "line", train=6, good=0, defective=0, products=products)  # as `run_demo` draws it
    source = demo_config(tmp_path, small, 2.0, 8080, None).cameras[0].source
    parts = draw_parts(SyntheticSettings(products=tuple(products), pictures=12, defective=0, size=source.size))
    trained = [read_image(path) for path in (tmp_path / "line").rglob("*.png")]
    seen, learned = ([focus(as_images(one, bundle.manifest.input)) for one in own] for own in (parts, trained))
    assert np.median(seen) == pytest.approx(np.median(learned), rel=0.2)


def test_a_demo_whose_quick_model_cannot_be_made_says_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(ConfigError, match="the quick model could not be made: `snl-edge demo --quick .*ended with 1"):
        demo_bundle(tmp_path)


def test_harvester_is_asked_for_by_name_where_it_is_missing(tmp_path: Path) -> None:
    from snl_edge.stream.sources.genicam import GenicamSettings, GenicamSource

    match = "there is no producer" if importlib.util.find_spec("harvesters") else r"snl-edge\[genicam\]"
    with pytest.raises(CameraError, match=match):
        GenicamSource(GenicamSettings(producer=tmp_path / "maker.cti")).open()


@pytest.mark.parametrize("bad", ['{"encoder": Infinity}', "[" * 50_000, '{"camera": "nobody"}'])
def test_what_is_no_trigger_ends_no_triggering_and_its_end_is_told(monkeypatch, bad: str) -> None:
    fired, complaints = [], []
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{bad}\n\n"))
    triggers = StdinTriggers({"camera": lambda part, encoder: fired.append(part)}, complaints.append)
    triggers.start()
    triggers.join(10)
    assert (fired, len(complaints)) == ([None], 1)
    assert [(check.name, check.light) for check in triggers.checks()] == [("trigger camera", "failed")]


def test_a_camera_that_triggers_itself_takes_no_part_from_outside(small: Path, tmp_path: Path) -> None:
    """Nobody would give that part a picture, and its fail-safe verdict would eject a good one."""
    (tmp_path / "parts").mkdir()
    camera = {"source": {"type": "folder", "path": tmp_path / "parts", "watch": True}}
    with running(line_config(small, tmp_path, camera=camera)) as line:
        with pytest.raises(ConfigError, match="camera camera is not triggered from outside"):
            line.trigger("camera", "A17", None)
        assert not line.parts.opened


MODBUS = {"type": "modbus", "host": "plc", "coil": 7}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"actuators": [{**MODBUS, "cameras": ["Camera"]}]}, "for camera Camera, which there is not"),
        ({"actuators": [{**MODBUS, "cameras": []}]}, "is for no camera"),
        ({"actuators": [MODBUS, {**MODBUS, "name": "b"}]}, "write to the same coil"),
        (
            {"actuators": [{**MODBUS, "coil": None, "register": 3}, {**MODBUS, "name": "b", "heartbeat_register": 3}]},
            "same register",
        ),
        (
            {"sinks": [{"type": "jsonlines", "folder": "a"}, {"type": "jsonlines", "folder": "./a", "name": "b"}]},
            "same folder",
        ),
        ({"sinks": [{"type": "pictures", "folder": "journal/pictures/copies"}]}, "among the journal's own pictures"),
        (
            {
                "sinks": [
                    {"type": "mqtt", "host": "h", "name": name, "sparkplug": {"group": "p", "node": "n"}}
                    for name in "ab"
                ]
            },
            "same Sparkplug node",
        ),
    ],
)
def test_what_would_undo_anothers_work_or_never_move_is_refused(tmp_path: Path, changes: dict, says: str) -> None:
    line = {"bundle": "b", "cameras": [{"name": "camera", "source": {"type": "synthetic"}}], **changes}
    (tmp_path / "line.yaml").write_text(yaml.safe_dump(line))
    with pytest.raises(ConfigError, match=says):
        read_config(tmp_path / "line.yaml")


def test_a_plug_in_that_exits_fails_as_a_camera_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """`sys.exit` would end the camera's thread, and nobody would be told."""

    class Asked(BaseModel):
        pass

    class Exiting:
        live, colour, video, received = True, "rgb", False, None

        def open(self) -> None: ...

        def read(self) -> None:
            sys.exit(5)

        def close(self) -> None: ...

    offered = {"exits": lambda _: Exiting(), "fails": lambda _: 1 / 0, "gives nothing": lambda _: None}
    settings = plugin.PluginSettings.model_construct(type="plugin", plugin="acme", settings={})
    for kind, build in offered.items():
        monkeypatch.setattr(plugin, "_plugin", lambda _, b=build: plugin.SourcePlugin(Asked, b))
        if kind == "exits":
            with pytest.raises(CameraError, match=r"acme tried to end the line \(SystemExit\)"):
                plugin.PluginSource(settings).read()
        else:
            with pytest.raises(ConfigError, match="the source acme cannot be made"):
                plugin.PluginSource(settings)
