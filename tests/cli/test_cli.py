"""The command line as a user meets it: results on stdout, one line per error, exit codes."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
import typer.main
from typer.testing import CliRunner

from snl_edge.cli.app import app
from snl_edge.data.layouts import open_dataset

COMMANDS = (
    "train",
    "evaluate",
    "export",
    "calibrate",
    "build",
    "infer",
    "threshold",
    "inspect",
    "make-key",
    "sign",
    "doctor",
    "demo",
    "ignore",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_with_an_example(snl_edge, command):
    result = snl_edge(command, "--help", env={**os.environ, "COLUMNS": "200"})
    assert result.returncode == 0
    assert f"Example: snl-edge {command}" in result.stdout


def failed_with_one_line(result) -> str:
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("snl-edge: ")]
    assert len(lines) == 1, result.stderr
    return lines[0]


def test_infer_judges_and_goes_on_after_a_broken_image(snl_edge, line, bundle, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for index, sample in enumerate(open_dataset(line).test[:3]):
        shutil.copy(sample.path, images / f"{index}.png")
    (images / "broken.png").write_bytes(b"no image")
    (images / "empty.png").write_bytes(b"")
    result = snl_edge("infer", images, "--bundle", bundle, "--out", "out", "--backend", "onnxruntime")
    assert result.returncode == 3
    assert "Traceback" not in result.stderr
    assert "5 images" in result.stdout
    assert "2 errors" in result.stdout
    assert "broken.png" in result.stderr
    assert "empty.png" in result.stderr
    lines = [json.loads(text) for text in (tmp_path / "out" / "verdicts.jsonl").read_text().splitlines()]
    assert [("error" in entry) for entry in lines] == [False, False, False, True, True]
    for entry in lines[:3]:
        figures = (entry[name] for name in ("score", "threshold", "relation"))
        row = next(row.split() for row in result.stdout.splitlines() if row.startswith(entry["path"]))
        assert row[1] == entry["verdict"]
        assert row[3:6] == ["-" if figure is None else f"{figure:.3f}" for figure in figures]
    again = ("infer", images / "0.png", "--bundle", bundle, "--out")
    assert snl_edge(*again, "out").returncode == 0  # overlays of its own
    before = (images / "0.png").read_bytes()
    refused = snl_edge(*again, images, "--overlay-format", "png")
    assert refused.returncode == 1
    assert "0.png would be overwritten" in refused.stderr
    assert (images / "0.png").read_bytes() == before
    assert "all others are overlays" in snl_edge("infer", "out/0.jpg", "--bundle", bundle).stderr
    overlay = cv2.imread(str(tmp_path / lines[0]["overlay"]))
    assert overlay.shape[1] == 512


def test_infer_json_lines_and_threshold(snl_edge, line, bundle):
    image = open_dataset(line).test[0].path
    result = snl_edge("infer", image, "--bundle", bundle, "--json", "--backend", "openvino")
    assert result.returncode == 0
    (entry,) = [json.loads(text) for text in result.stdout.splitlines()]
    sample = open_dataset(line).test[0]
    assert entry["product"] == sample.product
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert entry["threshold"] == pytest.approx(manifest["product_thresholds"][sample.product], abs=1e-6)
    for threshold, verdict in ((entry["score"] - 0.01, "reject"), (entry["score"] + 0.01, "good")):
        result = snl_edge("infer", image, "--bundle", bundle, "--json", "--threshold", threshold)
        assert json.loads(result.stdout)["verdict"] == verdict


def test_infer_calls_an_unknown_product_unknown(snl_edge, line, bundle, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), noise)
    product = open_dataset(line).products[1]
    arguments = ("noise.png", "--bundle", bundle, "--backend", "onnxruntime", "--out", "out")
    (entry,) = [json.loads(text) for text in snl_edge("infer", *arguments, "--json").stdout.splitlines()]
    assert (entry["verdict"], entry["product"]) == ("unknown", None)
    assert entry["product_distance"] > 1
    assert "0 good, 0 reject, 1 unknown, 0 errors" in snl_edge("infer", *arguments).stdout
    named = json.loads(snl_edge("infer", *arguments, "--json", "--product", product).stdout)
    assert (named["verdict"], named["product"]) == ("reject", product)


def test_infer_takes_folders_and_globs(snl_edge, line, bundle):
    products = open_dataset(line).products
    result = snl_edge(
        "infer", f"{line}/{products[0]}/test/*/*.png", line / products[1] / "test", "--bundle", bundle, "--json"
    )
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) == 14


@pytest.mark.parametrize("missing", ["nothing.png", "no*.png"])
def test_infer_without_images_says_so(snl_edge, bundle, missing):
    assert missing in failed_with_one_line(snl_edge("infer", missing, "--bundle", bundle))


def test_build_refuses_what_is_neither_run_nor_bundle(snl_edge, tmp_path):
    assert "no readable checkpoint" in failed_with_one_line(snl_edge("build", tmp_path, "--onnx-only"))


def test_build_makes_an_engine_without_a_gpu(snl_edge, bundle, tmp_path):
    pytest.importorskip("tensorrt_rtx", reason="needs TensorRT-RTX: pip install tensorrt-rtx-cu13")
    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy)
    result = snl_edge("build", copy, "--precision", "fp16", "--compute-capability", "8.6")
    assert result.returncode == 0, result.stderr
    (engine,) = (copy / "engines").glob("*.engine")
    description = json.loads(snl_edge("inspect", engine, "--json").stdout)
    assert description["precision"] == "fp16"
    assert description["compute_capabilities"] == ["8.6"]
    assert description["layers"]["convolution float16"] > 20
    assert "convolution float32" not in description["layers"]
    content = bytearray(engine.read_bytes())
    content[len(content) // 2] ^= 1
    engine.write_bytes(content)
    assert "is damaged" in failed_with_one_line(snl_edge("inspect", engine))


def test_evaluate_writes_its_report(snl_edge, line, bundle, tmp_path):
    result = snl_edge("evaluate", line, "--model", bundle, "--out", "report", "--json")
    assert result.returncode == 0, result.stderr
    assert set(json.loads(result.stdout)) == {"verdicts", "mean", "products", "recognition", "seen", "notes"}
    assert (tmp_path / "report" / "index.html").is_file()


def test_inspect_knows_every_kind(snl_edge, run, bundle, tmp_path):
    for path, kind in ((run, "run"), (bundle, "bundle"), (bundle / "fp16.onnx", "ONNX graph")):
        result = CliRunner().invoke(app, ["inspect", str(path), "--json"])
        assert result.exit_code == 0, result.exception
        assert json.loads(result.stdout)["kind"] == kind
    assert "nothing that snl-edge wrote" in failed_with_one_line(snl_edge("inspect", tmp_path))


def test_threshold_is_shown_and_set_without_building(snl_edge, line, bundle, tmp_path):
    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy)
    product = json.loads((copy / "manifest.json").read_text())["products"][0]
    untouched = (copy / "thresholds.jsonl").read_bytes()
    refused = failed_with_one_line(snl_edge("threshold", copy, "0.71", "--product", product))
    assert re.search(
        r"0\.71 is [\d.]+ times training's threshold of .*few defects will be rejected.*--confirm", refused
    )
    assert "confirm" in failed_with_one_line(snl_edge("threshold", copy, "--unknown", "9"))
    assert (copy / "thresholds.jsonl").read_bytes() == untouched
    assert snl_edge("threshold", copy, "0.71", "--product", product, "--confirm").returncode == 0
    output = snl_edge("threshold", copy).stdout
    table = [line.split("  ")[0] for line in output.splitlines()]
    changed = output.splitlines()[table.index(product)]
    assert re.search(r" 0\.710 .* set by \S+@\S+ on \S+ \(training chose \d\.\d{3}\)$", changed)
    assert "certain (95 %): at most" in output.splitlines()[0]
    assert "Name one with --product" in failed_with_one_line(snl_edge("threshold", copy, "0.71"))
    assert "doubtful: 0.71 is" in snl_edge("threshold", copy).stderr
    picture = open_dataset(line).test[0].path
    assert "doubtful: 0.71 is" in snl_edge("infer", picture, "--bundle", copy, "--backend", "onnxruntime").stderr
    reset = snl_edge("threshold", copy, "--reset").stdout
    assert "training chose" not in reset
    assert re.search(r" 8 .* extrapolated$", reset.splitlines()[table.index(product)])
    assert "unknown product" in failed_with_one_line(snl_edge("threshold", copy, "0.71", "--product", "anvil"))
    assert snl_edge("threshold", copy, "--unknown", "1.3").returncode == 0
    assert "(unknown product, above distance): 1.300" in snl_edge("threshold", copy).stdout
    assert "limit of unknown products" in failed_with_one_line(snl_edge("threshold", copy, "--unknown", "0"))
    assert "cannot be a threshold" in failed_with_one_line(snl_edge("threshold", copy, "nan", "--product", product))


def test_doctor_reports_as_data(snl_edge):
    findings = json.loads(snl_edge("doctor", "--json").stdout)
    subjects = {finding["subject"]: finding for finding in findings}
    assert subjects["run on ONNX Runtime"]["ready"]
    for finding in findings:
        assert finding["ready"] or finding["remedy"], finding["subject"]
    assert "train and export" in snl_edge("doctor").stdout


def test_errors_before_training_leave_nothing_behind(snl_edge, line, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    failed_with_one_line(snl_edge("train", empty, "--preset", "edge"))
    assert "egde" in failed_with_one_line(snl_edge("train", line, "--preset", "egde"))
    assert "height" in failed_with_one_line(snl_edge("train", line, "--preset", "edge", "--size", "100"))
    assert "no such product" in failed_with_one_line(
        snl_edge("train", line, "--preset", "edge", "--products", "no such product")
    )
    assert not (tmp_path / "runs").exists()


def test_a_read_only_place_is_one_line(snl_edge, bundle, line, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(stat.S_IRUSR | stat.S_IXUSR)
    if os.access(locked, os.W_OK):  # root may write anywhere; a file where a folder should be stops root as well
        locked.rmdir()
        locked.write_text("")
    image = open_dataset(line).test[0].path
    assert "cannot write" in failed_with_one_line(snl_edge("infer", image, "--bundle", bundle, "--out", locked / "out"))


def test_camera_frames_of_any_size_are_fitted(snl_edge, bundle, tmp_path):
    frame = np.full((480, 640), 90, np.uint8)
    cv2.imwrite(str(tmp_path / "frame.png"), frame)
    result = snl_edge("infer", "frame.png", "--bundle", bundle, "--out", "out")
    assert result.returncode == 0, result.stderr
    assert cv2.imread(str(tmp_path / "out" / "frame.jpg")).shape[1] == 640


def test_a_run_without_torch_says_what_to_install(run, tmp_path):
    """The base install meets a run folder: one line, no traceback."""
    program = (
        "import importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'torch' else find(name, package)\n"
        "from snl_edge.cli import main\n"
        "main()\n"
    )
    for arguments in (
        ["build", str(run), "--onnx-only"],
        ["evaluate", str(run), "--model", str(run)],
        ["inspect", str(run)],
    ):
        result = subprocess.run(
            [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert 'pip install "snl-edge[train]"' in failed_with_one_line(result)


def test_the_help_of_every_group_of_commands_gives_whole_sentences() -> None:
    def groups(group: Any, path: list[str]) -> Iterator[tuple[Any, list[str]]]:
        yield group, path
        for name, own in group.commands.items():
            if hasattr(own, "commands"):
                yield from groups(own, [*path, name])

    found = list(groups(typer.main.get_command(app), []))
    assert {"stream", "bench"} <= {name for _, path in found for name in path}
    for group, path in found:
        shown = " ".join(CliRunner().invoke(app, [*path, "--help"]).output.split())
        for name, command in group.commands.items():
            assert f"{name} {' '.join(command.get_short_help_str(limit=10_000).split())}" in shown
