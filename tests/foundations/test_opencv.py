"""Which OpenCV a device uses, and what it says of one that it cannot use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from jetsons import write

from snl_edge import doctor
from snl_edge.errors import CameraError
from snl_edge.opencv import opencv, places, unusable
from snl_edge.service.check import check_line
from snl_edge.stream.config.line_config import LineConfig
from snl_edge.stream.sources.opencv import require_gstreamer

FOR_NUMPY_1 = """
import sys
print("A module that was compiled using NumPy 1.x cannot be run in NumPy 2\\n" * 20, file=sys.stderr)
raise ImportError("numpy.core.multiarray failed to import")
"""


def snl_edge_with(opencv_module: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a command with another OpenCV in front of the installed one."""
    write(folder / "front/cv2/__init__.py", opencv_module)
    command = [sys.executable, "-c", "from snl_edge.cli import main; main()", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(folder / "front")}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=folder, env=environment)


def test_an_opencv_for_numpy_1_ends_in_one_line(tmp_path: Path) -> None:
    done = snl_edge_with(FOR_NUMPY_1, tmp_path, "stream", "check", "line.yaml")
    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert f"OpenCV in {tmp_path / 'front'} cannot be imported" in said
    assert said.endswith('JetPack\'s needs NumPy 1: pip install "numpy<2" (docs/jetson.md).')


def test_another_reason_is_told_as_it_is() -> None:
    said = str(unusable(ImportError("libGL.so.1: cannot open")))
    assert "libGL.so.1: cannot open. Pip install opencv-python-headless" in said


def test_doctor_examines_the_rest_all_the_same(tmp_path: Path) -> None:
    done = snl_edge_with(FOR_NUMPY_1, tmp_path, "doctor", "--json")
    found = {finding["subject"]: finding for finding in json.loads(done.stdout)}
    assert not found["OpenCV with GStreamer"]["ready"]
    assert "compiled for another NumPy" in found["OpenCV with GStreamer"]["found"]
    assert found["run on ONNX Runtime"]["ready"]


def test_doctor_names_the_opencv_that_another_hides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = opencv().place
    write(tmp_path / "front/cv2/__init__.py", "")
    front = SimpleNamespace(
        __file__=str(tmp_path / "front/cv2/__init__.py"),
        __version__="4.10.0",
        getBuildInformation=lambda: "  GStreamer:                   NO",
    )
    monkeypatch.setattr("snl_edge.opencv.cv2", front)
    monkeypatch.syspath_prepend(tmp_path / "front")
    found = doctor._opencv()
    assert found["found"] == f"OpenCV 4.10.0 without GStreamer, from {tmp_path / 'front'}"
    assert f"it hides another OpenCV, in {hidden}" in found["remedy"]
    with pytest.raises(CameraError, match="it hides another OpenCV"):
        require_gstreamer()


def test_the_opencv_of_this_process_is_the_first_on_the_path() -> None:
    assert opencv().place == places()[0]


@pytest.mark.parametrize("source", [{"type": "synthetic"}, {"type": "csi"}])
def test_a_check_of_the_line_says_which_opencv_it_has(tmp_path: Path, source: dict[str, str]) -> None:
    config = LineConfig.model_validate(
        {
            "bundle": str(tmp_path / "none"),
            "cameras": [{"name": "top", "source": source}],
            "journal": {"folder": str(tmp_path / "journal")},
        }
    )
    (found,) = [finding for finding in check_line(config, connect=False) if finding.subject == "OpenCV"]
    assert str(opencv()) in found.text
    assert found.works is (source["type"] == "synthetic" or opencv().gstreamer)
