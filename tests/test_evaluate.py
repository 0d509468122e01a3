"""Evaluation and report, with a detector whose answers are known."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest

from snl_edge.data.layouts import open_dataset
from snl_edge.data.masks import fit_mask
from snl_edge.errors import DataError
from snl_edge.evaluation.evaluate import evaluate
from snl_edge.evaluation.report import write_report
from snl_edge.evaluation.run import evaluate_model
from snl_edge.image import fit_to_input, read_image
from snl_edge.runtime.prediction import Prediction

SIZE = (64, 64)


def answer(maps, products=None):
    """What a fused graph with these maps would say."""
    products = np.zeros(len(maps), np.int32) if products is None else products
    return Prediction(maps, maps.reshape(len(maps), -1).max(1), products, np.full(len(maps), 0.5, np.float32))


def oracle(dataset):
    """Knows every mask: the perfect detector."""
    known = {}
    for sample in dataset.test:
        image = fit_to_input(read_image(sample.path), SIZE)
        known[image.tobytes()] = np.zeros(SIZE, bool) if sample.is_good else fit_mask(sample.mask.read(), SIZE)

    def predict(images):
        return answer(np.stack([known[image.tobytes()].astype(np.float32) for image in images]))

    return predict


def test_a_perfect_detector_is_perfect(line):
    dataset = open_dataset(line)
    evaluation = evaluate(oracle(dataset), dataset.test, SIZE, batch_size=3)
    assert set(evaluation.products) == set(dataset.products)
    for metric in ("image_auroc", "image_ap", "image_f1_max", "pixel_auroc", "pixel_ap", "pixel_f1_max", "aupro"):
        assert evaluation.mean[metric] == pytest.approx(1.0), metric
    assert evaluation.mean["false_reject_rate"] == evaluation.mean["escape_rate"] == 0
    assert len(evaluation.cases) == len(dataset.test)


def test_products_are_averaged_not_pooled(line):
    """Right within each product, yet no common threshold: pooled AUROC would be far below 1."""
    dataset = open_dataset(line)
    perfect = oracle(dataset)
    first = {fit_to_input(read_image(s.path), SIZE).tobytes() for s in dataset.test if s.product == dataset.products[0]}

    def shifted(images):
        maps = perfect(images).anomaly_map
        offset = np.array([5.0 if image.tobytes() in first else 0.0 for image in images], np.float32)
        return answer(maps + offset[:, None, None])

    evaluation = evaluate(shifted, dataset.test, SIZE)
    assert evaluation.mean["image_auroc"] == pytest.approx(1.0)
    rates = [result.at_threshold.false_reject_rate for result in evaluation.products.values()]
    assert sorted(rates) == [0, 1]
    assert evaluation.mean["false_reject_rate"] == pytest.approx(0.5)


def test_products_without_defects_are_left_out_of_the_mean(line):
    dataset = open_dataset(line)
    samples = [s for s in dataset.test if s.is_good or s.product == dataset.products[0]]
    evaluation = evaluate(oracle(dataset), samples, SIZE)
    assert math.isnan(evaluation.products[dataset.products[1]].image_auroc)
    assert evaluation.mean["image_auroc"] == pytest.approx(1.0)
    assert evaluation.figures()["products"][dataset.products[1]]["image_auroc"] is None


def test_gallery_shows_the_worst_and_the_clearest(line):
    dataset = open_dataset(line)

    def by_brightness(images):
        scores = images.reshape(len(images), -1).mean(1).astype(np.float32) / 255
        return answer(np.repeat(scores, 64 * 64).reshape(-1, *SIZE))

    evaluation = evaluate(by_brightness, dataset.test, SIZE, threshold=lambda product: 0.45, shown=1)
    for product, pictures in evaluation.gallery.items():
        own = [case for case in evaluation.cases if case.sample.product == product]
        escapes = [case.score for case in own if not case.sample.is_good and not case.reject]
        shown = [p.case.score for p in pictures if not p.case.sample.is_good and not p.case.reject]
        assert shown == ([min(escapes)] if escapes else [])
        false_rejects = [case.score for case in own if case.sample.is_good and case.reject]
        shown = [p.case.score for p in pictures if p.case.sample.is_good]
        assert shown == ([max(false_rejects)] if false_rejects else [])


def test_report_is_one_whole_page(line, tmp_path):
    dataset = open_dataset(line)
    evaluation = evaluate(oracle(dataset), dataset.test, SIZE)
    html, metrics = write_report(
        evaluation, tmp_path, title="Line <3>", provenance={"model": "oracle", "command": "a & b"}
    )
    page = html.read_text()
    assert "Line &lt;3&gt;" in page
    assert "a &amp; b" in page
    assert not re.search(r'(src|href)="(?!data:)', page)  # nothing from outside
    assert page.count("<figure>") == sum(map(len, evaluation.gallery.values()))
    for product in dataset.products:
        assert f"<h3>{product}</h3>" in page
    content = json.loads(metrics.read_text())
    assert content["mean"]["aupro"] == pytest.approx(1.0)
    assert len(content["images"]) == len(dataset.test)


def test_run_and_bundle_give_the_same_figures(line, run, bundle):
    dataset = open_dataset(line)
    from_run, words = evaluate_model(run, dataset)
    from_bundle, other = evaluate_model(bundle, dataset, backend="onnxruntime")
    assert "PyTorch" in words["model"]
    assert "ONNX Runtime" in other["model"]
    assert from_run.recognition == from_bundle.recognition
    assert from_run.recognition.accuracy == 1
    scores = [[case.score for case in evaluation.cases] for evaluation in (from_run, from_bundle)]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-4)
    assert from_run.mean["aupro"] == pytest.approx(from_bundle.mean["aupro"], abs=1e-3)


def test_a_set_without_test_images_is_refused(line, run, tmp_path):
    (tmp_path / "good").symlink_to(next(line.glob("*/train/good")))
    with pytest.raises(DataError, match="has no test images"):
        evaluate_model(run, open_dataset(tmp_path / "good", "folder"))
