"""Evaluation and report, with a detector whose answers are known."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from markupsafe import Markup

from snl_edge.bundling.gate import compare
from snl_edge.bundling.gate_images import gate_images, judge
from snl_edge.cli.evaluated import print_evaluation
from snl_edge.contract.graph import Prediction
from snl_edge.data.layouts import open_dataset
from snl_edge.data.masks import fit_mask
from snl_edge.errors import ConfigError, DataError, ResultError
from snl_edge.evaluation.cases import Rules
from snl_edge.evaluation.evaluate import evaluate
from snl_edge.evaluation.report import write_report
from snl_edge.evaluation.run import evaluate_model, match_products
from snl_edge.evaluation.seen import seen_images
from snl_edge.image import fit_to_input, read_image
from snl_edge.runtime.manifest import InputSpec, Manifest, sha256_of
from snl_edge.scoring.intervals import Share, clopper_pearson
from snl_edge.scoring.scale import ScoreScale

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


def rules(*products, **manifest):
    """Of a device that learned ``products``."""
    said = Manifest(
        name="test",
        created="",
        input=InputSpec(height=SIZE[0], width=SIZE[1], max_batch=1),
        products=products,
        score_scale=ScoreScale(raw_threshold=1, false_reject_budget=0.01, good_images=9, method="test"),
        graphs={"fp32": "graph.onnx"},
        files={"graph.onnx": "0" * 64},
        **manifest,
    )
    return Rules(said)


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
    verdicts = [
        [(case.verdict.kind, case.verdict.product, case.named.kind) for case in found.cases]
        for found in (from_run, from_bundle)
    ]
    assert verdicts[0] == verdicts[1]
    scores = [[case.score for case in evaluation.cases] for evaluation in (from_run, from_bundle)]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-4)
    assert from_run.mean["aupro"] == pytest.approx(from_bundle.mean["aupro"], abs=1e-3)


def test_a_set_without_test_images_is_refused(line, run, tmp_path):
    (tmp_path / "good").symlink_to(next(line.glob("*/train/good")))
    with pytest.raises(DataError, match="has no test images"):
        evaluate_model(run, open_dataset(tmp_path / "good", "folder"))


def test_the_first_figure_is_what_a_device_lets_pass(line, capsys, tmp_path):
    """A model that misses every defect and calls half of all parts unknown: told the product, it catches nothing."""
    dataset = open_dataset(line, products=[open_dataset(line).products[0]])
    (product,) = dataset.products

    def predict(images):
        maps = np.full((len(images), *SIZE), 0.1, np.float32)
        distance = np.resize(np.array([0.5, 1.5], np.float32), len(images))
        return Prediction(maps, maps[:, 0, 0], np.zeros(len(images), np.int32), distance)

    evaluation = evaluate(predict, dataset.test, SIZE, rules=rules(product), batch_size=2)
    unknown = [case for case in evaluation.cases if case.verdict.kind == "unknown"]
    outcome = evaluation.outcome()
    assert len(unknown) == len(dataset.test) // 2
    assert (outcome.rejected, outcome.unknown) == (0, sum(not case.sample.is_good for case in unknown))
    assert outcome.escaped.count == outcome.defective - outcome.unknown
    assert outcome.falsely_unknown == sum(case.sample.is_good for case in unknown)
    assert evaluation.products[product].at_threshold.escape_rate == 1
    # A device that is told the product holds it against what it recognises.
    assert evaluation.outcome(named=True).escaped.count == outcome.escaped.count
    assert {p.case.kind for p in evaluation.gallery[product]} == {"false stop", "escape", "detection"}

    print_evaluation(evaluation)
    printed = capsys.readouterr().out
    caught = f"caught: {outcome.unknown} of {outcome.defective} defective parts"
    assert caught in printed.splitlines()[1]
    assert f"{outcome.unknown} of them as an unknown product" in printed.splitlines()[1]
    assert f"told the product: caught {outcome.unknown} of {outcome.defective}" in printed
    html, metrics = write_report(evaluation, tmp_path, title="line", provenance={})
    page = html.read_text()
    assert page.index("as an unknown product") < page.index("<table>")
    assert "unknown product, distance 1.50" in page
    content = json.loads(metrics.read_text())
    assert content["verdicts"]["recognised"]["caught"]["as_unknown"] == outcome.unknown
    assert content["verdicts"]["named"]["caught"]["count"] == outcome.unknown
    assert {image["verdict"] for image in content["images"]} == {"good", "unknown"}


def test_verdicts_go_by_the_product_that_is_recognised(line):
    """A part that is taken for a product with a high threshold escapes, though its own would have stopped it."""
    dataset = open_dataset(line)
    first, second = dataset.products
    lenient = rules(first, second, product_thresholds={first: 0.2, second: 0.9})
    evaluation = evaluate(
        lambda images: answer(np.full((len(images), *SIZE), 0.5, np.float32), np.ones(len(images), np.int32)),
        [sample for sample in dataset.test if sample.product == first],
        SIZE,
        rules=lenient,
    )
    assert evaluation.outcome().caught.count == 0
    assert evaluation.outcome(named=True).escaped.count == 0
    assert evaluation.products[first].threshold == 0.2
    assert {case.verdict.product for case in evaluation.cases} == {second}


def test_where_a_better_threshold_would_lie_is_told_and_called_what_it_is(line, capsys, tmp_path):
    dataset = open_dataset(line)
    first = dataset.products[0]
    samples = sorted((s for s in dataset.test if s.product == first), key=lambda sample: sample.is_good)
    scores = iter(np.linspace(0.45, 0.1, len(samples)))
    evaluation = evaluate(
        lambda images: answer(np.full((1, *SIZE), next(scores), np.float32)),
        samples,
        SIZE,
        rules=rules(first, product_thresholds={first: 0.6}),
        batch_size=1,
    )
    assert [other.point.escapes for other in evaluation.products[first].other_thresholds] == [4, 0]
    print_evaluation(evaluation)
    printed = capsys.readouterr().out
    assert "found on these test images, certified by nothing" in printed
    assert re.search(rf"{first} +0\.6 +in force +0 of 3 +4 of 4", printed)
    assert re.search(r"0\.217 +stops at most 1 % of good parts +0 of 3 +0 of 4", printed)
    html, metrics = write_report(evaluation, tmp_path, title="line", provenance={})
    assert "certified by nothing" in html.read_text()
    told = json.loads(metrics.read_text())["products"][first]["other_thresholds"]
    assert [entry["threshold"] for entry in told] == [0.6, 0.217]


def without_masks(samples, kept=0):
    """Defects are named, not marked, but for the first ``kept`` of each product."""
    seen: dict[str, int] = {}
    for sample in samples:
        if not sample.is_good:
            seen[sample.product] = seen.get(sample.product, 0) + 1
        yield sample if sample.is_good or seen[sample.product] <= kept else replace(sample, mask=None)


def test_without_masks_there_are_image_metrics_only(line, capsys, tmp_path):
    dataset = open_dataset(line)
    samples = list(without_masks(dataset.test))
    evaluation = evaluate(oracle(dataset), samples, SIZE, rules=rules(*dataset.products))
    assert evaluation.mean["image_auroc"] == pytest.approx(1)
    assert evaluation.outcome().escaped.count == 0
    for result in evaluation.figures()["products"].values():
        assert result["image_auroc"] == pytest.approx(1)
        assert all(result[metric] is None for metric in ("pixel_auroc", "pixel_ap", "pixel_f1_max", "aupro"))
    (note,) = evaluation.notes
    assert "has a mask: no pixel metrics" in note
    print_evaluation(evaluation)
    html, _ = write_report(evaluation, tmp_path, title="line", provenance={})
    printed = capsys.readouterr().out
    assert note in printed
    assert note in html.read_text()
    assert "–" in printed
    assert not re.search(r"\bnan\b", printed + re.sub(r'"data:[^"]*"', "", html.read_text()))


def test_pixel_metrics_leave_out_defects_that_nobody_marked(line):
    """An unmarked defect is neither a pixel that is normal nor one that is not."""
    dataset = open_dataset(line)
    samples = list(without_masks(dataset.test, kept=1))
    evaluation = evaluate(oracle(dataset), samples, SIZE)
    assert evaluation.mean["pixel_ap"] == evaluation.mean["aupro"] == pytest.approx(1)
    assert all(result.without_mask == 3 for result in evaluation.products.values())
    assert evaluation.notes[0] == (
        f"pixel metrics of {dataset.products[0]} leave out 3 of 4 defective images, which have no mask"
    )


def test_what_cannot_be_measured_is_a_dash_with_its_reason(line, capsys):
    dataset = open_dataset(line)
    first, second = dataset.products
    samples = [s for s in dataset.test if s.is_good == (s.product == first)]
    print_evaluation(evaluate(oracle(dataset), samples, SIZE, rules=rules(first, second)))
    printed = capsys.readouterr().out
    assert f"no good test images of {second}" in printed
    assert f"no defective test images of {first}" in printed
    assert "nan" not in printed


def test_products_that_were_never_learned_are_refused_or_told_apart(line, bundle, capsys, tmp_path):
    dataset = open_dataset(line)
    known, other = dataset.products
    strange = replace(
        dataset, test=tuple(replace(s, product="anvil") if s.product == other else s for s in dataset.test)
    )
    evaluation, _ = evaluate_model(bundle, strange, backend="onnxruntime")
    assert set(evaluation.products) == {known}
    assert all(case.sample.product == known for case in evaluation.cases)
    stopped, unknown = evaluation.strangers["anvil"]
    assert stopped.total == sum(sample.product == "anvil" for sample in strange.test)
    assert stopped.count == sum(not case.verdict.good for case in evaluation.never_learned) >= unknown
    print_evaluation(evaluation)
    printed = capsys.readouterr().out
    assert f"anvil: {stopped.count} of {stopped.total} parts stopped" in printed
    assert f"nothing is known of {other}" in printed
    html, metrics = write_report(evaluation, tmp_path, title="line", provenance={})
    assert "Products that the model never learned" in html.read_text()
    assert len(json.loads(metrics.read_text())["images"]) == len(strange.test)

    none = replace(strange, test=tuple(s for s in strange.test if s.product == "anvil"))
    with pytest.raises(DataError, match=f"never learned anvil: it learned {known}, {other}"):
        evaluate_model(bundle, none, backend="onnxruntime")
    with pytest.raises(ConfigError, match="nan is no threshold"):
        evaluate_model(bundle, dataset, threshold=math.nan)


def test_a_folder_that_names_no_product_shows_the_only_one(line):
    dataset = open_dataset(next(line.glob("*/train")).parent)
    (own,) = dataset.products
    samples, remarks = match_products(dataset, ["gear"])
    assert {sample.product for sample in samples} == {"gear"}
    assert "its images are taken for gear" in remarks[0]
    assert match_products(dataset, [own]) == (dataset.test, [])
    with pytest.raises(DataError, match=f"never learned {own}"):
        match_products(dataset, ["gear", "nut"])


def test_test_images_that_were_trained_on_are_counted(line, tmp_path):
    dataset = open_dataset(line)
    (tmp_path / "checkpoint.json").touch()
    first, second, third, *_ = dataset.test
    roles = {first: "trained", second: "thresholds", third: "excluded", dataset.train[0]: "trained"}
    images = [{"sha256": sha256_of(s.path), "role": role, "product": s.product} for s, role in roles.items()]
    assert "no list of training images" in seen_images(tmp_path, "w", dataset.test).line()
    (tmp_path / "images.json").write_text(json.dumps({"weights_sha256": "w", "images": images}))
    for model in (tmp_path, tmp_path / "bundle"):
        seen = seen_images(model, "w", dataset.test)
        assert (seen.trained, seen.kept_out) == (1, 1)
        assert seen.line().startswith(f"1 of {len(dataset.test)} test images were trained on, 1 set thresholds")
    assert seen_images(tmp_path, "w", dataset.test[2:]).line().startswith("none of the")
    assert "another model" in seen_images(tmp_path, "v", dataset.test).line()
    (tmp_path / "images.json").write_text("{")
    assert "cannot be read" in seen_images(tmp_path, "w", dataset.test).line()


def test_a_score_that_is_no_number_is_refused(line):
    dataset = open_dataset(line)

    def broken(images):
        prediction = answer(np.zeros((len(images), *SIZE), np.float32))
        prediction.score[-1] = math.nan
        return prediction

    with pytest.raises(ResultError, match="is no finite number"):
        evaluate(broken, dataset.test, SIZE)


def test_the_gate_takes_a_set_without_masks(line):
    dataset = open_dataset(line)
    images = gate_images(list(without_masks(dataset.test)), dataset.train)
    judged = judge(oracle(dataset), images, SIZE, lambda product: 0.5, dataset.products)
    report = compare(judged, judged, "fp16", "test")
    assert report.passed
    assert (report.image_auroc_drop, report.pixel_auroc_drop) == (0, None)
    assert "pixel AUROC by no known number of" in report.summary()


def test_robustness_has_a_section(line, capsys, tmp_path):
    dataset = open_dataset(line)
    evaluation = evaluate(oracle(dataset), dataset.test, SIZE)
    found = {
        "note": "Good and defective parts, changed as cameras do.",
        "rows": [{"name": "gain 0.8", "falsely_stopped": Share(1, 6), "caught": Share(8, 8)}],
        "picture": Markup('<svg id="moved"></svg>'),
    }
    html, metrics = write_report(evaluation, tmp_path, title="line", provenance={}, robustness=found)
    assert '<svg id="moved"></svg>' in html.read_text()
    assert json.loads(metrics.read_text())["robustness"][0]["caught"]["count"] == 8
    print_evaluation(evaluation, found)
    assert re.search(r"gain 0\.8 +1 of 6 +8 of 8", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(0, 20, 0, 1 - 0.025 ** (1 / 20)), (1, 10, 0.002529, 0.445016), (20, 20, 0.025 ** (1 / 20), 1)],
)
def test_intervals_are_exact(count, total, low, high):
    assert clopper_pearson(count, total) == pytest.approx((low, high), abs=1e-6)


def test_intervals_of_many_parts():
    low, high = clopper_pearson(50, 100_000)
    assert 0.00037 < low < 0.0005 < high < 0.00066  # near Poisson's 37.1 to 65.9 of 50
    assert all(map(math.isnan, clopper_pearson(0, 0)))
