"""`snl-edge bench` from the command line: a result, a page, a comparison, and clear words where it cannot run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from contract_graph import write_contract_bundle

from snl_edge.benchmarks.compare import compare_files
from snl_edge.benchmarks.report import write_report
from snl_edge.benchmarks.results import read_result
from snl_edge.errors import ConfigError, DataError
from snl_edge.runtime.gpu import present_gpus

Call = Callable[..., Any]
QUICK = ("--rounds", 2, "--seconds", 0.02, "--batches", "1,2", "--backend", "onnxruntime", "--precision", "fp32")


def failed(result: Any) -> str:
    """The one line that a command said before it left with 1."""
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench") / "line"
    write_contract_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def result(line: Path) -> Path:
    """A result file, measured once for all tests."""
    folder = line.parent
    (folder / "pictures").mkdir()
    for number in range(3):
        picture = np.random.default_rng(number).integers(0, 256, (50, 70, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / "pictures" / f"{number}.png"), picture)
    (folder / "metrics.json").write_text(json.dumps({"mean": {"image_auroc": 0.93, "aupro": None}}))
    known = ("--budget-ms", 1000, "--images", "pictures", "--metrics", "metrics.json", "--frame", "64x48")
    command = [sys.executable, "-m", "snl_edge", "bench", "line", *map(str, (*QUICK, *known))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "onnxruntime fp32" in done.stdout
    assert "cold start" in done.stdout
    return folder / "bench.json"


def test_bench_report_and_compare(snl_edge: Call, result: Path, line: Path, tmp_path: Path) -> None:
    found = read_result(result)
    assert (found.kind, found.name, found.schema_version) == ("bench", "contract", 1)
    files = json.loads((line / "manifest.json").read_text())["files"]
    assert found.settings["bundle"]["graphs"]["fp32"] == files["fp32.onnx"]
    assert found.system is not None
    assert found.system["cpu"]["usable"] >= 1
    own = found.figures["subjects"]["onnxruntime fp32"]
    for way in ("detector", "fitted", "backend"):
        for batch in ("1", "2"):
            latency = own["latency"][way][batch]
            assert 0 < latency["lowest"] <= latency["p50"] <= latency["highest"]
            assert len(latency["rounds"]) == 2
            assert latency["missed"] == 0
    assert {(p["batch"], p["in_flight"]) for p in own["throughput"]} == {(1, 1), (1, 2), (2, 1), (2, 2)}
    assert all(p["images_per_second"] > 0 for p in own["throughput"])
    assert 0 < own["end_to_end"]["fitted_ratio"] < 2
    assert 0 < own["cold_start"]["imports"] < own["cold_start"]["total"]
    assert own["memory"]["rss_bytes"] > 10 * 2**20
    assert own["counts"]["flops"] > 0
    assert own["roofline"]["1"]["fraction"] > 0

    done = snl_edge("bench", "report", result, result, "--out", tmp_path / "page.html")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page.html").read_text()
    for heading in ("Latency at batch 1", "Throughput", "Accuracy against latency", "prefers-color-scheme: dark"):
        assert heading in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert page.count("<svg") == 3  # no energy where nothing measures it
    assert "onnxruntime fp32 | 1 |" in (tmp_path / "page.md").read_text()

    done = snl_edge("bench", "compare", result, result)
    assert done.returncode == 0, done.stderr
    assert "An interval takes 5 rounds" in done.stdout


def changed(source: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    content = json.loads(source.read_text())
    change(content)
    target.write_text(json.dumps(content))
    return target


def test_compare_says_what_is_significant(result: Path, tmp_path: Path) -> None:
    def with_rounds(values: list[float]) -> Callable[[dict[str, Any]], None]:
        def change(content: dict[str, Any]) -> None:
            content["figures"]["subjects"]["onnxruntime fp32"]["latency"]["backend"]["1"]["rounds"] = values

        return change

    slow = changed(result, tmp_path / "slow.json", with_rounds([10.0, 10.2, 9.9, 10.1, 10.0, 10.3]))
    fast = changed(result, tmp_path / "fast.json", with_rounds([5.0, 5.1, 4.9, 5.2, 5.0, 5.0]))
    noisy = changed(result, tmp_path / "noisy.json", with_rounds([5.0, 15.0, 9.0, 11.0, 8.0, 13.0]))
    verdict = lambda a, b: next(  # noqa: E731
        d for d in compare_files(a, b).differences if d.what == "onnxruntime fp32, batch 1, backend"
    )
    gain = verdict(slow, fast)
    assert gain.verdict == "faster"
    assert gain.ratio == pytest.approx(0.498, abs=0.01)
    assert verdict(fast, slow).verdict == "slower"
    assert verdict(slow, noisy).verdict == "no difference"
    other = changed(result, tmp_path / "other.json", lambda c: c["settings"].update(threads=99))
    assert any("threads differ" in warning for warning in compare_files(result, other).warnings)


def test_files_that_are_no_bench_result_are_refused(result: Path, tmp_path: Path) -> None:
    other = changed(result, tmp_path / "other.json", lambda content: content.update(kind="quality"))
    with pytest.raises(DataError, match="result of kind 'quality'"):
        write_report([other], tmp_path / "page.html")
    empty = changed(result, tmp_path / "empty.json", lambda content: content["figures"].update(subjects={}))
    with pytest.raises(DataError, match="nothing in common"):
        compare_files(result, empty)
    with pytest.raises(DataError, match=r"empty\.json lacks figures"):
        write_report([empty], tmp_path / "page.html")
    with pytest.raises(ConfigError, match=r"ends in \.html"):
        write_report([result], tmp_path / "page.json")
    assert not (tmp_path / "page.html").exists()


@pytest.mark.skipif(bool(present_gpus()), reason="this machine has a GPU")
def test_a_backend_that_is_not_there_is_named_with_its_remedy(snl_edge: Call, line: Path, tmp_path: Path) -> None:
    said = failed(snl_edge("bench", line, "--backend", "tensorrt"))
    assert "backend tensorrt is not available" in said
    assert "Get it" in said
    assert not (tmp_path / "bench.json").exists()


def test_what_cannot_be_measured_is_said_before_anything_runs(snl_edge: Call, line: Path, tmp_path: Path) -> None:
    assert "no bundle" in failed(snl_edge("bench", tmp_path / "nothing"))
    assert "unknown backend 'abacus'" in failed(snl_edge("bench", line, "--backend", "abacus"))
    assert "up to 4" in failed(snl_edge("bench", line, *QUICK, "--batches", "1,64"))
    assert "nothing to run" in failed(snl_edge("bench", line, "--backend", "onnxruntime", "--precision", "int8"))
    assert "--batches 1,x is not understood" in failed(snl_edge("bench", line, "--batches", "1,x"))
    assert "WIDTHxHEIGHT" in failed(snl_edge("bench", line, "--frame", "big"))
    (tmp_path / "empty").mkdir()
    assert "there are no images" in failed(snl_edge("bench", line, *QUICK, "--images", tmp_path / "empty"))
    assert not (tmp_path / "bench.json").exists()


def test_a_damaged_bundle_is_named(snl_edge: Call, line: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(line, copy)
    graph = copy / "fp32.onnx"
    graph.write_bytes(graph.read_bytes()[:-3])
    assert "fp32.onnx is damaged" in failed(snl_edge("bench", copy))
