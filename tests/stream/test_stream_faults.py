"""What a line does when a part of it fails: real folders, disks, processes, journals; counts prove nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import yaml
from journals import fill, new_journal
from lines import light, line_config, picture, records, run_to_end, running, wait_for, write_parts, write_picture
from resealed import edit_manifest

from snl_edge.errors import ConfigError, DataError, EngineError, OutputError
from snl_edge.image import focus
from snl_edge.stream.capture.camera_settings import PictureChecks
from snl_edge.stream.capture.prepare import PictureFaults
from snl_edge.stream.config.line_config import read_config
from snl_edge.stream.health.metrics import Metrics
from snl_edge.stream.journal.journal import Journal
from snl_edge.stream.journal.journal_settings import PictureSettings
from snl_edge.stream.journal.kept_files import kept_files
from snl_edge.stream.journal.kept_pictures import Pictures
from snl_edge.stream.journal.schema import FILE
from snl_edge.stream.journal.soundness import check_journal
from snl_edge.stream.line import RunningLine
from snl_edge.stream.pipeline.inference import Engine
from snl_edge.stream.pipeline.recipe import EngineSettings
from snl_edge.stream.report.export import export_journal
from snl_edge.stream.report.period import Period
from snl_edge.stream.report.shift_report import read_report
from snl_edge.stream.sources import open_source
from snl_edge.stream.sources.arrival import Arrivals
from snl_edge.stream.sources.folder import FolderSource
from snl_edge.stream.sources.gstreamer import GStreamerSettings
from snl_edge.stream.sources.opencv import OpenCvSource
from snl_edge.stream.timing import Clock
from studies.small_bundle import write_small_bundle

SOFTWARE = {"trigger": {"type": "software"}}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_bundle(tmp_path_factory.mktemp("bundles") / "small", 64).path


def watched(tmp_path: Path, **camera: object) -> dict:
    source = {"type": "folder", "path": tmp_path / "parts", "watch": True, "poll_s": 0.02}
    return {"source": source, "reconnect": {"first_s": 0.05, "most_s": 0.1}, **camera}


def test_a_watched_folder_goes_on_where_it_was(bundle: Path, tmp_path: Path) -> None:
    """Old parts are not judged again at a start; a file of the same name with other content is another part."""
    config = line_config(bundle, tmp_path, camera=watched(tmp_path))
    write_parts(tmp_path / "parts", 3, spots=(1,))
    with running(config) as line:
        wait_for(lambda: line.recorder.committed == 3)
    assert all(record.shadow for record in records(line))  # they were there before the line: nothing moves for them
    with running(config) as line:
        wait_for(lambda: light(line, "camera camera") == "ok")
        time.sleep(0.1)
        write_picture(tmp_path / "parts", "00001", picture(1))
        write_picture(tmp_path / "parts", "00003", picture(3, spot=True))
        wait_for(lambda: line.recorder.committed == 2)
        time.sleep(0.1)
        assert line.recorder.committed == 2
    found = sorted(records(line), key=lambda record: record.captured)
    assert not any(record.shadow for record in found[3:])
    assert [(record.file, record.verdict) for record in found] == [
        ("00000.png", "good"),
        ("00001.png", "reject"),
        ("00002.png", "good"),
        ("00001.png", "good"),
        ("00003.png", "reject"),
    ]
    write_parts(tmp_path / "once", 1)
    once = {"source": {"type": "folder", "path": tmp_path / "once"}}
    (record,) = records(run_to_end(line_config(bundle, tmp_path / "other", camera=once)))
    assert record.file == "00000.png"


def test_a_file_that_is_still_being_written_is_no_corrupt_part(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    content = write_picture(tmp_path / "aside", "whole", picture(0)).read_bytes()
    folder.mkdir()
    camera = watched(tmp_path)
    camera["source"]["settle_s"] = 0.6
    with running(line_config(bundle, tmp_path, camera=camera)) as line:
        with (folder / "slow.png").open("wb") as file:
            for start in range(0, len(content), len(content) // 4 + 1):
                file.write(content[start : start + len(content) // 4 + 1])
                file.flush()
                time.sleep(0.15)  # longer than two looks
        wait_for(lambda: line.recorder.committed == 1)
        (folder / "cut.png").write_bytes(content[:-40])
        wait_for(lambda: line.recorder.committed == 2)
        (folder / "cut.png").write_bytes(content)
        wait_for(lambda: line.recorder.committed == 3)
    found = [(record.file, record.verdict, record.reason) for record in records(line)]
    assert found == [
        ("slow.png", "good", None),
        ("cut.png", "failsafe", "corrupt"),
        ("cut.png", "good", None),
    ]


def test_camera_gone_and_back(bundle: Path, tmp_path: Path) -> None:
    write_parts(tmp_path / "parts", 2)
    with running(line_config(bundle, tmp_path, camera=watched(tmp_path, **SOFTWARE))) as line:
        wait_for(lambda: light(line, "camera camera") == "ok")
        line.trigger("camera", "before", None)
        wait_for(lambda: line.recorder.committed == 1)
        (tmp_path / "parts").rename(tmp_path / "away")
        line.trigger("camera", "last of what was read before", None)
        line.trigger("camera", "gone", None)
        wait_for(lambda: light(line, "camera camera") == "failed")
        line.trigger("camera", "still gone", None)
        wait_for(lambda: line.recorder.committed == 4)
        (tmp_path / "away").rename(tmp_path / "parts")
        write_picture(tmp_path / "parts", "10000", picture(7))
        wait_for(lambda: light(line, "camera camera") == "ok")
        line.trigger("camera", "back", None)
        wait_for(lambda: line.recorder.committed == 5)
    verdicts = [
        (record.part, record.verdict, record.reason) for record in sorted(records(line), key=lambda r: r.sequence)
    ]
    assert verdicts[0] == ("before", "good", None)
    assert verdicts[2] == ("gone", "failsafe", "camera")
    assert verdicts[3] == ("still gone", "failsafe", "camera")
    assert verdicts[4] == ("back", "good", None)


def test_a_driver_that_fails_as_it_is_closed_does_not_cost_the_camera(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = FolderSource.close
    closed = []

    def failing(source: FolderSource) -> None:
        close(source)
        closed.append(source)
        raise RuntimeError("the device has gone")

    monkeypatch.setattr(FolderSource, "close", failing)
    with running(line_config(bundle, tmp_path, camera=watched(tmp_path))) as line:
        wait_for(lambda: closed)  # there is no folder yet: it was opened in vain
        write_parts(tmp_path / "parts", 1)
        wait_for(lambda: line.recorder.committed == 1)
        assert light(line, "camera camera") == "ok"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_watchdog_hears_of_a_camera_whose_thread_has_ended(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "parts").mkdir()
    with running(line_config(bundle, tmp_path, camera=watched(tmp_path))) as line:
        assert line._health.fault() is None

        def ended(_: FolderSource) -> None:
            raise SystemExit  # what no handler of errors takes

        monkeypatch.setattr(FolderSource, "read", ended)
        wait_for(lambda: line._health.fault() == "thread camera camera has ended")
        assert light(line, "camera camera") == "failed"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_watchdog_hears_of_a_trigger_that_has_ended(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    each = watched(tmp_path, trigger={"type": "interval", "seconds": 0.05})
    with running(line_config(bundle, tmp_path, camera=each)) as line:
        assert line._health.fault() is None

        def broken() -> None:
            raise OSError("the input is gone")

        line.cameras["camera"]._firing._fire = broken  # pyright: ignore[reportAttributeAccessIssue,reportOptionalMemberAccess]
        wait_for(lambda: line._health.fault() == "thread camera camera has ended")
        assert light(line, "camera camera") == "failed"


def test_a_region_beyond_the_picture_is_told_and_the_camera_is_not_opened_anew(bundle: Path, tmp_path: Path) -> None:
    write_parts(tmp_path / "parts", 3)
    region = {"x": 32, "y": 0, "width": 64, "height": 64}
    with running(line_config(bundle, tmp_path, camera=watched(tmp_path, region=region))) as line:
        wait_for(lambda: line.recorder.committed == 3)
        (told,) = [check for check in line.status().checks if check.name == "camera camera"]
        assert told.light == "failed"
        assert "reaches beyond the picture" in told.text
    assert {(record.verdict, record.reason) for record in records(line)} == {("failsafe", "size")}


@pytest.mark.parametrize(
    ("reason", "bad"),
    [
        ("black", lambda: np.zeros((64, 64, 3), np.uint8)),
        ("frozen", lambda: picture(1)),
        ("size", lambda: np.full((48, 64, 3), 120, np.uint8)),
        ("corrupt", lambda: b"no picture at all"),
    ],
)
def test_pictures_that_cannot_be_judged(bundle: Path, tmp_path: Path, reason: str, bad) -> None:
    """The part gets the fail-safe verdict with the reason, the health page shows it, and the next part is judged."""
    parts = tmp_path / "parts"
    write_parts(parts, 2)
    with running(line_config(bundle, tmp_path, camera=watched(tmp_path, checks={"frozen_after": 2}))) as line:
        wait_for(lambda: line.recorder.committed == 2)
        content = bad()
        if isinstance(content, bytes):
            (parts / ".x").write_bytes(content)
            (parts / ".x").rename(parts / "00010.png")
        else:
            write_picture(parts, "00010", content)
        wait_for(lambda: line.recorder.committed == 3)
        assert light(line, "camera camera") == "failed"
        write_picture(parts, "00011", picture(11))
        wait_for(lambda: line.recorder.committed == 4)
        assert light(line, "camera camera") == "ok"
    found = sorted(records(line), key=lambda record: record.sequence)
    assert [record.reason for record in found] == [None, None, reason, None]
    assert (found[2].verdict, found[2].action, found[2].score) == ("failsafe", "reject", None)


def _compressed(path: Path, moving: int, repeated: int) -> None:
    """A stream with a group of pictures: a textured part that moves in front of a noisy sensor, then hangs."""
    rng = np.random.default_rng(0)
    texture = cv2.resize(rng.integers(60, 180, (32, 32, 3)).astype(np.uint8), (128, 128), interpolation=cv2.INTER_CUBIC)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp2v"), 25, (128, 128))
    assert writer.isOpened()
    for number in range(moving):
        shown = np.clip(texture + rng.normal(0, 8, texture.shape), 0, 255).astype(np.uint8)
        left = 8 + number * 14 % 96
        shown[60:76, left : left + 16] = 40
        writer.write(shown)
    for _ in range(repeated):
        writer.write(shown)  # pyright: ignore[reportPossiblyUnboundVariable]
    writer.release()


@pytest.mark.parametrize("graph_resizes", [False, True])
def test_a_lens_that_is_dirty_or_covered_is_a_fault_of_its_own(tmp_path: Path, graph_resizes: bool) -> None:
    sharp = picture(0)
    bundle = write_small_bundle(tmp_path / "small", 64)
    features = {"focus": {"mean": focus(sharp), "std": 1.0}}
    said = bundle.manifest.model_dump()
    reference = {product: {"images": 50, "features": features} for product in said["products"]}
    if graph_resizes:  # then the focus of some parts alone is measured
        said["input"]["frame"] = {"height": 64, "width": 64, "colours": "bgr"}
    edit_manifest(bundle.path, reference=reference, input=said["input"])
    with running(line_config(bundle.path, tmp_path, camera=watched(tmp_path), drift={"focus_every": 2})) as line:
        for number in range(6):
            shown = cv2.GaussianBlur(picture(number), (0, 0), 2) if number in (2, 3) else picture(number)
            write_picture(tmp_path / "parts", f"{number}", shown)
            wait_for(lambda number=number: line.recorder.committed == number + 1)
            assert light(line, "camera camera") == ("failed" if number in (2, 3) else "ok")
        found = [(record.verdict, record.reason) for record in records(line)]
    assert found == [("good", None)] * 2 + [("failsafe", "blurred")] * 2 + [("good", None)] * 2


def test_a_frozen_camera_is_seen_through_compression(bundle: Path, tmp_path: Path) -> None:
    """A repeated picture differs by its place in the group of pictures; a part that moves before noise does not count
    as one."""
    _compressed(tmp_path / "hung.avi", 12, 28)

    def reasons(folder: str, checks: dict) -> tuple[list[str | None], str]:
        camera = {"source": {"type": "video", "path": tmp_path / "hung.avi"}, "checks": checks}
        with running(line_config(bundle, tmp_path / folder, camera=camera)) as line:
            wait_for(lambda: line.ended)
            found = {check.name: check.light for check in line.status().checks}
        in_order = sorted(records(line), key=lambda record: record.sequence)
        return [record.reason for record in in_order], found.get("frozen camera", "ok")

    found, told = reasons("fields", {})
    assert len(found) == 40
    assert found[:12] == [None] * 12
    assert found[16:] == ["frozen"] * 24
    assert told == "ok"
    found, told = reasons("bytes", {"frozen_within": 0})
    assert None in found[16:]  # what it is about: bytes do not tell
    assert told == "warning"
    found, told = reasons("off", {"frozen_after": None})
    assert found == [None] * 40
    assert told == "warning"


def test_a_coarse_key_picture_does_not_let_a_frozen_camera_go() -> None:
    """Frozen at three in a row; then it takes twice the change to count as live, and a slow one counts, too."""
    faults = PictureFaults(PictureChecks(), video=True)
    levels = [100, 100, 100, 107, 100, 109, 109, 109, 112, 115, 118, 121]
    found = [faults.of_input(np.full((70, 90, 3), level, np.uint8), 100.0) for level in levels]
    assert found == [None, None, *["frozen"] * 3, None, None, *["frozen"] * 3, None, None]
    faults = PictureFaults(PictureChecks(), video=True)
    drifting = [faults.of_input(np.full((64, 64, 3), level, np.uint8), 100.0) for level in range(100, 160, 3)]
    assert drifting == [None] * 20


@pytest.mark.parametrize(
    ("pipeline", "video"),
    [
        ("rtspsrc location=x ! rtph264depay ! h264parse ! nvv4l2decoder ! nvvidconv ! appsink", True),
        ("uridecodebin uri=x ! videoconvert ! appsink", True),
        ("v4l2src ! image/jpeg ! jpegdec ! videoconvert ! appsink", False),
        ("v4l2src ! avdec_mjpeg ! appsink", False),
        ("videotestsrc ! video/x-raw,format=BGR ! appsink", False),
    ],
)
def test_pipelines_that_decode_video_are_known(pipeline: str, video: bool) -> None:
    assert open_source(GStreamerSettings(pipeline=pipeline)).video == video


@pytest.mark.parametrize(("delay_ms", "answer"), [(0, 1), (70, 2)])
def test_a_trigger_is_not_answered_by_a_picture_from_before_it(
    bundle: Path, tmp_path: Path, delay_ms: float, answer: int
) -> None:
    """The trigger comes between a picture's arrival and its use: the part gets the next picture, or a later one."""
    source = {"type": "synthetic", "rate": 20, "pictures": 4, "size": 64}
    with running(line_config(bundle, tmp_path, camera={"source": source, "delay_ms": delay_ms, **SOFTWARE})) as line:
        wait_for(lambda: light(line, "camera camera") == "ok")
        camera = line.cameras["camera"]
        read, hand_over = camera._source.read, camera._hand_over
        shown: list[np.ndarray] = []
        used: list[np.ndarray] = []

        def read_and_trigger() -> np.ndarray:
            picture = read()
            shown.append(picture)
            if len(shown) == 1:
                line.trigger("camera", "A", None)
            return picture

        camera._hand_over = lambda part, picture: (used.append(picture), hand_over(part, picture))
        camera._source.read = read_and_trigger
        wait_for(lambda: line.recorder.committed == 1)
    assert used[0] is shown[answer]
    (record,) = records(line)
    assert record.part == "A"
    assert record.reason is None
    assert 0 < record.picture_age_ms < record.latency_ms  # pyright: ignore[reportOptionalOperand]


