"""A picture has one verdict: the line, its golden samples, `infer` and `Detector.detect` say the same."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from contract_graph import HEIGHT, WIDTH, write_contract_bundle
from lines import line_config, records, run_to_end

from snl_edge.contract.graph import Prediction
from snl_edge.image import read_image
from snl_edge.infer.command import infer_files
from snl_edge.runtime.detector import Detector
from snl_edge.runtime.ignored import region_pictures
from snl_edge.runtime.tuning import standing_doubts
from snl_edge.runtime.verdict import Judge, Verdict, on_picture
from snl_edge.scoring.scale import ScoreScale
from snl_edge.stream.capture.camera_settings import IgnoredRectangle, ignored_pixels
from snl_edge.stream.pipeline.golden import judged_by
from snl_edge.stream.pipeline.recipe import EngineSettings, Recipe
from snl_edge.stream.records.record import Record

LEVELS = {"bolt": 20, "dim": 70, "washer": 120, "stranger": 255}
"""Grey level of each kind of part: those between are washers, the last is of no learned product."""
SIZE = (2 * HEIGHT + 12, 2 * WIDTH + 20)
CORNER = IgnoredRectangle(x=0, y=0, width=0.5, height=1)
CAMERAS = {
    "recognising": {},
    "named": {"product": "bolt"},
    "trusting": {"product": "bolt", "compare_product": False},
    "masked": {"ignore": [CORNER.model_dump()]},
}


REASONS = {"recognising": {None}, "named": {None, "mismatch", "unlearned"}, "trusting": {None, "region"}}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Washers have an ignored region; bolts have none, and an odd threshold that somebody set."""
    regions, pictures = region_pictures({"washer": np.arange(HEIGHT)[:, None].repeat(WIDTH, 1) < 4})
    folder = tmp_path_factory.mktemp("bundles") / "parts"
    usual = {"washer": 1.4}
    written = write_contract_bundle(
        folder,
        ignored=regions,
        attachments=pictures,
        score_scale=ScoreScale(
            raw_threshold=0.2, false_reject_budget=0.01, good_images=40, method="test", product_thresholds=usual
        ),
        product_thresholds=usual,
        reject_limits={"washer": 1.9},
    )
    written.set_threshold(0.9, "bolt", by="Ben")
    return folder


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of each kind a plain part, and one with a spot at its left and right."""
    folder = tmp_path_factory.mktemp("parts")
    rng = np.random.default_rng(0)
    for name, level in LEVELS.items():
        for spot in (None, 0.2, 0.8):
            drawn = rng.integers(level - 4, level + 1, (*SIZE, 3), dtype=np.uint8)
            if spot is not None:
                drawn[20:32, int(spot * SIZE[1]) :][:, :12] = 0 if level > 200 else 255
            cv2.imwrite(str(folder / f"{name}-{spot}.png"), drawn)
    return folder


@pytest.fixture(scope="module")
def on_the_line(bundle: Path, parts: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Record]]:
    """Records by camera and file."""
    source = {"source": {"type": "folder", "path": parts}}
    cameras = [{"name": name, **source, **own} for name, own in CAMERAS.items()]
    line = run_to_end(line_config(bundle, tmp_path_factory.mktemp("line"), cameras=cameras))
    found: dict[str, dict[str, Record]] = {name: {} for name in CAMERAS}
    for record in records(line):
        assert record.file is not None
        found[record.camera][record.file] = record
    assert all(set(own) == {path.name for path in parts.iterdir()} for own in found.values())
    return found


def _same(record: Record, verdict: Verdict) -> None:
    said = (record.verdict, record.score, record.threshold, record.product, record.product_distance, record.recognised)
    assert said == (
        *(verdict.kind, verdict.score, verdict.threshold),
        *(verdict.product, verdict.product_distance, verdict.recognised),
    )
    stopped_anyway = verdict.reject and verdict.objection == "region"  # a defect was seen, and need not be suspected
    assert record.reason == (None if stopped_anyway else verdict.objection)
    assert tuple(on_picture(blob, SIZE) for blob in record.blobs) == verdict.regions
    assert ("threshold" in (record.warning or "")) == any(one != verdict.doubt for one in verdict.doubts)


@pytest.mark.parametrize("camera", ["recognising", "named", "trusting"])
def test_line_golden_samples_infer_and_detect_say_the_same(
    bundle: Path, parts: Path, on_the_line: dict[str, dict[str, Record]], camera: str, tmp_path: Path
) -> None:
    product, compare = CAMERAS[camera].get("product"), CAMERAS[camera].get("compare_product", True)
    found = on_the_line[camera]
    recipe = Recipe(bundle, EngineSettings(backend="onnxruntime", threads=1), waiting=1)
    detected: dict[str, Verdict] = {}
    with Detector.load(bundle, backend="onnxruntime", threads=1) as detector:
        for name, record in found.items():
            image = read_image(parts / name)
            (detected[name],) = detector.detect(image, product, compare=compare)
            (golden,) = judged_by(recipe, image, [recipe.bundle], product, compare=compare)
            for verdict in (detected[name], golden):
                _same(record, verdict)
    recipe.close()
    infer_files([str(parts)], bundle, tmp_path, backend="onnxruntime", product=product, compare=compare, as_json=True)
    lines = [json.loads(line) for line in (tmp_path / "verdicts.jsonl").read_text("utf-8").splitlines()]
    said = {Path(line["path"]).name: line for line in lines}
    assert {name: {key: said[name][key] for key in own.to_dict()} for name, own in detected.items()} == {
        name: own.to_dict() for name, own in detected.items()
    }
    assert {record.verdict for record in found.values()} == {"good", "reject", "unknown"}
    assert {record.reason for record in found.values()} == REASONS[camera]


def test_pixels_that_do_not_count_are_left_out_by_the_same_judge(
    bundle: Path, parts: Path, on_the_line: dict[str, dict[str, Record]]
) -> None:
    ignored = ignored_pixels(None, (CORNER,), (HEIGHT, WIDTH))
    with Detector.load(bundle, backend="onnxruntime", threads=1) as detector:
        manifest, precision = detector.bundle.manifest, detector.backend.precision
        judge = Judge(manifest, precision, ignored=ignored, odd=standing_doubts(manifest))
        for name, record in on_the_line["masked"].items():
            out = Prediction.empty(1, (HEIGHT, WIDTH))
            (whole,) = detector.detect(read_image(parts / name), out=out)
            verdict = judge.verdict(out, 0, SIZE)
            _same(record, verdict)
            assert verdict.score <= whole.score
    kinds = {name: record.verdict for name, record in on_the_line["masked"].items()}
    assert (kinds["bolt-0.2.png"], kinds["bolt-0.8.png"]) == ("good", "reject")
