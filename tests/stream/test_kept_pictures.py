"""Pictures that a line keeps: judged again they give the verdict of their record; verdicts do not wait for them."""

from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from contract_graph import HEIGHT, WIDTH, write_contract_bundle
from journals import new_journal, record
from lines import line_config, picture, records, run_to_end, running, wait_for, write_parts, write_picture
from pydantic import ValidationError

from snl_edge.errors import DataError, OutputError
from snl_edge.image import read_image
from snl_edge.infer.command import infer_files
from snl_edge.runtime.manifest import InputSpec
from snl_edge.stream.journal.journal import Journal
from snl_edge.stream.journal.journal_settings import PictureSettings
from snl_edge.stream.journal.kept_pictures import Pictures
from snl_edge.stream.journal.schema import FILE
from snl_edge.stream.journal.soundness import check_journal
from snl_edge.stream.report.export import export_journal
from snl_edge.stream.report.period import Period
from snl_edge.stream.report.shift_report import read_report
from snl_edge.stream.timing import Clock
from studies.small_bundle import write_small_bundle

ALL = ["good", "reject", "unknown", "failsafe"]


def twelve_bits(level: float, spread: float, seed: int, *, grey: bool) -> np.ndarray:
    """A camera's picture ``uint16 [60, 70]`` or ``[60, 70, 3]``; its inspected region is 2 to 3 times the input."""
    values = np.random.default_rng(seed).normal(level, spread, (60, 70) if grey else (60, 70, 3))
    return np.clip(values, 0, 4095).astype(np.uint16)


