"""`infer` on folders as they are: odd names, odd files, interruptions, full disks; and what it says of them."""

from __future__ import annotations

import csv
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import NoneType
from typing import Any

import cv2
import numpy as np
import pytest
from contract_graph import HEIGHT, WIDTH, write_contract_bundle
from PIL import Image, TiffImagePlugin
from typer.testing import CliRunner

from snl_edge.cli.app import app
from snl_edge.errors import ConfigError, DataError, OutputError, ResultError
from snl_edge.infer.command import infer_files
from snl_edge.infer.lines import LINE, JudgedFrame, Run, json_schema
from snl_edge.infer.marks import is_overlay
from snl_edge.infer.names import overlay_names
from snl_edge.infer.overlay_file import OverlayStyle
from snl_edge.infer.sources import find_pictures
from snl_edge.infer.verdict_file import VerdictFile
from snl_edge.outside.shown import shown
from snl_edge.runtime.bundle import Bundle
from snl_edge.runtime.detector import Detector

OPTIONS: dict[str, Any] = {"backend": "onnxruntime", "as_json": True}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_contract_bundle(tmp_path_factory.mktemp("infer") / "line")


def picture(seed: int, level: int = 100) -> np.ndarray:
    """Of a washer, which the contract graph knows by its grey, or with ``level`` near 0 of a bolt."""
    return np.random.default_rng(seed).integers(level, level + 40, (HEIGHT * 2, WIDTH * 2, 3), dtype=np.uint8)


def write(path: Path | bytes, pixels: np.ndarray) -> None:
    with open(path, "wb") as file:
        file.write(cv2.imencode(".png", pixels)[1].tobytes())


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    folder = tmp_path / "parts"
    folder.mkdir()
    for number in range(10):
        write(folder / f"{number}.png", picture(number, 0 if number % 3 else 100))
    return folder


def lines_in(out: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in (out / "verdicts.jsonl").read_text().splitlines()]