def test_a_picture_that_waited_in_a_buffer_keeps_the_time_it_came() -> None:
    """By the camera's time stamps; a clock that drifts, stands still or begins again makes no picture seem old."""
    arrivals = Arrivals()
    on_time = [arrivals.of(7.0 + number / 25, 100 + number / 25) for number in range(25)]
    assert on_time == pytest.approx([100 + number / 25 for number in range(25)])
    late = [arrivals.of(8.0 + number / 25, 101.5 + number / 250) for number in range(8)]  # after half a second's stall
    assert late == pytest.approx([101 + number / 25 for number in range(8)])
    assert arrivals.of(8.28, 102.0) == 102.0
    assert arrivals.of(None, 103.0) == 103.0
    assert arrivals.of(0.04, 104.0) == 104.0
    slow = [(read, arrivals.of(0.1 + read * 0.999, 104 + read)) for read in np.arange(0, 60, 0.04)]
    assert max(104 + read - received for read, received in slow) < 0.0101


def test_a_backlog_of_a_camera_is_told_from_what_comes_now() -> None:
    class Buffered:
        """Stands for a stream that FFmpeg reads: pictures wait in the socket while nobody reads."""

        def __init__(self) -> None:
            self.begun = time.monotonic()
            self.number = 0

        def isOpened(self) -> bool:  # noqa: N802
            return True

        def read(self) -> tuple[bool, np.ndarray]:
            self.number += 1
            time.sleep(max(0.0, self.begun + self.number * 0.02 - time.monotonic()))
            return True, picture(self.number)

        def get(self, prop: int) -> float:
            return 20.0 * self.number

        def release(self) -> None:
            pass

    source = OpenCvSource("camera", Buffered, live=True, remedy="", stamped=True)  # pyright: ignore[reportArgumentType]
    source.open()
    for _ in range(5):
        source.read()
    paused = time.monotonic()
    time.sleep(0.3)
    triggered = time.monotonic()
    came = (triggered - paused) / 0.02  # pictures meanwhile, however long the machine took
    stale = 0
    while source.read() is not None and (source.received or 0.0) < triggered:
        stale += 1
    assert abs(stale - came) <= 3
    assert time.monotonic() - triggered < triggered - paused


