"""Figures in README and docs come from result files, and nothing else."""

from __future__ import annotations

import json

import pytest

from snl_edge.errors import DataError
from studies.detection.tables import COLUMNS, RECOGNITION_COLUMNS
from studies.result_files import FOLDER, read_results, save_result
from studies.summary import fill, summarise


@pytest.fixture
def saved(tmp_path):
    row = dict.fromkeys(COLUMNS, 0.5) | {"image_auroc": 0.87654}
    difference = {"images": 7, "map_difference": 1e-6, "score_difference": 2e-6, "flips": 0}
    save_result(
        "quality",
        "tiny",
        settings={"preset": "edge", "training": {"seed": 3, "steps": 10, "batch_size": 2}},
        figures={
            "pytorch": {"mean": row, "products": {"gear": row}},
            "training_seconds": 61.0,
            "agreement": dict.fromkeys(("fp16_rounded", "onnxruntime_fp32", "openvino_fp32"), difference),
            "bundle": {"graph_bytes": {"fp32": 10_000_000, "fp16": 5_000_000}},
        },
        folder=tmp_path,
    )
    return tmp_path


def test_a_result_says_where_it_came_from(saved):
    (result,) = read_results(saved).values()
    assert result.machine["cores"] >= 1
    assert {"python", "numpy", "torch"} <= set(result.versions)
    assert result.revision
    assert result.command


def test_summary_and_tables_are_made_from_results(saved, tmp_path):
    results = read_results(saved)
    assert summarise(results)["quality_runs"]["tiny"]["image_auroc"] == 87.65
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- figures: quality-tiny -->\nstale figures\n<!-- end of figures -->\nafter\n")
    text = fill(page, results)
    assert "| gear | 87.7 |" in text
    assert "stale figures" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    page.write_text("<!-- figures: agreement-tiny -->\n<!-- end of figures -->\n")
    assert "| 2.0e-06 | 1.0e-06 | 0 | 5.0 MB |" in fill(page, results)


def test_recognition_has_a_table_of_its_own(saved, tmp_path):
    row = dict.fromkeys(RECOGNITION_COLUMNS, 0.25) | {"accuracy": 0.995}
    figures = {"overall": row, "products": {"gear": row}, "good_test_images": 9, "defective_test_images": 8}
    save_result("recognition", "tiny", settings={"preset": "edge"}, figures=figures, folder=saved)
    results = read_results(saved)
    assert summarise(results)["recognition"]["tiny"]["accuracy"] == 99.5
    page = tmp_path / "page.md"
    page.write_text("<!-- figures: recognition-tiny -->\n<!-- end of figures -->\n")
    assert "| gear | 99.5 | 25.0 |" in fill(page, results)


def test_a_figure_without_a_result_is_refused(saved, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- figures: quality-unheard -->\n<!-- end of figures -->\n")
    with pytest.raises(DataError, match="quality-unheard"):
        fill(page, read_results(saved))


def test_a_damaged_result_is_named(saved):
    (saved / "broken.json").write_text(json.dumps({"kind": "quality"}))
    with pytest.raises(DataError, match=r"broken\.json is no result file"):
        read_results(saved)


def test_committed_results_can_be_read():
    assert all(result.kind for result in read_results(FOLDER).values())