@pytest.mark.parametrize("size", [(24, 40), (47, 55)], ids=["as large as the input", "larger"])
def test_a_kept_picture_gives_score_and_verdict_of_its_record(
    size: tuple[int, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = InputSpec(height=HEIGHT, width=WIDTH, max_batch=4, bits=12)
    bundle = write_contract_bundle(tmp_path / "bundle", input=spec).path
    looks = ((300, 30), (2040, 900), (4000, 40))
    for seed, (level, spread) in enumerate(looks * 2):
        part = twelve_bits(level, spread, seed, grey=seed >= len(looks))
        write_picture(tmp_path / "parts", f"{seed}", part)
    region = {"x": 7, "y": 4, "width": size[0], "height": size[1]}
    line = run_to_end(
        line_config(
            bundle,
            tmp_path,
            camera={
                "source": {"type": "folder", "path": tmp_path / "parts"},
                "region": region,
                "rotation": 90,
                "checks": {"black_below": None},
            },
            journal={"pictures": {"of": ALL, "min_free_gib": 0}},
        )
    )
    kept = {record.image: record for record in records(line) if record.image}
    assert sorted(record.verdict for record in kept.values()) == ["good"] * 2 + ["reject"] * 2 + ["unknown"] * 2
    options: dict[str, Any] = {"backend": "onnxruntime", "precision": "auto", "threshold": None, "product": None}
    assert infer_files([str(tmp_path / "journal")], bundle, None, **options, as_json=True).errors == 0
    again = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert len(again) == len(kept)
    for entry in again:
        own = kept[Path(entry["path"]).relative_to(tmp_path / "journal").as_posix()]
        assert (entry["verdict"], entry["product"]) == (own.verdict, own.product)
        assert entry["score"] == pytest.approx(own.score, abs=1e-3)
        assert entry["product_distance"] == pytest.approx(own.product_distance, abs=1e-3)
        assert read_image(Path(entry["path"])).shape == (*size, 3)
    stored = [cv2.imread(entry["path"], cv2.IMREAD_UNCHANGED) for entry in again]
    assert sorted(pixels.ndim for pixels in stored if pixels is not None) == [2] * 3 + [3] * 3


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_bundle(tmp_path_factory.mktemp("bundles") / "small", 64).path


def test_jpeg_is_a_choice_and_pictures_of_both_formats_are_counted_and_removed(bundle: Path, tmp_path: Path) -> None:
    write_parts(tmp_path / "parts", 2, spots=(0, 1))
    folder = tmp_path / "journal"
    for name in ("png", "jpeg"):
        run_to_end(line_config(bundle, tmp_path, journal={"pictures": {"min_free_gib": 0, "format": name}}))
    journal = Journal(folder)
    suffixes = [Path(entry.record.image or "").suffix for entry in journal.after(0, 9)]
    assert suffixes == [".png", ".png", ".jpg", ".jpg"]
    report = check_journal(folder)
    assert (report.consistent, report.pictures, report.heatmaps, report.orphans) == (True, 4, 4, 0)
    everything = sum(path.stat().st_size for path in (folder / "pictures").rglob("*.*"))
    roomy = PictureSettings(keep_gib=everything / 2**30, min_free_gib=0)
    assert Pictures(journal, roomy, Clock()).prune() == 0
    tight = PictureSettings(keep_gib=(everything - 1) / 2**30, min_free_gib=0)
    assert Pictures(journal, tight, Clock()).prune() == 1
    assert Pictures(journal, PictureSettings(keep_days=1e-9, min_free_gib=0), Clock()).prune() == 3
    assert not list((folder / "pictures").iterdir())
    journal.close()
    with pytest.raises(ValidationError, match="jpeg_quality needs format: jpeg"):
        PictureSettings(jpeg_quality=90)


def test_a_verdict_does_not_wait_for_its_picture_but_sinks_do(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture of five megapixels is compressed for longer than ``patience_ms``."""
    (tmp_path / "parts").mkdir()
    hold, write = threading.Event(), Pictures.write

    def slow(self: Pictures, *arguments: Any) -> tuple[str | None, str | None]:
        assert hold.wait(20)
        return write(self, *arguments)

    monkeypatch.setattr(Pictures, "write", slow)
    camera = {"source": {"type": "folder", "path": tmp_path / "parts", "watch": True}}
    sink = {"type": "jsonlines", "folder": tmp_path / "out"}
    with running(line_config(bundle, tmp_path, camera=camera, sinks=[sink])) as line:
        write_picture(tmp_path / "parts", "0", picture(0, spot=True))
        wait_for(lambda: line.recorder.committed == 1)
        write_picture(tmp_path / "parts", "1", picture(1))
        wait_for(lambda: line.recorder.committed == 2)
        assert [(record.verdict, record.image) for record in records(line)] == [("reject", None), ("good", None)]
        assert line.recorder.acted_early == 0
        assert line.journal.deliverable(0, 9) == []
        hold.set()
        wait_for(lambda: len(line.journal.deliverable(0, 9)) == 2)
        assert records(line)[0].image is not None
    told = [json.loads(text) for text in (tmp_path / "out" / "verdicts.jsonl").read_text().splitlines()]
    assert [message["verdict"] for message in told] == ["reject", "good"]
    assert told[0]["image"] == records(line)[0].image
    assert check_journal(tmp_path / "journal").consistent


def test_a_picture_that_a_kill_kept_from_being_named_is_named_by_the_next_run(bundle: Path, tmp_path: Path) -> None:
    write_parts(tmp_path / "parts", 3, spots=(0, 1, 2))
    named = [record.image for record in records(run_to_end(line_config(bundle, tmp_path)))]
    journal = Journal(tmp_path / "journal")
    heatmap = journal.after(0, 1)[0].record.heatmap
    journal.forget_pictures([1, 2])  # as the rows stood before the pictures were written
    assert heatmap is not None
    half = (tmp_path / "journal" / heatmap).with_name(".000001-camera-00000001.png.abc.png")
    half.write_bytes(b"half")
    assert check_journal(tmp_path / "journal").orphans == 5
    pictures = Pictures(journal, PictureSettings(min_free_gib=0), Clock())
    pictures.name_left()
    pictures.prune()
    assert [entry.record.image for entry in journal.after(0, 9)] == [None, None, named[2]]  # its run may be going on
    assert half.exists()
    journal.begin("next", "{}")
    pictures = Pictures(journal, PictureSettings(min_free_gib=0), Clock())
    pictures.name_left()
    pictures.prune()
    assert [entry.record.image for entry in journal.after(0, 9)] == named
    assert journal.after(0, 1)[0].record.heatmap == heatmap
    assert not half.exists()
    assert check_journal(tmp_path / "journal").orphans == 0
    journal.close()


def test_sinks_get_the_pictures_that_a_kill_kept_from_being_named(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parts(tmp_path / "parts", 2, spots=(0, 1))
    named = [record.image for record in records(run_to_end(line_config(bundle, tmp_path)))]
    journal = Journal(tmp_path / "journal")
    journal.forget_pictures([1, 2])
    journal.close()
    delivered, prune = threading.Event(), Pictures.prune

    def slow(self: Pictures) -> int:
        assert delivered.wait(20)
        return prune(self)

    monkeypatch.setattr(Pictures, "prune", slow)
    (tmp_path / "none").mkdir()
    camera = {"source": {"type": "folder", "path": tmp_path / "none", "watch": True}}
    sinks = [
        {"type": "jsonlines", "name": "table", "folder": tmp_path / "out", "backfill": True},
        {"type": "pictures", "name": "copies", "folder": tmp_path / "copies", "backfill": True},
    ]
    with running(line_config(bundle, tmp_path, camera=camera, sinks=sinks)) as line:
        wait_for(lambda: [line.journal.position(name) for name in ("table", "copies")] == [2, 2])
        delivered.set()
    told = [json.loads(text) for text in (tmp_path / "out" / "verdicts.jsonl").read_text().splitlines()]
    assert [message["image"] for message in told] == named
    assert len(list((tmp_path / "copies").rglob("*.png"))) == 2


def test_records_wait_for_pictures_that_a_full_disk_keeps_from_being_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = new_journal(tmp_path)
    one = record(1, verdict="reject")
    journal.append([one])
    journal.begin("next", "{}")
    pictures = Pictures(journal, PictureSettings(min_free_gib=0), Clock())
    image = tmp_path / f"pictures/2027-01-15/000001-{one.camera}-{one.sequence:08}.png"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"picture")

    def full(*_: object, **__: object) -> list[int]:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(journal, "append", full)
        pictures.name_left()
    assert journal.deliverable(0, 9) == []
    pictures.prune()
    assert [entry.record.image for entry in journal.deliverable(0, 9)] == [image.relative_to(tmp_path).as_posix()]
    journal.close()


@pytest.mark.parametrize("state", ["empty", "missing"])
def test_kept_pictures_whose_journal_is_lost_are_not_overwritten(state: str, tmp_path: Path, snl_edge: Any) -> None:
    folder = tmp_path / "journal"
    day = folder / "pictures" / "2027-01-15"
    day.mkdir(parents=True)
    for name in ("000001-camera-00000000.png", "000001-camera-00000000-heatmap.jpg"):
        (day / name).write_bytes(b"kept")
    if state == "empty":
        (folder / FILE).touch()
    before = sorted(folder.rglob("*"))
    with pytest.raises(OutputError, match=rf"{FILE} is {state} beside the pictures in .*Restore it.*or move"):
        Journal(folder, hold=True)
    told = snl_edge("stream", "journal", folder)
    assert told.returncode == 1
    assert f"2 without a record; NOT consistent: {FILE} is {state}" in told.stdout
    assert not check_journal(folder).consistent
    with pytest.raises(DataError, match=f"holds no journal: {FILE} is {state}"):
        read_report(folder, Period(0, 1), ())
    assert sorted(folder.rglob("*")) == before


def test_a_run_after_a_backup_was_restored_leaves_later_pictures_alone(bundle: Path, tmp_path: Path) -> None:
    write_parts(tmp_path / "parts", 1, spots=(0,))
    folder = tmp_path / "journal"
    run_to_end(line_config(bundle, tmp_path))
    backup = (folder / FILE).read_bytes()
    later = records(run_to_end(line_config(bundle, tmp_path)))[1].image
    assert later is not None
    (folder / later).write_bytes(b"of the second run")
    (folder / FILE).write_bytes(backup)
    line = run_to_end(line_config(bundle, tmp_path))
    assert [entry.run for entry in line.journal.after(0, 9)] == [1, 3]
    assert (folder / later).read_bytes() == b"of the second run"
    report = check_journal(folder)
    assert (report.consistent, report.pictures, report.orphans) == (True, 2, 2)


def test_what_only_looks_at_a_journal_makes_none(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    for look in (
        lambda: check_journal(tmp_path),
        lambda: export_journal(tmp_path, tmp_path / "x.csv", "csv"),
        lambda: Journal(tmp_path, existing=True),
        lambda: Journal(tmp_path / "none", existing=True),
    ):
        with pytest.raises(DataError):
            look()
    assert [(path.name, path.stat().st_size) for path in tmp_path.iterdir()] == [(FILE, 0)]
    new_journal(tmp_path).close()  # nothing is kept there: a creation that was broken off
    looked = Journal(tmp_path, existing=True)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        looked.audit("someone", "change")
    looked.close()
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_rejudge_tells_what_differs_and_why_it_may(bundle: Path, tmp_path: Path, snl_edge: Any) -> None:
    write_parts(tmp_path / "parts", 3, spots=(0, 1))
    keep = {"pictures": {"min_free_gib": 0, "good_every": 1}}
    run_to_end(line_config(bundle, tmp_path, journal=keep))
    command = ("stream", "rejudge", tmp_path / "journal", "--bundle", bundle, "--backend", "onnxruntime")
    done = snl_edge(*command)
    assert (done.returncode, done.stdout) == (
        0,
        "3 pictures judged again: 3 as in the journal, 0 not; every verdict is the same\n",
    )
    journal = Journal(tmp_path / "journal")
    image = journal.after(0, 1)[0].record.image
    journal.close()
    assert image is not None
    cv2.imwrite(str(tmp_path / "journal" / image), picture(0))  # another picture, as damage or a swap would leave it
    write_parts(tmp_path / "parts2", 1, spots=(0,))
    ignoring = {
        "source": {"type": "folder", "path": tmp_path / "parts2"},
        "ignore": [{"x": 0.4, "y": 0.2, "width": 0.2, "height": 0.2}],
    }
    run_to_end(line_config(bundle, tmp_path, camera=ignoring, journal=keep))
    done = snl_edge(*command)
    assert done.returncode == 1
    *differing, last = done.stdout.splitlines()
    assert last.startswith("4 pictures judged again: 2 as in the journal, 2 not; ")
    assert "1 reject then, good now" in last
    assert image in differing[0]
    assert "reject" in differing[0]
    assert "no reason is known" in differing[0]
    assert "good" in differing[1]
    assert "the camera ignores regions" in differing[1]
    done = snl_edge(*command, "--since", "2100-01-01T06:00", "--json")
    assert (done.returncode, done.stdout) == (0, "")