def test_a_part_without_a_picture_gets_its_verdict_at_the_deadline(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    config = line_config(
        bundle, tmp_path, camera=watched(tmp_path, **SOFTWARE), deadline_ms=80, rules={"failsafe": "hold"}
    )
    with running(config) as line:
        wait_for(lambda: light(line, "camera camera") == "ok")
        line.trigger("camera", "late", None)
        wait_for(lambda: line.recorder.committed == 1)
        record = records(line)[0]
        assert (record.verdict, record.reason, record.action) == ("failsafe", "deadline", "hold")
        assert 80 <= record.latency_ms < 1000
        assert line.status().deadline_missed == 1


def test_a_result_after_the_deadline_makes_no_second_record(bundle: Path, tmp_path: Path, monkeypatch) -> None:
    write_parts(tmp_path / "parts", 1)
    with running(line_config(bundle, tmp_path, camera=SOFTWARE, deadline_ms=50)) as line:
        wait_for(lambda: light(line, "camera camera") == "ok")
        detector = line.state.recipe.detectors[0]
        inspect = detector.inspect
        monkeypatch.setattr(detector, "inspect", lambda *arguments: (time.sleep(0.2), inspect(*arguments))[1])
        line.trigger("camera", None, None)
        wait_for(lambda: line.parts.late == 1)
    assert [record.reason for record in records(line)] == ["deadline"]


def test_a_failing_engine_rejects_and_is_loaded_anew(bundle: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "parts").mkdir()
    with running(line_config(bundle, tmp_path, camera=watched(tmp_path))) as line:
        backend = line.state.recipe.detectors[0].backend

        def fail(images):
            raise EngineError("the engine failed", "the GPU fell off the bus")

        monkeypatch.setattr(backend, "infer", fail)
        write_picture(tmp_path / "parts", "0", picture(0))
        wait_for(lambda: line.recorder.committed == 1)
        assert light(line, "engine") == "failed"
        write_picture(tmp_path / "parts", "1", picture(1))
        wait_for(lambda: line.recorder.committed == 2)
        time.sleep(0.6)  # the first pause before it is loaded again
        write_picture(tmp_path / "parts", "2", picture(2))
        wait_for(lambda: line.recorder.committed == 3)
        assert line.state.recipe.detectors[0].backend is not backend
        assert light(line, "engine") == "ok"
    assert [record.reason for record in records(line)] == ["engine", "engine", None]


def test_one_picture_without_a_finite_score_costs_only_itself(bundle: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "parts").mkdir()
    with running(line_config(bundle, tmp_path, camera=watched(tmp_path))) as line:
        backend = line.state.recipe.detectors[0].backend
        run, spoiled = backend.run, [1, 3, 4]

        def now_and_then(images):
            scores = run(images)
            if line.recorder.committed in spoiled:
                scores.score[0] = np.nan
            return scores

        monkeypatch.setattr(backend, "run", now_and_then)
        for number in range(5):
            write_picture(tmp_path / "parts", str(number), picture(number))
            wait_for(lambda number=number: line.recorder.committed == number + 1)
        assert light(line, "engine") == "failed"  # two in a row are no picture's fault
    assert [record.reason for record in records(line)] == [None, "engine", None, "engine", "engine"]


def test_a_gpu_that_was_lost_outside_any_part_ends_the_line_too(bundle: Path, tmp_path: Path, monkeypatch) -> None:
    write_parts(tmp_path / "parts", 1)
    with running(line_config(bundle, tmp_path, camera=SOFTWARE)) as line:
        assert not line.lost
        monkeypatch.setattr(line.state.recipe.detectors[0].backend, "lost", "the GPU is gone", raising=False)
        assert line.lost == "the GPU is gone"  # what the service's loop looks at
        assert line._health.fault() == "the GPU is gone"


def test_a_bundle_that_was_changed_under_the_line_is_not_taken_for_the_old_one(tmp_path: Path) -> None:
    own = write_small_bundle(tmp_path / "small", 64).path
    (tmp_path / "parts").mkdir()
    with running(line_config(own, tmp_path, camera=watched(tmp_path))) as line:
        recipe = line.state.recipe
        write_small_bundle(own, 96)
        with pytest.raises(EngineError, match="was changed under the running line"):
            recipe.reload(0)
        write_small_bundle(own, 64)
        recipe.reload(0)
        write_picture(tmp_path / "parts", "0", picture(0))
        wait_for(lambda: line.recorder.committed == 1)
        recipe.close()
        with pytest.raises(EngineError, match="is not the line's any more"):
            recipe.reload(0)
    assert [record.verdict for record in records(line)] == ["good"]


def test_a_part_that_is_decided_while_its_batch_is_taken_disturbs_no_other() -> None:
    """A deadline may pass at any moment: a part is in the batch, or its place is given back, never both."""

    class Racing:
        """A part whose deadline passes just after it was first looked at."""

        slot, looks = 5, 0

        @property
        def decided(self) -> bool:
            self.looks += 1
            return self.looks > 1

        def release(self) -> None:
            self.slot = -1

    batches = [[Racing(), Racing()], []]
    judged: list[list[int]] = []
    waiting = SimpleNamespace(take=lambda max_wait: batches.pop(0))
    engine = Engine(0, EngineSettings(), None, waiting, None)  # pyright: ignore[reportArgumentType]
    engine._judge = lambda batch: judged.append([part.slot for part in batch])
    engine.run()
    assert judged == [[5, 5]]


def test_a_fault_in_judging_or_in_a_picture_costs_no_record(bundle: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "parts").mkdir()
    with running(line_config(bundle, tmp_path, camera=watched(tmp_path))) as line:

        def broken(*arguments: object) -> None:
            raise ValueError("a bug")

        monkeypatch.setattr(line._ruling, "record", broken)
        write_picture(tmp_path / "parts", "0", picture(0))
        wait_for(lambda: line.recorder.committed == 1)
        monkeypatch.undo()
        monkeypatch.setattr("snl_edge.stream.journal.kept_pictures.draw_overlay", broken)
        write_picture(tmp_path / "parts", "1", picture(1, spot=True))
        wait_for(lambda: line.recorder.committed == 2)
        assert light(line, "journal") == "warning"
    first, second = records(line)
    assert (first.verdict, first.reason) == ("failsafe", "engine")
    assert (second.verdict, second.image) == ("reject", None)


def test_a_counter_that_fails_costs_no_verdict(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OverflowError("too much")

    monkeypatch.setattr(Metrics, "count", broken)
    write_parts(tmp_path / "parts", 3)
    with running(line_config(bundle, tmp_path, camera=watched(tmp_path))) as line:
        wait_for(lambda: line.recorder.committed == 3)
        assert line.tally.verdicts["good"] == 3
        assert light(line, "counting metrics") == "failed"
        assert line._health.fault() is None


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[Path]:
    """A real file system of so many MiB; needs root."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"cannot mount a small disk: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def _fill(path: Path) -> None:
    with suppress(OSError), path.open("ab") as file:
        while True:
            os.write(file.fileno(), bytes(4096))


def test_disk_full(bundle: Path, tmp_path: Path) -> None:
    """The ballast goes first, verdicts wait in memory, then parts get the fail-safe verdict; at last all is written."""
    with small_disk(tmp_path / "disk", 6) as disk:
        (tmp_path / "parts").mkdir()
        journal = {"folder": disk / "journal", "backlog": 100, "ballast_mib": 1, "patience_ms": 20}
        with running(line_config(bundle, tmp_path, camera=watched(tmp_path), journal=journal)) as line:
            assert (disk / "journal" / "ballast").stat().st_size == 2**20
            write_parts(tmp_path / "parts", 20)
            wait_for(lambda: line.recorder.committed == 20)
            filler = disk / "filler"
            _fill(filler)
            write_parts(tmp_path / "parts", 2000, spots=(100,), start=1000)
            wait_for(lambda: not (disk / "journal" / "ballast").exists(), 30)
            _fill(filler)  # what the ballast gave is used up by others, too
            wait_for(lambda: line.recorder.full, 30)
            assert light(line, "journal") == "failed"
            wait_for(lambda: line.tally.reasons["journal"] > 0)
            wait_for(lambda: sum(line.tally.verdicts.values()) == 2020, 60)
            filler.unlink()
            wait_for(lambda: light(line, "journal") == "ok" and not line.recorder.backlog)
            write_picture(tmp_path / "parts", "z", picture(3))
            wait_for(lambda: sum(line.tally.verdicts.values()) == 2021)
            acted_early = line.recorder.acted_early
        report = check_journal(disk / "journal")
        camera = report.cameras[0]
        assert (report.consistent, camera.lost) == (True, 0)
        assert camera.last == 2020
        assert camera.parts + camera.declared == 2021
        assert camera.declared > 0
        assert acted_early > 0


def test_read_only_disk_at_the_start(bundle: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 16) as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        write_parts(tmp_path / "parts", 1)
        with pytest.raises(OutputError, match="cannot open the journal"):
            RunningLine(line_config(bundle, tmp_path, journal={"folder": disk / "journal"}))


def test_a_journal_on_a_read_only_disk_can_be_read(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 16) as disk:
        ended, killed = disk / "ended", disk / "killed"
        journal = new_journal(ended)
        fill(journal, 5)
        killed.mkdir()
        for path in ended.iterdir():  # with its log, as a kill leaves it
            shutil.copy(path, killed)
        (killed / f"{FILE}-shm").unlink()
        journal.close()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert sum(camera.parts for camera in check_journal(ended).cameras) == 5
        assert export_journal(ended, tmp_path / "x.csv", "csv") == 5
        assert read_report(ended, Period(0, 2e9), ()).total.parts == 5
        with pytest.raises(DataError, match="cannot open the journal"):  # its verdicts are in the log: not passed over
            check_journal(killed)


def test_a_database_that_turns_read_only(bundle: Path, tmp_path: Path) -> None:
    """Parts are judged and acted upon, verdicts wait, and are written when it can be written again.

    SQLite is told to refuse: Linux remounts no disk as read-only while a file on it is open for writing.
    """
    (tmp_path / "parts").mkdir()
    with running(line_config(bundle, tmp_path, camera=watched(tmp_path), journal={"patience_ms": 20})) as line:
        line.journal._writer.execute("PRAGMA query_only = ON")
        write_parts(tmp_path / "parts", 5, spots=(2,))
        wait_for(lambda: sum(line.tally.verdicts.values()) == 5)
        wait_for(lambda: light(line, "journal") == "failed")
        wait_for(lambda: line.recorder.acted_early == 5)
        line.journal._writer.execute("PRAGMA query_only = OFF")
        wait_for(lambda: line.recorder.committed == 5)
        wait_for(lambda: light(line, "journal") == "ok")
    assert check_journal(tmp_path / "journal").consistent


def test_kill_9_in_the_middle_loses_nothing_that_was_acted_upon(bundle: Path, tmp_path: Path) -> None:
    """Killed at full speed, it leaves a sound journal that lacks only parts on their way; the next run goes on."""
    config = {
        "bundle": str(bundle),
        "engine": {"backend": "onnxruntime", "threads": 1},
        "cameras": [{"name": "camera", "source": {"type": "synthetic", "size": 64, "pictures": 64}}],
        "queue": {"policy": "block", "size": 8},
        "deadline_ms": None,
        "journal": {"folder": str(tmp_path / "journal"), "pictures": {"min_free_gib": 0}},
        "sinks": [{"type": "jsonlines", "folder": str(tmp_path / "sink")}],
        "dashboard": None,
    }
    (tmp_path / "line.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snl_edge", "stream", "run", str(tmp_path / "line.yaml")]
    for run, signal_number in enumerate((signal.SIGKILL, signal.SIGTERM), start=1):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=tmp_path)
        try:
            wait_for(lambda run=run: _recorded(tmp_path / "journal", run) > 300, 60)
            process.send_signal(signal_number)
            assert process.wait(60) == (0 if signal_number == signal.SIGTERM else -signal.SIGKILL)
        finally:
            process.kill()
            process.wait()
    report = check_journal(tmp_path / "journal")
    assert report.consistent
    assert [camera.ended for camera in report.cameras] == [False, True]
    on_their_way = 8 + 8 + 2 * 8 + 512
    assert all(camera.missing <= on_their_way for camera in report.cameras)
    assert report.cameras[1].missing == 0
    # The sink heard a beginning of the journal, each record at least once, told apart by its id.
    heard = [json.loads(line)["message_id"] for line in (tmp_path / "sink" / "verdicts.jsonl").read_text().splitlines()]
    journal = Journal(tmp_path / "journal")
    known = [entry.message_id for entry in journal.after(0, 10_000_000)]
    journal.close()
    assert len(set(known)) == len(known) == sum(camera.parts for camera in report.cameras)
    assert set(heard) == set(known[: len(set(heard))])


def _recorded(folder: Path, run: int) -> int:
    try:
        with closing(sqlite3.connect(f"file:{folder}/journal.sqlite?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT COUNT(*) FROM verdict WHERE run = ?", (run,)).fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def test_a_jump_of_the_clock_removes_nothing_and_spoils_no_deadline(bundle: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "parts").mkdir()
    journal = {"pictures": {"min_free_gib": 0, "keep_days": 1}, "keep_days": 2}
    config = line_config(bundle, tmp_path, camera=watched(tmp_path), journal=journal, deadline_ms=5000)
    with running(config) as line:
        write_picture(tmp_path / "parts", "0", picture(0, spot=True))
        wait_for(lambda: line.recorder.committed == 1)
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() + 10 * 365 * 86400)
        line.recorder._retention.hurry()
        write_picture(tmp_path / "parts", "1", picture(1, spot=True))
        wait_for(lambda: line.recorder.committed == 2)
        assert light(line, "journal") == "warning"
        monkeypatch.setattr(time, "time", lambda: now() - 10 * 365 * 86400)
        write_picture(tmp_path / "parts", "2", picture(2, spot=True))
        wait_for(lambda: line.recorder.committed == 3)
    found = records(line)
    assert [record.verdict for record in found] == ["reject"] * 3
    assert all(0 < record.latency_ms < 5000 for record in found)
    assert all((tmp_path / "journal" / record.image).is_file() for record in found if record.image)
    assert all(record.image for record in found)


def test_old_pictures_go_by_age_and_by_size_and_old_verdicts_only_once_delivered(bundle: Path, tmp_path: Path) -> None:
    write_parts(tmp_path / "parts", 6, spots=(0, 1, 2, 3, 4, 5))
    line = run_to_end(line_config(bundle, tmp_path))
    sizes = sorted(path.stat().st_size for path in kept_files(tmp_path / "journal"))
    journal = Journal(tmp_path / "journal")
    budget = (sum(sizes) / 2) / 2**30
    gone = Pictures(journal, PictureSettings(keep_gib=budget, min_free_gib=0), Clock()).prune()
    left = journal.select("image IS NOT NULL", ())
    assert 0 < gone < 6
    assert [entry.id for entry in left] == list(range(gone + 1, 7))
    assert check_journal(tmp_path / "journal").consistent
    assert Pictures(journal, PictureSettings(keep_days=1e-9, min_free_gib=0), Clock()).prune() == 6 - gone
    assert not list((tmp_path / "journal" / "pictures").iterdir())
    journal.acknowledge("mqtt", 4)
    assert journal.forget(time.time(), ["mqtt"]) == 4
    journal.acknowledge("mqtt", 6)
    assert journal.forget(time.time(), ["mqtt"]) == 2
    assert line.tally.verdicts["reject"] == 6
    journal.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cameras: [", "is no YAML"),
        ("just words", "holds no settings"),
        ("bundle: b\ncameras: []\n", "cameras"),
        ("bundle: b\ncameras: [{name: a, source: {type: usb}}]\n", "source"),
        ("bundle: b\ncameras: [{name: a, source: {type: folder, path: p}}]\nqueu: {}\n", "queu"),
        ("bundle: b\ncameras: [{name: a/b, source: {type: folder, path: p}}]\n", "name"),
        ("bundle: b\ncameras: []\nsinks: []\nbundle: c\n", "sets bundle twice, in line 1 and line 4"),
        ("bundle: b\ncameras: [{name: a, name: b, source: {type: synthetic}}]\n", "sets name twice"),
        ("!!python/object/apply:os.system ['touch owned']\n", "is no YAML"),
    ],
)
def test_a_malformed_file_is_refused_by_name_and_never_executed(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "line.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_config(tmp_path / "line.yaml")
    assert not (tmp_path / "owned").exists()
