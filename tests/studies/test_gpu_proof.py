"""The proof on a GPU machine, dry: the same programs, with driver and TensorRT stood in for and tiny models."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import numpy as np
import pytest
from standin.build import CannotBuildError, build

from snl_edge.benchmarks.results import Result, read_result
from snl_edge.errors import DataError
from studies.gpu_proof import torch_steps
from studies.gpu_proof.lines import FILE, read_lines
from studies.gpu_proof.outcome import DRY_RUN
from studies.gpu_proof.settings import ProofSettings
from studies.gpu_proof.tables import AWAITS, gpu_table
from studies.gpu_proof.unpack import copy_studies

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def outcome(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Both calls, without what trains, exports or runs the GPU tests: these have their own tests."""
    try:
        found = build()
    except CannotBuildError as error:
        pytest.skip(f"the stand-ins cannot be built: {error}")
    folder = tmp_path_factory.mktemp("proof")
    shutil.copytree(bundle, folder / "work" / "edge")
    # An H100's: TensorRT-RTX does not list it.
    environment = {**os.environ, **found, "OMP_NUM_THREADS": "1", "STANDIN_COMPUTE_CAPABILITY": "90"}
    copy_studies(folder / "site")
    environment["PYTHONPATH"] = os.pathsep.join([found["PYTHONPATH"], str(folder / "site")])
    places = [f"--work={folder / 'work'}", f"--out={folder / 'out'}", f"--root={ROOT}"]
    what = ["--quick", "--presets=edge", "--precisions=fp16"]
    for part, only in (("first", "doctor,driver"), ("second", "targets,engines,speed")):
        program = [sys.executable, "-m", "studies.gpu_proof.run", part, f"--only={only}"]
        done = subprocess.run(
            [*program, *places, *what], env=environment, cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    print((folder / "out/log.txt").read_text())
    return read_result(folder / "out" / "gpu-proof.json")


def test_every_step_ends_well(outcome: Result) -> None:
    steps = {line["step"]: line["exit"] for line in outcome.figures["step"]}
    assert steps == dict.fromkeys(["doctor", "driver", "targets", "engines edge", "speed edge"], 0)
    assert outcome.settings["stood_in"] == ["driver", "TensorRT"]
    assert outcome.name == DRY_RUN


def test_an_unlisted_gpu_is_tried_with_every_target(outcome: Result) -> None:
    tried = {line["target"]: line.get("error", "") for line in outcome.figures["target"]}
    assert not tried["default"]  # the stand-in's default engine runs anywhere
    assert "unsupported cc" in tried["SM80"]
    assert list(tried) == ["default", "CURRENT", "SM80", "SM89", "SM120"]


def test_engines_are_measured(outcome: Result) -> None:
    figures = outcome.figures
    assert [line["precision"] for line in figures["engine"] if "error" not in line] == ["fp16"]
    assert [line["batch"] for line in figures["latency"]] == [1, 2]
    assert all(min(line["p50"], line["engine_p50"]) > 0 for line in figures["latency"])
    assert {(line["batch"], line["in_flight"]) for line in figures["throughput"]} == {(1, 1), (1, 2), (2, 1), (2, 2)}


def test_pytorch_and_training_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FILE, str(tmp_path / "lines"))
    settings = ProofSettings(work=tmp_path, out=tmp_path, root=ROOT, presets=("edge",), quick=True)
    height, width = settings.model("edge").size
    outputs = torch_steps.fused_outputs(settings, "edge", np.zeros((2, height, width, 3), np.uint8))
    assert [output.shape for output in outputs] == [(2, height, width), (2,), (2,), (2,)]
    torch_steps.pytorch(settings, "edge")
    torch_steps.training(settings, "edge")
    found = read_lines(tmp_path / "lines")
    assert {(line["what"], line["batch"]) for line in found["pytorch"]} == {
        (f"eager {kind}", batch) for kind in ("fp32", "fp16") for batch in (1, 8)
    }
    assert [line["cached"] for line in found["training"]] == [True, False]
    assert all(line["images_per_s"] > 0 for line in found["training"])


def test_a_dry_run_is_no_figure(outcome: Result) -> None:
    with pytest.raises(DataError, match="dry run"):
        gpu_table({"gpu-proof.json": outcome}, "all")


def test_table_shows_a_run_or_awaits_one(outcome: Result) -> None:
    assert gpu_table({}, "all") == AWAITS
    figures = {
        **outcome.figures,
        "parity": [{"preset": "edge", "what": "fp16", "score": 1e-3, "products_changed": 0}],
        "pytorch": [{"preset": "edge", "what": "eager fp16", "batch": 1, "p50": 1.5, "p99": None}],
    }
    real = {"name": "nvidia-h100", "settings": {**outcome.settings, "stood_in": []}, "figures": figures}
    text = gpu_table({"a": Result.model_validate({**json.loads(outcome.model_dump_json()), **real})}, "all")
    assert "| `edge` | fp16 | 1.0e-03 | 0 |" in text
    assert "PyTorch, eager fp16" in text
    assert "built for default" in text
    real["settings"] = {**outcome.settings, "stood_in": ["TensorRT"]}
    text = gpu_table({"a": Result.model_validate({**json.loads(outcome.model_dump_json()), **real})}, "all")
    assert "| `edge` | fp16" not in text
    assert "TensorRT-RTX did not run" in text


def test_what_the_device_needs_travels_or_is_there():
    """A package that the base install gained and no half brings would end the proof at its first import."""
    from studies.gpu_proof.pack import LACKING

    there = {"numpy", "onnxruntime", "opencv-python-headless", "rich", "typer"} | {
        "jinja2",
        "pillow",
    }  # with PyTorch, timm
    needed = [package for package in requires("snl-edge") or () if "extra ==" not in package]
    assert {re.split("[<>=; ]", package)[0] for package in needed} - there <= set(LACKING)
