"""A line from picture to journal: verdicts, exactly one record each, what can be changed while it runs."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from contract_graph import write_contract_bundle
from lines import light, line_config, picture, records, run_to_end, running, wait_for, write_parts, write_picture

from snl_edge.errors import ConfigError, DataError, OutputError
from snl_edge.infer.command import infer_files
from snl_edge.runtime.bundle import Bundle
from snl_edge.service.check import check_line
from snl_edge.stream.journal.soundness import check_journal
from snl_edge.stream.line import RunningLine
from snl_edge.stream.report.export import export_journal
from studies.small_bundle import write_small_bundle

SOFTWARE = {"trigger": {"type": "software"}}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_bundle(tmp_path_factory.mktemp("bundles") / "small", 64).path


def test_every_picture_gets_its_verdict_and_rejects_keep_picture_and_heatmap(bundle: Path, tmp_path: Path) -> None:
    write_parts(tmp_path / "parts", 30, spots=(3, 17))
    line = run_to_end(line_config(bundle, tmp_path))
    found = records(line)
    assert [record.sequence for record in sorted(found, key=lambda r: r.sequence)] == list(range(30))
    rejected = {record.sequence: record for record in found if record.verdict == "reject"}
    assert set(rejected) == {3, 17}
    assert all(record.verdict == "good" for record in found if record.sequence not in rejected)
    blob = rejected[3].blobs[0]
    assert 29 / 64 <= blob.x <= 30 / 64
    assert 19 / 64 <= blob.y <= 20 / 64
    assert blob.peak == pytest.approx(rejected[3].score)
    for record in rejected.values():
        assert record.action == "reject"
        assert record.image is not None
        assert record.heatmap is not None
        assert (tmp_path / "journal" / record.image).is_file()
        assert (tmp_path / "journal" / record.heatmap).is_file()
    assert line.tally.verdicts == {"good": 28, "reject": 2, "unknown": 0, "failsafe": 0}
    assert check_journal(tmp_path / "journal").consistent


def test_kept_pictures_are_judged_again_without_their_heatmaps(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_parts(tmp_path / "parts", 6, spots=(1, 4))
    kept = {record.image: record for record in records(run_to_end(line_config(bundle, tmp_path))) if record.image}
    options: dict[str, Any] = {"backend": "onnxruntime", "precision": "auto", "threshold": None, "product": None}
    folder = tmp_path / "journal" / "pictures"
    assert infer_files([str(folder)], bundle, None, **options, as_json=True).errors == 0
    said = capsys.readouterr()
    again = {
        Path(entry["path"]).relative_to(tmp_path / "journal").as_posix(): entry
        for entry in map(json.loads, said.out.splitlines())
    }
    assert {name: entry["verdict"] for name, entry in again.items()} == {
        name: own.verdict for name, own in kept.items()
    }
    assert len(again) == 2
    assert "left out: 2 heatmaps" in said.err
    with pytest.raises(DataError, match="all others are heatmaps"):
        infer_files([f"{folder}/*/*-heatmap.jpg"], bundle, None, **options, as_json=True)


def test_several_cameras_share_one_engine_in_batches(bundle: Path, tmp_path: Path) -> None:
    cameras = []
    for name in ("left", "middle", "right"):
        write_parts(tmp_path / name, 20, spots=(5,))
        cameras.append({"name": name, "source": {"type": "folder", "path": tmp_path / name}})
    config = line_config(bundle, tmp_path, cameras=cameras)
    config = config.model_copy(
        update={"engine": config.engine.model_copy(update={"max_batch": 4, "max_wait_ms": 5, "in_flight": 2})}
    )
    line = run_to_end(config)
    for name in ("left", "middle", "right"):
        own = [record for record in records(line) if record.camera == name]
        assert sorted(record.sequence for record in own) == list(range(20))
        assert [record.sequence for record in own if record.verdict == "reject"] == [5]


def test_region_rotation_and_ignored_rectangle(bundle: Path, tmp_path: Path) -> None:
    whole = picture(0, spot=True)
    write_picture(tmp_path / "parts", "a", np.pad(whole, ((10, 0), (20, 0), (0, 0)), constant_values=255))
    region = {"x": 20, "y": 10, "width": 64, "height": 64}
    seen = records(run_to_end(line_config(bundle, tmp_path / "x", camera=_folder(tmp_path) | {"region": region})))[0]
    assert (seen.verdict, round(seen.blobs[0].x, 1), round(seen.blobs[0].y, 1)) == ("reject", 0.5, 0.3)
    turned = _folder(tmp_path) | {"region": region, "rotation": 90}
    seen = records(run_to_end(line_config(bundle, tmp_path / "y", camera=turned)))[0]
    assert (round(seen.blobs[0].x, 1), round(seen.blobs[0].y, 1)) == (0.6, 0.5)
    hidden = turned | {"ignore": [{"x": 0.5, "y": 0.4, "width": 0.3, "height": 0.3}]}
    assert records(run_to_end(line_config(bundle, tmp_path / "z", camera=hidden)))[0].verdict == "good"


def _folder(path: Path) -> dict:
    return {"source": {"type": "folder", "path": path / "parts"}}


def test_part_id_and_encoder_travel_from_trigger_to_record(bundle: Path, tmp_path: Path) -> None:
    write_parts(tmp_path / "parts", 3)
    with running(line_config(bundle, tmp_path, camera=SOFTWARE)) as line:
        wait_for(lambda: light(line, "camera camera") == "ok")
        assert line.trigger("camera", "A17", 4711) == 0
        wait_for(lambda: line.recorder.committed == 1)
        record = records(line)[0]
        assert (record.part, record.encoder, record.verdict) == ("A17", 4711, "good")
        latest = line.latest("camera")
        assert latest is not None
        assert latest.frame is not None
        assert latest.anomaly_map is not None
        assert line.trigger("camera", "\ud800" + "x" * 500, None) == 1
        wait_for(lambda: line.recorder.committed == 2)
        assert records(line)[1].part == "?" + "x" * 199
        with pytest.raises(ConfigError, match="is no count"):
            line.trigger("camera", None, 2**63)
        with pytest.raises(ConfigError, match="there is no camera 'other'"):
            line.trigger("other", None, None)


def test_triggers_faster_than_pictures_are_dropped_by_the_declared_policy(bundle: Path, tmp_path: Path) -> None:
    """The oldest goes: its part gets the fail-safe verdict, and every trigger has its record."""
    (tmp_path / "parts").mkdir()
    watched = {"source": {"type": "folder", "path": tmp_path / "parts", "watch": True}, **SOFTWARE}
    config = line_config(bundle, tmp_path, camera=watched, queue={"policy": "newest", "size": 4}, drain_s=0.2)
    with running(config) as line:
        wait_for(lambda: light(line, "camera camera") == "ok")
        for number in range(10):
            line.trigger("camera", f"P{number}", None)
        write_parts(tmp_path / "parts", 4)
        wait_for(lambda: line.recorder.committed == 10)
        parts = next(check for check in line.status().checks if check.name == "parts")
    assert parts.light == "failed"
    assert parts.text.startswith("6 of the last 10 parts of camera camera were dropped: the engine is slower")
    found = sorted(records(line), key=lambda record: record.sequence)
    assert [record.reason for record in found] == ["dropped"] * 6 + [None] * 4
    assert line.status().dropped == 6


def test_threshold_pause_shadow_and_recipe_change_while_it_runs(bundle: Path, tmp_path: Path) -> None:
    other = write_small_bundle(tmp_path / "other", 96).set_threshold(0.1).path
    own = write_small_bundle(tmp_path / "own", 64)
    watched = {"source": {"type": "folder", "path": tmp_path / "parts", "watch": True, "poll_s": 0.02}}
    (tmp_path / "parts").mkdir()
    with running(line_config(own.path, tmp_path, camera=watched)) as line:

        def judged(number: int, **changes: bool):
            write_picture(tmp_path / "parts", f"{number:05}", picture(number, **changes))
            wait_for(lambda: line.recorder.committed == number + 1)
            return records(line)[number]

        first = judged(0, spot=True)
        assert (first.verdict, first.threshold, first.threshold_version) == ("reject", 0.5, 1)
        with pytest.raises(ConfigError, match="198 times training's threshold of gear"):
            line.set_threshold(99.0, "gear", "anna")
        assert first.warning is None
        assert not [check for check in line.status().checks if check.name.startswith("threshold")]
        line.set_threshold(99.0, "gear", "anna", confirmed=True)
        assert light(line, "threshold gear") == "warning"
        second = judged(1, spot=True)
        assert (second.verdict, second.threshold, second.threshold_version) == ("good", 99.0, 2)
        assert second.warning == "threshold"
        with pytest.raises(ConfigError, match="unknown product"):
            line.set_threshold(0.5, "wheel", "anna")
        line.pause(True, "anna")
        third = judged(2)
        assert (third.verdict, third.reason, third.action) == ("failsafe", "paused", "reject")
        assert line.status().state == "paused"
        line.pause(False, "anna")
        line.set_shadow(True, "ben")
        assert judged(3).shadow
        line.change_recipe(other, "ben")
        fifth = judged(4, spot=True)
        assert (fifth.verdict, fifth.threshold_version) == ("reject", 3)
        assert fifth.engine != first.engine
        with pytest.raises(Exception, match="is no bundle"):
            line.change_recipe(tmp_path, "ben")
        assert judged(5).verdict == "good"
    changes = [(entry.actor, entry.action) for entry in reversed(line.journal.audits())]
    assert [change for change in changes if change[0] in ("anna", "ben")] == [
        ("anna", "refused"),
        ("anna", "threshold"),
        ("anna", "refused"),
        ("anna", "pause"),
        ("anna", "resume"),
        ("ben", "shadow"),
        ("ben", "recipe"),
        ("ben", "threshold"),
        ("ben", "refused"),
    ]


def test_a_threshold_changed_while_the_line_stood_still_is_a_new_version(bundle: Path, tmp_path: Path) -> None:
    own = write_small_bundle(tmp_path / "own", 64)
    write_parts(tmp_path / "parts", 1)
    assert records(run_to_end(line_config(own.path, tmp_path)))[-1].threshold_version == 1
    assert records(run_to_end(line_config(own.path, tmp_path)))[-1].threshold_version == 1
    own.set_threshold(0.7)
    assert records(run_to_end(line_config(own.path, tmp_path)))[-1].threshold_version == 2


def test_a_change_that_cannot_be_audited_is_not_made(bundle: Path, tmp_path: Path) -> None:
    own = write_small_bundle(tmp_path / "own", 64)
    watched = {"source": {"type": "folder", "path": tmp_path / "parts", "watch": True}}
    (tmp_path / "parts").mkdir()
    with running(line_config(own.path, tmp_path, camera=watched)) as line:
        line.journal._writer.execute("PRAGMA query_only = ON")
        with pytest.raises(OutputError, match="nothing was changed"):
            line.set_threshold(0.6, None, "anna")
        with pytest.raises(OutputError):
            line.pause(True, "anna")
        assert line.status().threshold == 0.5
        assert line.status().state == "running"
        line.journal._writer.execute("PRAGMA query_only = OFF")
    assert Bundle.open(own.path) == own


def test_a_camera_with_a_fixed_product_stops_parts_of_others(tmp_path: Path) -> None:
    """Bolts are black; a washer between them and a part of no product pass only where the comparison is off."""
    bundle = write_contract_bundle(tmp_path / "contract").set_threshold(99.0).path
    for number, level in enumerate((10, 12, 120, 252)):
        write_picture(tmp_path / "parts", str(number), picture(number, level=level))
    fixed = _folder(tmp_path) | {"product": "bolt"}
    rules = {"unknown": "pass", "confirm": {"rejects": 2, "of": 2}}

    def judged(folder: str, **changes: bool) -> tuple[RunningLine, list[tuple[Any, ...]], str]:
        with running(line_config(bundle, tmp_path / folder, camera=fixed | changes, rules=rules)) as line:
            wait_for(lambda: line.ended)
            lights = {check.name: check.light for check in line.status().checks}
        found = sorted(records(line), key=lambda record: record.sequence)
        rows = [(record.verdict, record.action, record.reason, record.recognised) for record in found]
        return line, rows, lights.get("product camera", "ok")

    line, found, light = judged("compared")
    assert found == [
        ("good", "pass", None, "bolt"),
        ("good", "pass", None, "bolt"),
        ("unknown", "hold", "mismatch", "washer"),
        ("unknown", "hold", "unlearned", "washer"),
    ]
    assert light == "ok"
    foreign = {reason: {"camera": "camera", "reason": reason} for reason in ("mismatch", "unlearned")}
    assert [line.metrics.registry.get_sample_value("snl_edge_foreign_total", at) for at in foreign.values()] == [1, 1]
    _, found, light = judged("not compared", compare_product=False)
    assert [row[:3] for row in found] == [("good", "pass", None)] * 4
    assert light == "warning"


def test_a_part_of_another_product_with_a_high_score_waits_for_no_second_one(tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "contract").set_threshold(1e-6).path
    for name, level in (("a bolt", 10), ("b washer", 120), ("c bolt", 10), ("d bolt", 10), ("e strange", 252)):
        write_picture(tmp_path / "parts", name, picture(0, level=level))
    camera, confirm = {"product": "bolt"}, {"confirm": {"rejects": 9, "of": 9}}
    found = records(run_to_end(line_config(bundle, tmp_path, camera=camera, rules=confirm)))
    seen = [(record.action, record.reason) for record in sorted(found, key=lambda record: record.sequence)]
    own = ("pass", "unconfirmed")
    assert seen == [own, ("reject", "mismatch"), own, own, ("reject", "unlearned")]


def test_a_journal_of_before_goes_on(bundle: Path, tmp_path: Path) -> None:
    write_parts(tmp_path / "parts", 2)
    run_to_end(line_config(bundle, tmp_path))
    with sqlite3.connect(tmp_path / "journal" / "journal.sqlite") as connection:
        connection.executescript(
            "DROP INDEX verdict_file; DROP INDEX actuation_unknown; DROP INDEX verdict_captured; DROP TABLE intent;"
        )
        connection.execute("ALTER TABLE actuation DROP COLUMN acknowledged")
        connection.execute("DROP TABLE choice")
        for column in ("recognised", "warning", "file", "file_size", "file_mtime_ns", "picture_age_ms"):
            connection.execute(f"ALTER TABLE verdict DROP COLUMN {column}")
        for column in ("order", "lot", "operator", "fields"):
            connection.execute(f'ALTER TABLE verdict DROP COLUMN "{column}"')
        connection.execute("PRAGMA user_version = 1")
    found = records(run_to_end(line_config(bundle, tmp_path)))
    assert [record.recognised for record in found] == [None, None, "gear", "gear"]
    assert check_journal(tmp_path / "journal").consistent


def test_confirm_rule_and_alarm(bundle: Path, tmp_path: Path) -> None:
    write_parts(tmp_path / "parts", 6, spots=(1, 3, 4))
    rules = {"confirm": {"rejects": 2, "of": 2}, "alarm": {"rejects": 3, "of": 5}}
    with running(line_config(bundle, tmp_path, rules=rules)) as line:
        wait_for(lambda: line.ended)
        assert light(line, "rejects camera") == "warning"
    found = sorted(records(line), key=lambda record: record.sequence)
    assert [record.action for record in found] == ["pass", "pass", "pass", "pass", "reject", "pass"]
    assert [record.reason for record in found if record.verdict == "reject"] == ["unconfirmed", "unconfirmed", None]


def test_self_test_at_start_pauses_a_line_that_judges_samples_wrongly(
    bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_picture(tmp_path / "golden" / "good", "a", picture(0))
    write_picture(tmp_path / "golden" / "reject", "b", picture(1, spot=True))
    write_parts(tmp_path / "parts", 1)
    golden = {"folder": tmp_path / "golden", "pause_on_failure": True}
    for folder in (tmp_path / "golden" / "good", tmp_path / "parts"):  # copied there with the pictures that were kept
        cv2.imwrite(str(folder / "000001-cam-00000001-heatmap.jpg"), picture(2, spot=True))
    config = line_config(bundle, tmp_path / "one", golden=golden, camera=_folder(tmp_path))
    told = next(found.text for found in check_line(config, connect=False) if found.subject == "self-test")
    assert told == "1 good and 1 reject samples, judged at start and on demand; heatmaps beside them left out: 1"
    with running(config) as line:
        assert next(check for check in line.status().checks if check.name == "self-test").text == (
            "2 samples judged rightly; heatmaps beside them left out: 1"
        )
        wait_for(lambda: line.ended)
    assert [record.verdict for record in records(line)] == ["good"]
    assert "parts: 1 heatmaps that a line kept are left out" in caplog.text
    write_picture(tmp_path / "golden" / "good", "c", picture(2, spot=True))
    with running(line_config(bundle, tmp_path / "two", golden=golden, camera=_folder(tmp_path))) as line:
        check = next(check for check in line.status().checks if check.name == "self-test")
        assert check.light == "failed"
        assert "good/c.png is reject" in check.text
        wait_for(lambda: line.recorder.committed == 1)
    assert records(line)[0].reason == "paused"


def test_open_parts_get_their_verdict_or_shutdown_when_the_line_stops(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    watched = {"source": {"type": "folder", "path": tmp_path / "parts", "watch": True}, **SOFTWARE}
    with running(line_config(bundle, tmp_path, camera=watched, drain_s=0.1)) as line:
        wait_for(lambda: light(line, "camera camera") == "ok")
        line.trigger("camera", None, None)
    assert [record.reason for record in records(line)] == ["shutdown"]
    assert check_journal(tmp_path / "journal").cameras[0].ended


def test_many_threads_trigger_at_once_and_nothing_is_lost_or_doubled(bundle: Path, tmp_path: Path) -> None:
    source = {"type": "synthetic", "pictures": 8, "size": 64}
    camera = {"source": source, **SOFTWARE}
    queue = {"policy": "newest", "size": 4}
    with running(line_config(bundle, tmp_path, camera=camera, queue=queue, deadline_ms=50)) as line:
        wait_for(lambda: light(line, "camera camera") == "ok")

        def fire() -> None:
            for _ in range(100):
                line.trigger("camera", None, None)
                time.sleep(0.0005)

        threads = [threading.Thread(target=fire) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_for(lambda: line.recorder.committed == 400)
    assert sorted(record.sequence for record in records(line)) == list(range(400))
    assert line.parts.opened == 400 == sum(line.tally.verdicts.values())


def test_export_and_report_of_a_journal_with_a_hole(bundle: Path, tmp_path: Path) -> None:
    write_parts(tmp_path / "parts", 5, spots=(2,))
    line = run_to_end(line_config(bundle, tmp_path))
    journal = tmp_path / "journal"
    assert export_journal(journal, tmp_path / "x.jsonl", "jsonl") == 5
    rows = [json.loads(row) for row in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert sorted(row["sequence"] for row in rows) == [0, 1, 2, 3, 4]
    export_journal(journal, tmp_path / "x.csv", "csv")
    assert (tmp_path / "x.csv").read_text().splitlines()[0].startswith("\ufeffid,run,message_id,line,camera,sequence")
    reject = next(record for record in records(line) if record.verdict == "reject")
    assert reject.image is not None
    kept = [record.image for record in records(line) if record.image]
    whole = check_journal(journal)
    assert (whole.pictures, whole.heatmaps, whole.orphans) == (len(kept), len(kept), 0)
    (journal / reject.image).unlink()
    report = check_journal(journal)
    assert report.pictures == len(kept) - 1
    assert (report.consistent, report.missing_pictures) == (False, 1)
    with sqlite3.connect(journal / "journal.sqlite") as connection:
        connection.execute("DELETE FROM verdict WHERE sequence = 3")
    assert check_journal(journal).cameras[0].lost == 1


def test_thresholds_changed_beside_a_running_line_are_not_undone(bundle: Path, tmp_path: Path) -> None:
    own = write_small_bundle(tmp_path / "own", 64)
    (tmp_path / "parts").mkdir()
    watched = {"source": {"type": "folder", "path": tmp_path / "parts", "watch": True}}
    with running(line_config(own.path, tmp_path, camera=watched)) as line:
        own.set_threshold(0.45, "gear")  # as `snl-edge threshold` does
        with pytest.raises(ConfigError, match="were changed while the line runs, and are not in force"):
            line.set_threshold(0.6, "gear", "anna")
        line.change_recipe(own.path, "anna")
        assert line.status().product_thresholds == {"gear": 0.45}
        line.set_threshold(0.6, "gear", "anna")
    assert Bundle.open(own.path).manifest.threshold_for("gear") == 0.6