def content(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def test_names_of_any_bytes_and_length_are_judged(bundle: Bundle, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    odd = [b"\xff\xfe.png", b"a\xff.png", b"[bold]x[blink].png", b"\x1b[31mred\n.png", b"l" * 251 + b".png"]
    for number, name in enumerate(odd):
        write(os.path.join(os.fsencode(folder), name), picture(number))
    summary = infer_files([str(folder)], bundle.path, tmp_path / "out", **(OPTIONS | {"as_json": False}))
    assert (summary.pictures, summary.errors) == (5, 0)
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert r"\x1b[31mred\n.png" in said.out
    assert f"5 verdicts in {tmp_path / 'out' / 'verdicts.jsonl'}, 5 overlays beside it\n" in said.err
    assert "[bold]x[blink].png" in said.out
    lines = lines_in(tmp_path / "out")
    assert sorted(bytes.fromhex(line["path_bytes"]) for line in lines if "path_bytes" in line) == [
        os.path.join(os.fsencode(folder), name) for name in (b"a\xff.png", b"\xff\xfe.png")
    ]
    for line in lines:
        assert cv2.imread(line["overlay"]) is not None
        assert len(os.fsencode(Path(line["overlay"]).name)) <= 255
    assert len({line["overlay"] for line in lines}) == 5


def test_overlay_names_never_meet() -> None:
    long = "x" * 300
    paths = [
        *map(Path, ("a/b.png", "a/b.jpg", "c/b.png", "A/B.png", f"{long}1.png", f"{long}2.png", "..png", "a:b.png"))
    ]
    names = overlay_names(paths, ".jpg")
    assert len({name.casefold() for name in names.values()}) == len(paths)
    assert all(len(name.encode()) <= 220 and "/" not in name and ":" not in name for name in names.values())
    assert overlay_names([Path("in/b.png")], ".png") == {Path("in/b.png"): "b.png"}
    assert shown("a\x1b\n\u202eb ü") == r"a\x1b\n\u202eb ü"


def test_what_is_no_picture_of_a_part_is_left_out_and_told(bundle: Bundle, parts: Path, capsys) -> None:
    out = parts / "verdicts"
    (parts / ".thumbs").mkdir()
    write(parts / ".thumbs" / "0.png", picture(0))
    write(parts / ".hidden.png", picture(0))
    write(parts / "000123-camera-00000042-heatmap.jpg", picture(0))
    (parts / "elsewhere").symlink_to(parts)
    assert infer_files([str(parts)], bundle.path, out, **OPTIONS).pictures == 10
    capsys.readouterr()
    moved = parts / "moved.jpg"
    moved.write_bytes((out / "0.jpg").read_bytes())
    # Pictures of a line's sink lie beside a verdicts.jsonl as well, and are no overlays.
    assert infer_files([str(parts)], bundle.path, out, **OPTIONS).pictures == 10
    said = capsys.readouterr().err
    for words in ("1 heatmap that", "11 overlays", "2 hidden files", "1 link to a folder"):
        assert f"left out: {words}" in said
    assert is_overlay(moved)
    assert find_pictures([str(parts / ".hidden.png")]).paths == (parts / ".hidden.png",)  # given by name
    with pytest.raises(DataError, match="all others are overlays"):
        find_pictures([str(out)])


def test_a_picture_of_another_beside_verdicts_is_not_overwritten(bundle: Bundle, parts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    infer_files([str(parts / "0.png")], bundle.path, out, **OPTIONS)
    cv2.imwrite(str(out / "1.jpg"), picture(1))
    with pytest.raises(OutputError, match="1.jpg would be overwritten: it is no overlay that infer wrote"):
        infer_files([str(parts / "1.png")], bundle.path, out, **OPTIONS)
    sink = tmp_path / "sink"
    sink.mkdir()
    (sink / "verdicts.jsonl").write_text('{"message_id": "1"}\n')
    with pytest.raises(OutputError, match=r"verdicts.jsonl would be overwritten: no infer.json"):
        infer_files([str(parts / "1.png")], bundle.path, sink, **OPTIONS)
    assert (sink / "verdicts.jsonl").read_text() == '{"message_id": "1"}\n'


def test_pipes_and_links_to_nowhere_are_errors_of_their_own(bundle: Bundle, parts: Path, tmp_path: Path) -> None:
    os.mkfifo(parts / "pipe.png")
    (parts / "gone.png").symlink_to("nowhere")
    (parts / "empty.png").write_bytes(b"")
    summary = infer_files([str(parts)], bundle.path, tmp_path / "out", **OPTIONS)
    assert (summary.pictures, summary.errors) == (13, 3)
    errors = {Path(line["path"]).name: line["error"] for line in lines_in(tmp_path / "out") if "error" in line}
    assert "is no regular file" in errors["pipe.png"]
    assert "No such file" in errors["gone.png"]
    assert "is empty" in errors["empty.png"]


def test_broken_pictures_are_said_in_one_voice(bundle: Bundle, tmp_path: Path) -> None:
    """Neither libpng nor OpenCV writes to the terminal; in a process of its own, since they write below Python."""
    folder = tmp_path / "good"
    folder.mkdir()
    whole = cv2.imencode(".png", picture(0))[1].tobytes()
    bmp = cv2.imencode(".bmp", picture(0))[1].tobytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    held = {"cut.png": whole[:-300], "end.png": whole[:-12], "flip.png": bytes(flipped), "cut.bmp": bmp[:-300]}
    for name, content in held.items():
        (folder / name).write_bytes(content)
    write(folder / "whole.png", picture(0))
    environment = {name: value for name, value in os.environ.items() if name != "OPENCV_LOG_LEVEL"}
    snl_edge = [sys.executable, "-m", "snl_edge"]
    for command in (
        ["infer", str(folder), "--bundle", str(bundle.path), "--backend", "onnxruntime"],
        ["check", str(folder)],
    ):
        done = subprocess.run([*snl_edge, *command], capture_output=True, text=True, env=environment, check=False)
        said = done.stdout + done.stderr
        assert done.returncode == (3 if command[0] == "infer" else 1), said
        assert "libpng" not in said
        assert "WARN" not in said
        assert "ERROR" not in said
        for name, why in (("cut", "cut short"), ("end", "cut short"), ("flip", "checksum of its IDAT")):
            assert re.search(rf"{name}\.png is damaged.*{why}", said), said


def test_an_overlay_that_cannot_be_written_costs_nothing_else(bundle: Bundle, parts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "3.jpg.d").mkdir(parents=True)
    program = (
        "import sys, resource\n"
        "from pathlib import Path\n"
        "import snl_edge.infer.overlay_file as o\n"
        "from snl_edge.infer.command import infer_files\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))\n"  # overlays are larger, lines are not
        "s = infer_files([sys.argv[1]], Path(sys.argv[2]), Path(sys.argv[3]), backend='onnxruntime', as_json=True)\n"
        "print(s.errors, file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", program, str(parts), str(bundle.path), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stderr.split()[-1] == "10", done.stderr
    lines = lines_in(out)
    assert len(lines) == 10
    for line in lines:
        assert "cannot write" in line["error"]
        assert line["verdict"] in ("good", "reject", "unknown")
    assert not [path for path in out.iterdir() if path.suffix == ".jpg"]


@pytest.fixture(scope="module")
def whole(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Thirteen pictures, one of them broken, and what a call without interruption makes of them."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "parts").mkdir()
    for number in range(12):
        write(folder / "parts" / f"{number:02}.png", picture(number, 0 if number % 3 else 100))
    (folder / "parts" / "05x.png").write_bytes(b"no picture")
    infer_files([str(folder / "parts")], bundle.path, folder / "out", **OPTIONS)
    return folder / "parts", folder / "out"


def same(out: Path, whole: Path) -> bool:
    """Whether two folders hold the same, each with overlays of its own."""
    ours, theirs = content(out), content(whole)
    ours["verdicts.jsonl"] = ours["verdicts.jsonl"].replace(bytes(out), bytes(whole))
    return ours == theirs


def interrupted_after(count: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ``count``-th line is the last before ``error``, once."""
    append = VerdictFile.append

    def failing(self: VerdictFile, line: dict) -> None:
        if len(self.lines) == count:
            monkeypatch.setattr(VerdictFile, "append", append)
            raise error
        append(self, line)

    monkeypatch.setattr(VerdictFile, "append", failing)


def test_lines_of_thresholds_with_many_digits_are_gone_on_from(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines hold rounded figures; thresholds of a training have as many digits as a float has."""
    trained = {"bolt": 0.0419992099670295, "washer": 0.1371834265190113}
    made = write_contract_bundle(tmp_path / "trained", product_thresholds=trained)
    whole, out = tmp_path / "whole", tmp_path / "out"
    infer_files([str(parts)], made.path, whole, **OPTIONS)
    assert {line["threshold"] for line in lines_in(whole)} == {0.041999, 0.137183}
    interrupted_after(7, KeyboardInterrupt(), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        infer_files([str(parts)], made.path, out, **OPTIONS)
    infer_files([str(parts)], made.path, out, **OPTIONS, resume=True)
    assert [{**line, "overlay": ""} for line in lines_in(out)] == [{**line, "overlay": ""} for line in lines_in(whole)]


@pytest.mark.parametrize("count", [0, 1, 5, 7, 12])
def test_an_interrupted_call_goes_on_as_if_nothing_had_been(
    count: int, bundle: Bundle, whole: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    parts, expected = whole
    out = tmp_path / "out"
    interrupted_after(count, KeyboardInterrupt(), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        infer_files([str(parts)], bundle.path, out, **OPTIONS)
    assert f"{count} of 13 images are judged and in" in capsys.readouterr().err.replace("\n", " ")
    assert len(lines_in(out)) == count
    with (out / "verdicts.jsonl").open("ab") as file:
        file.write(b'{"path": "torn')  # as a kill leaves it
    if count:
        with pytest.raises(OutputError, match="was interrupted.*--resume"):
            infer_files([str(parts)], bundle.path, out, **OPTIONS)
    summary = infer_files([str(parts)], bundle.path, out, **OPTIONS, resume=True)
    assert same(out, expected)
    assert len(capsys.readouterr().out.splitlines()) == 13
    # Once more: nothing is left to do, and it says the same.
    assert infer_files([str(parts)], bundle.path, out, **OPTIONS, resume=True) == summary
    assert same(out, expected)


def test_going_on_with_other_settings_is_refused(
    bundle: Bundle, whole: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, _ = whole
    out = tmp_path / "out"
    interrupted_after(3, KeyboardInterrupt(), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        infer_files([str(parts)], bundle.path, out, **OPTIONS)
    before = content(out)
    for changed, says in (
        ({"threshold": 0.6}, "another --threshold"),
        ({"product": "bolt"}, "another --product"),
        ({"precision": "fp16"}, "another graph, another backend or precision"),
        ({"overlays": OverlayStyle("png")}, "other overlays"),
    ):
        with pytest.raises(DataError, match=says):
            infer_files([str(parts)], bundle.path, out, **(OPTIONS | changed), resume=True)
    with pytest.raises(DataError, match="more or fewer pictures, other pictures"):
        infer_files([f"{parts}/0*.png"], bundle.path, out, **OPTIONS, resume=True)
    other = tmp_path / "other"
    shutil.copytree(bundle.path, other)
    Bundle.open(other).set_threshold(0.7)
    with pytest.raises(DataError, match="other thresholds of the bundle"):
        infer_files([str(parts)], other, out, **OPTIONS, resume=True)
    assert content(out) == before
    lines = before["verdicts.jsonl"].splitlines(keepends=True)
    (out / "verdicts.jsonl").write_bytes(lines[0] + lines[1][:20] + b"\n" + lines[2])
    with pytest.raises(DataError, match="line 2 of .*verdicts.jsonl is damaged"):
        infer_files([str(parts)], bundle.path, out, **OPTIONS, resume=True)


@pytest.mark.parametrize("name", ["00.png", "05x.png"])
def test_going_on_after_a_picture_was_changed_is_refused(
    name: str, bundle: Bundle, whole: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, out = shutil.copytree(whole[0], tmp_path / "parts"), tmp_path / "out"
    interrupted_after(7, KeyboardInterrupt(), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        infer_files([str(parts)], bundle.path, out, **OPTIONS)
    before, status, held = content(out), (parts / name).stat(), (parts / name).read_bytes()
    (parts / name).write_bytes(bytes(held[:-1]) + bytes([held[-1] ^ 1]))  # size and time stay
    os.utime(parts / name, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(DataError, match=f"{name} was changed since it was judged.*another --out"):
        infer_files([str(parts)], bundle.path, out, **OPTIONS, resume=True)
    assert content(out) == before
    (parts / name).unlink()
    (parts / name).symlink_to(parts / "nowhere")
    with pytest.raises(DataError, match=f"{name} was changed since it was judged"):
        infer_files([str(parts)], bundle.path, out, **OPTIONS, resume=True)
    (parts / name).unlink()
    (parts / name).write_bytes(held)
    (parts / "11.png").write_bytes(b"not judged yet")
    assert infer_files([str(parts)], bundle.path, out, **OPTIONS, resume=True).errors == 2


def test_two_calls_do_not_mix_their_lines(bundle: Bundle, whole: tuple[Path, Path], tmp_path: Path) -> None:
    parts, expected = whole
    settings = Run.model_validate_json((expected / "infer.json").read_bytes()).settings
    with (
        VerdictFile(tmp_path / "out", settings, resume=False),
        pytest.raises(OutputError, match="another call is writing to"),
    ):
        infer_files([str(parts)], bundle.path, tmp_path / "out", **OPTIONS)
    infer_files([str(parts)], bundle.path, tmp_path / "out", **OPTIONS)
    assert same(tmp_path / "out", expected)


def test_killed_at_any_moment_it_goes_on(bundle: Bundle, whole: tuple[Path, Path], tmp_path: Path) -> None:
    parts, expected = whole
    out = tmp_path / "out"
    command = [sys.executable, "-m", "snl_edge", "infer", str(parts), "--bundle", str(bundle.path), "--out", str(out)]
    command += ["--backend", "onnxruntime", "--json", "--resume"]
    for number, kind in enumerate((signal.SIGKILL, signal.SIGTERM)):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        for _ in range(2 + 3 * number):
            process.stdout.readline()
        process.send_signal(kind)
        process.communicate(timeout=60)
        assert process.returncode in (-kind, 128 + kind, 3)  # 3: it had ended before the signal came
    assert subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 3
    assert same(out, expected)


def test_a_full_disk_ends_it_with_what_is_there_and_it_goes_on(
    bundle: Bundle, whole: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, expected = whole
    out = tmp_path / "out"
    append = VerdictFile.append

    def full(self: VerdictFile, line: dict) -> None:
        if len(self.lines) < 4:
            append(self, line)
            return
        monkeypatch.setattr(VerdictFile, "append", append)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._end + 30, before[1]))  # takes a part of the line
        try:
            append(self, line)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    monkeypatch.setattr(VerdictFile, "append", full)
    with pytest.raises(OutputError, match="stopped: cannot write .*the verdicts of 4 of 13 pictures.*--resume"):
        infer_files([str(parts)], bundle.path, out, **OPTIONS)
    assert len(lines_in(out)) == 4
    infer_files([str(parts)], bundle.path, out, **OPTIONS, resume=True)
    assert same(out, expected)


def test_a_line_is_on_disk_before_the_next_picture_is_judged(bundle: Bundle, tmp_path: Path) -> None:
    """The first batch's lines can be read while a later picture keeps everybody waiting."""
    parts, out = tmp_path / "parts", tmp_path / "out"
    parts.mkdir()
    for number in range(40):
        write(parts / f"{number:02}.png", picture(number))
    seen: list[int] = []
    detect = Detector.detect

    def watching(self: Detector, images: Any, *given: Any, **named: Any) -> Any:
        seen.append(len(lines_in(out)))
        return detect(self, images, *given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Detector, "detect", watching)
        infer_files([str(parts)], bundle.path, out, **OPTIONS)
    assert len(seen) == 10
    assert all(later >= 4 * (call - 12) for call, later in enumerate(seen))
    assert seen[-1] > 0


def test_what_the_engine_says_of_one_picture_costs_no_other(
    bundle: Bundle, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = Detector._check_outputs

    def bad(self: Detector, outputs: Any) -> None:
        check(self, outputs)
        if (outputs.score > 1.35).any():
            raise ResultError("a score is no number")

    monkeypatch.setattr(Detector, "_check_outputs", bad)
    summary = infer_files([str(parts)], bundle.path, tmp_path / "out", **OPTIONS)
    errors = [line["path"] for line in lines_in(tmp_path / "out") if "error" in line]
    assert 1 <= len(errors) < 4
    assert summary.errors == len(errors)
    assert summary.pictures == 10


def test_what_is_written_is_as_the_schema_says(bundle: Bundle, whole: tuple[Path, Path]) -> None:
    published = Path(__file__).parents[2] / "docs" / "infer.schema.json"
    assert published.read_text(encoding="utf-8") == json.dumps(json_schema(), indent=2) + "\n"
    definitions = json_schema()["$defs"]
    assert {"error", "overlay", "path_bytes", "sha256"}.isdisjoint(definitions["JudgedPicture"]["required"])
    assert set(definitions["FailedPicture"]["required"]) == {"path", "error"}
    _, out = whole
    lines = lines_in(out)
    for line in lines:
        assert LINE.validate_python(line).model_dump(mode="json", exclude_unset=True) == line
    run = Run.model_validate_json((out / "infer.json").read_bytes())
    assert run.summary is not None
    assert (run.settings.digest, run.settings.engine) == (bundle.root, None)
    assert run.settings.graph == bundle.graph_sha256("fp32")
    assert (run.summary.pictures, run.summary.errors) == (13, 1)
    assert sum(one.good + one.reject + one.unknown for one in run.summary.products.values()) == 12
    # One scheme: a service that asks the detector itself gets the same of a picture.
    with Detector.load(bundle.path, backend="onnxruntime", threads=1) as detector:
        frame = cv2.imread(lines[0]["path"])
        said = detector.detect(frame, colours="bgr")[0].to_dict()
        odd = detector.detect(frame, colours="bgr", threshold=0.4199920996702952)[0].to_dict()
        assert odd["threshold"] == 0.419992  # as many digits as the score beside it
    JudgedFrame.model_validate(said)
    assert said == {name: value for name, value in lines[0].items() if name not in ("path", "sha256", "overlay")}


def test_doubts_are_in_lines_and_summary(bundle: Bundle, parts: Path, tmp_path: Path) -> None:
    wide = np.round(picture(0).astype(np.float32) * (4095 / 255)).astype(np.uint16)
    write(parts / "0.png", wide)
    infer_files([str(parts)], bundle.path, tmp_path / "out", **OPTIONS, product="bolt", threshold=2.0)
    first, second, _, fourth = lines_in(tmp_path / "out")[:4]
    assert "taken for washer, not for bolt" in fourth["doubts"]
    assert any("12 bits?" in doubt for doubt in first["doubts"])
    assert first["largest_value"] == int(wide.max())
    assert second["doubts"] == ["2 is 4 times training's threshold of bolt: few defects will be rejected"]
    summary = Run.model_validate_json((tmp_path / "out" / "infer.json").read_bytes()).summary
    assert summary is not None
    assert summary.doubts[0].pictures == 10


def test_the_table_is_whole_sorted_and_filtered(bundle: Bundle, whole: tuple[Path, Path], tmp_path: Path) -> None:
    parts, out = whole
    base = ["infer", str(parts), "--bundle", str(bundle.path), "--backend", "onnxruntime"]

    def rows(*options: str) -> tuple[list[list[str]], str]:
        done = CliRunner().invoke(app, [*base, *options])
        assert done.exit_code == 3, done.output
        return [line.split() for line in done.stdout.splitlines() if line.startswith(str(parts))], done.stdout

    found, said = rows("--csv", str(tmp_path / "all.csv"))
    assert len(found) == 13
    kinds = [row[1] for row in found]
    assert kinds == ["error"] + ["reject"] * kinds.count("reject") + ["good"] * kinds.count("good")
    relations = [float(row[5]) for row in found if row[1] == "reject"]
    assert relations == sorted(relations, reverse=True)
    assert "score over threshold, by product:" in said
    assert [row[1] for row in rows("--sort", "relation")[0]][-1] == "error"  # it has none, and is not the highest
    found, said = rows("--only", "reject,error", "--sort", "path", "--limit", "3")
    assert [Path(row[0]).name for row in found] == ["00.png", "03.png", "05x.png"]
    assert "not shown: 8 other than reject, error, 2 beyond --limit 3" in said
    with (tmp_path / "all.csv").open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.DictReader(file))
    lines = lines_in(out)
    assert [row["path"] for row in table] == [line["path"] for line in lines]
    reject = next(index for index, line in enumerate(lines) if line.get("regions"))
    box = [int(table[reject][f"region_{name}"]) for name in ("x", "y", "width", "height")]
    assert box == lines[reject]["regions"][0]["box"]
    assert float(table[reject]["relation"]) == lines[reject]["relation"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ([], 0),
        (["--fail-on", "reject"], 4),
        (["--fail-on", "unknown"], 5),
        (["--fail-on", "unknown,reject"], 4),
        (["--fail-on", "reject", "--threshold", "50"], 0),
        (["--fail-on", "doubt"], 1),
        (["--fail-on", "good"], 1),
        (["--resume"], 1),
        (["--only", "bad"], 1),
    ],
)
def test_the_exit_code_says_what_was_found(options: list[str], code: int, bundle: Bundle, tmp_path: Path) -> None:
    write(tmp_path / "washer.png", picture(0))
    write(tmp_path / "unknown.png", np.full((HEIGHT, WIDTH, 3), 255, np.uint8))
    base = ["infer", str(tmp_path), "--bundle", str(bundle.path), "--backend", "onnxruntime"]
    done = CliRunner().invoke(app, [*base, *options])
    assert (done.exit_code, type(done.exception)) == (
        code,
        SystemExit if code > 1 else ConfigError if code else NoneType,
    )


@pytest.mark.parametrize("word", ["good", "error", "doubt"])
def test_what_fail_on_does_not_take_it_does_not_offer(word: str, bundle: Bundle, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["infer", str(tmp_path), "--bundle", str(bundle.path), "--fail-on", word])
    assert str(done.exception) == f"unknown verdict '{word}'. Choose reject, unknown."


def test_overlays_say_what_was_found_at_a_size_to_look_at(bundle: Bundle, tmp_path: Path) -> None:
    frame = np.full((1500, 2500, 3), 100, np.uint8)
    frame[600:700, 1000:1200] = 200
    write(tmp_path / "large.png", frame)
    calls = {"jpeg": OverlayStyle(), "png": OverlayStyle("png", 0)}
    shapes = {}
    for name, style in calls.items():
        infer_files([str(tmp_path / "large.png")], bundle.path, tmp_path / name, **OPTIONS, overlays=style)
        (line,) = lines_in(tmp_path / name)
        drawn = cv2.imread(line["overlay"])
        assert drawn is not None
        shapes[name] = drawn.shape[:2]
        assert line["regions"]
    assert shapes["jpeg"][1] == 1600
    assert 960 < shapes["jpeg"][0] < 1100
    assert shapes["png"][1] == 2500
    assert 1500 < shapes["png"][0] < 1700
    yellow = (drawn[..., 0] < 30) & (drawn[..., 1] > 180) & (drawn[..., 2] > 220)
    assert yellow.any()


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("parts/0.png", "it is one of the pictures to inspect"),
        ("linked.csv", "it is one of the pictures to inspect"),
        ("bundle/manifest.json", "is the folder of a bundle"),
        ("bundle/new.csv", "is the folder of a bundle"),
        ("other/new.csv", "is the folder of a bundle"),
        ("out/verdicts.jsonl", "--out writes a file of that name"),
        ("out/infer.json", "--out writes a file of that name"),
        ("out/0.jpg", "--out writes a file of that name"),
        ("notes.csv", "it is no CSV that infer wrote"),
    ],
)
def test_a_table_is_written_over_nothing_but_a_table(
    place: str, why: str, bundle: Bundle, parts: Path, tmp_path: Path
) -> None:
    (tmp_path / "bundle").symlink_to(bundle.path)
    (tmp_path / "linked.csv").symlink_to(parts / "0.png")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text("{}")
    (tmp_path / "notes.csv").write_text("path,verdict\nmine,good\n")
    before = (tmp_path / place).read_bytes() if (tmp_path / place).exists() else None
    with pytest.raises(OutputError, match=why):
        infer_files([str(parts)], bundle.path, tmp_path / "out", **OPTIONS, csv=tmp_path / place)
    assert before == ((tmp_path / place).read_bytes() if before is not None else None)
    assert not (tmp_path / "out").exists()


def test_a_table_takes_the_place_of_an_earlier_one(bundle: Bundle, parts: Path, tmp_path: Path) -> None:
    table = tmp_path / "out" / "all.csv"
    for names in ("0.png", "[01].png"):
        infer_files([str(parts / names)], bundle.path, tmp_path / "out", **OPTIONS, csv=table)
    assert len(table.read_text(encoding="utf-8-sig").splitlines()) == 3


def test_folders_of_bundles_and_runs_take_no_verdicts(bundle: Bundle, parts: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.json").write_text("{}")
    for out, why in ((bundle.path, "of a bundle"), (bundle.path / "x", "of a bundle"), (tmp_path, "of a run")):
        before = sorted(out.iterdir()) if out.exists() else None
        with pytest.raises(OutputError, match=why):
            infer_files([str(parts)], bundle.path, out, **OPTIONS)
        assert before == (sorted(out.iterdir()) if out.exists() else None)


def _changed(line: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps({name: value for name, value in (line | changes).items() if value != "gone"}).encode()


@pytest.mark.parametrize(
    ("name", "number", "why"),
    [
        ("twice", 2, "it is of .*00.png, and picture 2 is .*01.png"),
        ("swapped", 3, "it is of .*03.png, and picture 3 is"),
        ("passed", 1, "its verdict, good, does not follow"),
        ("lowered", 1, "does not follow|its relation is not"),
        ("huge", 1, "no graph gives such a score"),
        ("rule", 1, "does not follow"),
        ("other", 1, "a product that the bundle does not know"),
        ("relation", 1, "its relation is not"),
        ("text", 1, "is damaged"),
        ("unnamed", 1, "it does not name its overlay, 00.jpg"),
        ("drawn", 2, "its overlay .*01.jpg is gone"),
        ("long", 2, "longer than 256.0 KiB"),
    ],
)
def test_going_on_after_lines_that_are_not_the_result_is_refused(
    name: str,
    number: int,
    why: str,
    bundle: Bundle,
    whole: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts, _ = whole
    out = tmp_path / "out"
    interrupted_after(5, KeyboardInterrupt(), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        infer_files([str(parts)], bundle.path, out, **OPTIONS)
    path = out / "verdicts.jsonl"
    lines = path.read_bytes().splitlines()
    first = json.loads(lines[0])
    assert first["verdict"] == "reject"
    match name:
        case "twice":
            lines[1] = lines[0]
        case "swapped":
            lines[2:4] = lines[3], lines[2]
        case "passed":
            lines[0] = _changed(first, verdict="good", regions=[])
        case "lowered":
            lines[0] = _changed(first, score=0.1)
        case "huge":
            lines[0] = _changed(first, score=1e308, relation=1e308)
        case "rule":
            lines[0] = _changed(first, threshold=10.0, verdict="good", relation=first["score"] / 10, regions=[])
        case "other":
            lines[0] = _changed(first, recognised="nut", product="nut")
        case "relation":
            lines[0] = _changed(first, relation=None)
        case "text":
            lines[0] = _changed(first, score=str(first["score"]))
        case "unnamed":
            lines[0] = _changed(first, overlay="gone")
        case "drawn":
            (out / "01.jpg").unlink()
        case "long":
            lines = [lines[0], b'{"path": "' + b"x" * 2**18]
    path.write_bytes(b"\n".join(lines) + (b"" if name == "long" else b"\n"))
    before = content(out)
    with pytest.raises(DataError, match=f"line {number} of .*verdicts.jsonl.*({why})"):
        infer_files([str(parts)], bundle.path, out, **OPTIONS, resume=True)
    assert content(out) == before


def test_links_in_a_circle_and_files_larger_than_any_picture_cost_no_other(
    bundle: Bundle, parts: Path, tmp_path: Path
) -> None:
    (parts / "loop.png").symlink_to("loop.png")
    for name, size in (("large.png", 5 * 2**30), ("zeros.png", 2**24)):
        with (parts / name).open("wb") as file:
            file.truncate(size)
    program = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from snl_edge.infer.command import infer_files\n"
        # Not ru_maxrss: that of a process begins with what its parent held before exec.
        "status = lambda: Path('/proc/self/status').read_text()\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s*([0-9]+)', status())[1]) >> 10\n"
        "s = infer_files([sys.argv[1]], Path(sys.argv[2]), Path(sys.argv[3]), backend='onnxruntime', as_json=True)\n"
        "print(s.errors, s.pictures, peak(), file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", program, str(parts), str(bundle.path), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    *_, errors, pictures, peak = done.stderr.split()
    assert (errors, pictures) == ("3", "13"), done.stderr
    assert int(peak) < 700
    said = {Path(line["path"]).name: line["error"] for line in lines_in(tmp_path / "out") if "error" in line}
    assert "symbolic links" in said["loop.png"]
    assert "5.0 GiB" in said["large.png"]
    assert "no PNG" in said["zeros.png"]


def test_files_of_several_pictures_are_doubtful(bundle: Bundle, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    first, *others = [Image.fromarray(picture(number)) for number in range(3)]
    for suffix in ("tif", "webp", "png"):
        first.save(parts / f"many.{suffix}", save_all=True, append_images=others)
        first.save(parts / f"one.{suffix}")
    thumbnail = TiffImagePlugin.ImageFileDirectory_v2()
    thumbnail[254] = 1  # NewSubfileType: a smaller version of another page
    with (parts / "thumb.tif").open("w+b") as file, TiffImagePlugin.AppendingTiffWriter(file) as pages:
        first.save(pages, "TIFF")
        pages.newFrame()
        first.resize((8, 8)).save(pages, "TIFF", tiffinfo=thumbnail)
    infer_files([str(parts)], bundle.path, tmp_path / "out", **OPTIONS)
    told = {Path(line["path"]).name: line["doubts"] for line in lines_in(tmp_path / "out")}
    assert {name for name, doubts in told.items() if doubts} == {"many.png", "many.tif", "many.webp"}
    assert told["many.tif"] == ["the file holds several pages (TIFF), of which the first alone is judged"]
