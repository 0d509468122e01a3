"""What runs in the cabinet needs none of the packages for training and export."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from contract_graph import write_contract_bundle

pytestmark = pytest.mark.everywhere

HEAVY = ("torch", "timm", "torchvision", "onnx", "onnxsim", "safetensors", "matplotlib", "openvino", "pycuda")


PROGRAM = """
import sys
from importlib.abc import MetaPathFinder

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in sys.argv[2].split(","):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())

from pathlib import Path

import cv2
import numpy as np
from snl_edge import Detector
from snl_edge.infer.command import infer_files
from snl_edge.runtime.overlay import draw_overlay

frame = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
with Detector.load(Path(sys.argv[1])) as detector:
    verdict = detector.detect([frame], product="bolt")[0]
assert draw_overlay(frame, verdict.anomaly_map, verdict.threshold).shape == frame.shape
picture = Path(sys.argv[1]) / "part.png"
picture.write_bytes(cv2.imencode(".png", frame)[1].tobytes())
summary = infer_files([str(picture)], Path(sys.argv[1]), Path(sys.argv[1]).with_name("out"))
assert (summary.pictures, summary.errors) == (1, 0), summary
assert not set(sys.argv[2].split(",")) & set(sys.modules)
print(detector.backend_reason)
"""


def test_detector_and_overlay_run_without_the_heavy_packages(tmp_path: Path) -> None:
    write_contract_bundle(tmp_path / "line")
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "line"), ",".join(HEAVY)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "\nONNX Runtime" in done.stdout
    assert "not OpenVINO" in done.stdout


def test_base_dependencies_name_none_of_them() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^dependencies = \[(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    assert block
    names = {re.split(r"[<>=!~;\[ ]", line)[0] for line in re.findall(r'"([^"]+)"', block.group(1))}
    assert {"numpy", "onnxruntime", "pydantic"} <= names
    assert not names & set(HEAVY)
