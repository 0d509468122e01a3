"""The tables of the public benchmarks, by the real command on the synthetic line."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import SIZE

from snl_edge.errors import ConfigError
from studies.ablation.results import RowResults
from studies.detection import published as module
from studies.detection.published import CLASSES, HEADINGS, PUBLISHED, published, tables
from studies.result_files import ROOT, read_results
from studies.tables import cell


@pytest.fixture
def call(line, tmp_path, monkeypatch):
    """Runs it with a small model for one pass over the images."""
    small = module.named("edge")
    student = small.student.model_copy(update={"embedding": 32})
    small = small.model_copy(update={"height": SIZE, "width": SIZE, "student": student})
    monkeypatch.setattr(module, "named", lambda name: small)

    def run(seeds="0"):
        published(
            line,
            name="tiny",
            preset="edge",
            teacher=None,
            weights="packaged",
            epochs=1,
            batch_size=4,
            seeds=seeds,
            runs=tmp_path / "runs",
            results=tmp_path / "results",
        )
        return read_results(tmp_path / "results")

    return run


def test_three_rows_are_trained_once_and_told_class_by_class(call, capsys):
    results = call()
    assert list(results) == ["tiny/preset-seed0.json", "tiny/rd-seed0.json", "tiny/snl_rd_abstract-seed0.json"]
    assert {result.settings["training"]["steps"] for result in results.values()} == {4}  # 16 images
    abstract = results["tiny/snl_rd_abstract-seed0.json"].settings["model"]
    assert min(value for name, value in abstract["loss"].items() if name in ("channel", "intra_affinity")) > 0
    assert abstract["memory"] is None
    told = capsys.readouterr().out
    for result in results.values():
        mean = result.figures["evaluation"]["mean"]
        assert " | ".join(cell(mean[metric]) for metric in HEADINGS) in told
    assert told.count("| snl-edge, preset edge |") == 1
    classes = results["tiny/rd-seed0.json"].figures["evaluation"]["products"]
    assert {told.count(f"\n| {name} |") for name in classes} == {3}
    assert "RD4AD" not in told  # of other classes
    assert call() == results  # nothing is trained again
    assert capsys.readouterr().out == told


def test_published_means_stand_beside_the_same_classes_alone(call):
    for result in call().values():
        products = result.figures["evaluation"]["products"]
        one = next(iter(products.values()))
        for benchmark, classes in CLASSES.items():
            products.clear()
            products.update(dict.fromkeys(classes, one))
            told = tables([RowResults("rd", {0: result})], "edge")
            for method, means in PUBLISHED[benchmark].items():
                assert f"| {method} | {' | '.join(map(str, means))} |" in told
            products.pop(next(iter(classes)))
            assert "RD4AD" not in tables([RowResults("rd", {0: result})], "edge")
        break
    assert {name: len(classes) for name, classes in CLASSES.items()} == {"mvtec": 15, "visa": 12}


def test_weights_that_are_not_there_are_one_line(line, tmp_path):
    command = [sys.executable, "-m", "studies.detection.published", str(line), "--weights", "none.safetensors"]
    command += ["--runs", str(tmp_path), "--results", str(tmp_path)]
    ended = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode
    assert "3 of 3 runs failed" in ended.stderr
    assert "none.safetensors" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not ended.stdout


def test_a_name_that_leads_elsewhere_is_refused(line, tmp_path):
    with pytest.raises(ConfigError, match="cannot name a study"):
        published(line, name="../elsewhere", preset="edge", results=tmp_path / "results", runs=tmp_path / "runs")
    assert not list(tmp_path.iterdir())
