"""`snl-edge check`, and the depth of 16-bit pictures on its way from the option to the line."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from contract_graph import HEIGHT, WIDTH, write_contract_bundle
from lines import line_config, records, run_to_end
from typer.testing import CliRunner

from snl_edge.cli import app
from snl_edge.data.check import check_samples
from snl_edge.data.layouts import open_dataset
from snl_edge.errors import DataError
from snl_edge.infer.command import infer_files
from snl_edge.runtime.manifest import FILE, InputSpec
from snl_edge.runtime.manifest_file import read_manifest


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return path


def part(seed: int, bits: int = 8) -> np.ndarray:
    """Noise up to the largest value of so many bits: ``[HEIGHT, WIDTH]``."""
    values = np.random.default_rng(seed).integers(0, 2**bits, (HEIGHT, WIDTH), np.uint16)
    values[0, 0] = 2**bits - 1
    return values.astype(np.uint8) if bits == 8 else values


def test_doubts_end_with_status_0_a_summary_and_a_page(tmp_path: Path) -> None:
    for seed in range(20):
        save(tmp_path / "parts" / "nut" / f"{seed:02}.png", part(seed))
    save(tmp_path / "parts" / "nut" / "again.bmp", part(3))
    (tmp_path / "parts" / "nut" / "21.heic").touch()
    shutil.copy(tmp_path / "parts/nut/00.png", tmp_path / "parts/nut/000001-cam-00000007-heatmap.jpg")
    done = CliRunner().invoke(app, ["check", str(tmp_path / "parts"), "--out", str(tmp_path / "page")])
    assert done.exit_code == 0, done.output
    lines = done.stdout.strip().splitlines()
    assert [line.partition(":")[0] for line in lines[:-1]] == ["doubt", "doubt", "note"]
    assert "1 file not read (1 .heic)" in lines[0]
    assert "1 training image pixel for pixel the same as another" in lines[1]
    assert "1 heatmap that a line kept beside its pictures" in lines[2]
    assert lines[-1] == "1 product, 21 good images, 0 defective (21 to train on): 0 faults, 2 doubts"
    page = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 2
    assert page.index("How it was read") < page.index("1 heatmap that a line kept")
    assert "cannot be shown" in page  # the HEIC file is empty


def test_faults_end_with_status_1_and_stand_first_on_the_page(tmp_path: Path) -> None:
    for seed in range(3):
        save(tmp_path / "nut" / f"{seed}.png", part(seed, 12))
    whole = cv2.imencode(".jpg", part(9))[1].tobytes()
    (tmp_path / "nut" / "hole.jpg").write_bytes(whole[: len(whole) // 2] + b"\xff\xd9")
    done = CliRunner().invoke(app, ["check", str(tmp_path / "nut"), "--json", "--out", str(tmp_path / "page")])
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert [fault["kind"] for fault in found["faults"]] == ["unreadable", "bit_depth"]
    assert "hole.jpg is damaged" in found["faults"][0]["text"]
    assert "--bits 12" in found["faults"][1]["text"]
    assert [Path(image).name for image in found["faults"][1]["images"]] == ["0.png", "1.png", "2.png"]
    page = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert page.index("unreadable") < page.index("bit depth")
    assert page.count("data:image/jpeg") == 3
    (tmp_path / "nut" / "hole.jpg").unlink()
    told = CliRunner().invoke(app, ["check", str(tmp_path / "nut"), "--bits", "12"])
    assert told.exit_code == 0, told.output


def test_what_is_no_file_and_masks_of_no_image_are_looked_at(tmp_path: Path) -> None:
    root = tmp_path / "nut"
    for seed in range(2):
        save(root / "good" / f"{seed}.png", part(seed))
        save(root / "bad" / f"{seed}.png", part(seed + 9))
    cut = cv2.imencode(".png", part(3))[1].tobytes()[:-200]
    for name in ("good/0_mask.png", "ground_truth/nobody.png", "ground_truth/good/1.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(cut)
    os.mkfifo(root / "good" / "pipe.png")
    os.mkfifo(root / "ground_truth" / "1_mask.png")
    (root / "good" / "device.bmp").symlink_to("/dev/zero")
    (root / "good" / "x.png").mkdir()
    done = CliRunner().invoke(app, ["check", str(root)])
    assert done.exit_code == 1, done.output
    faults = "".join(line for line in done.stdout.splitlines(keepends=True) if line.startswith("fault"))
    for name, why in (
        ("good/pipe.png", "a pipe"),
        ("good/device.bmp", "a device"),
        ("ground_truth/1_mask.png", "a pipe"),
        ("good/0_mask.png", "damaged|not a readable"),
        ("ground_truth/nobody.png", "damaged|not a readable"),
        ("ground_truth/good/1.png", "damaged|not a readable"),
    ):
        assert re.search(rf"{name}.*({why})", faults), (name, faults)
    assert faults.count("fault") == 6
    assert re.search(r"doubt: 1 folder named as an image, and no image: .*good/x\.png\n", done.stdout)
    with pytest.raises(DataError, match="pipe.png.*no regular file but a pipe"):
        check_samples(open_dataset(root).train)


def test_a_bundle_says_how_many_bits_its_pictures_have(tmp_path: Path) -> None:
    spec = InputSpec(height=HEIGHT, width=WIDTH, max_batch=1, bits=12)
    write_contract_bundle(tmp_path / "narrow", input=spec)
    write_contract_bundle(tmp_path / "silent")
    assert read_manifest(tmp_path / "narrow" / FILE).input.bits == 12
    assert "bits" not in (tmp_path / "silent" / FILE).read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="bits"):
        InputSpec(height=HEIGHT, width=WIDTH, max_batch=1, bits=7)


def infer(capsys: pytest.CaptureFixture[str], bundle: Path, *images: Path) -> tuple[list[dict], int, str]:
    options = {"backend": "onnxruntime", "precision": "fp32", "threshold": None, "product": "bolt", "as_json": True}
    failed = infer_files([str(path) for path in images], bundle, None, **options).errors
    printed = capsys.readouterr()
    return [json.loads(line) for line in printed.out.splitlines()], failed, " ".join(printed.err.split())


def test_infer_reads_pictures_by_the_depth_of_the_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = InputSpec(height=HEIGHT, width=WIDTH, max_batch=1, bits=12)
    write_contract_bundle(tmp_path / "narrow", input=spec)
    write_contract_bundle(tmp_path / "silent")
    narrow = save(tmp_path / "a.png", part(1, 12))
    eight = save(tmp_path / "b.png", np.round(part(1, 12) * (255 / 4095)).astype(np.uint8))
    wide = save(tmp_path / "c.png", part(1, 16))
    lines, failed, said = infer(capsys, tmp_path / "narrow", narrow, eight, wide)
    assert lines[0]["score"] == lines[1]["score"]
    assert failed == 1
    assert "c.png holds the value 65535" in lines[2]["error"]
    assert "12 bits" in lines[2]["error"]
    assert "16-bit pictures" not in said
    _, failed, said = infer(capsys, tmp_path / "silent", narrow, eight)
    assert failed == 0
    assert "the 16-bit picture has no value above 4095: 12 bits?" in said
    _, _, said = infer(capsys, tmp_path / "silent", narrow, wide)
    assert "16-bit pictures" not in said


def test_a_line_reads_files_by_the_depth_of_the_bundle(tmp_path: Path) -> None:
    spec = InputSpec(height=HEIGHT, width=WIDTH, max_batch=4, bits=12)
    write_contract_bundle(tmp_path / "narrow", input=spec)
    save(tmp_path / "parts" / "0.png", part(1, 12))
    save(tmp_path / "parts" / "1.png", np.round(part(1, 12) * (255 / 4095)).astype(np.uint8))
    save(tmp_path / "parts" / "2.png", part(1, 16))
    camera = {"product": "bolt", "checks": {"black_below": None, "frozen_after": None}}
    line = run_to_end(line_config(tmp_path / "narrow", tmp_path, camera=camera))
    first, second, third = sorted(records(line), key=lambda record: record.sequence)
    assert first.score == second.score
    assert third.verdict == "failsafe"
    assert third.reason == "corrupt"
