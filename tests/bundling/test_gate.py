"""The accuracy gate, and INT8 from images to engine through the command line."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest
from conftest import short_training, small_model

from snl_edge.bundling import qualification
from snl_edge.bundling.build import best_graph, build
from snl_edge.bundling.engine_trial import engine_images, gate_detectors, interleaved
from snl_edge.bundling.gate import LIMITS, compare
from snl_edge.bundling.gate_images import GraphAnswers, gate_images
from snl_edge.bundling.graphs import Evidence
from snl_edge.bundling.qualification import Qualifier
from snl_edge.calibration.measure import CalibrationConfig, calibrate_ranges
from snl_edge.calibration.observe import observe
from snl_edge.data.layouts import open_dataset
from snl_edge.data.samples import Dataset
from snl_edge.errors import ConfigError, DataError, ExportError
from snl_edge.export import parity
from snl_edge.export.graphs import make_graphs
from snl_edge.export.qdq import find_layers, place, to_int8
from snl_edge.model.config import MemoryConfig
from snl_edge.runtime.bundle import Bundle
from snl_edge.runtime.detector import Detector
from snl_edge.runtime.manifest import OPENVINO_GATES
from snl_edge.runtime.openvino_backend import emulates
from snl_edge.training.image_record import find_images
from snl_edge.training.loop import train


@pytest.fixture(autouse=True)
def fitted_to_few_images(monkeypatch):
    """A search fits weights again at every attempt: few images will do to see it work."""
    monkeypatch.setattr("snl_edge.calibration.measure.FITTED_TO", 4)


@pytest.fixture(scope="module")
def trained(line, tmp_path_factory):
    """With few centres: a memory that holds every patch of a small line gives distances of 0, where all is rounding."""
    folder = tmp_path_factory.mktemp("runs") / "int8"
    model = small_model().model_copy(update={"memory": MemoryConfig(centres=16)})
    train(model, short_training(), open_dataset(line), folder)
    return folder


@pytest.fixture(scope="module")
def made(trained):
    return make_graphs(trained, "fp16")


@pytest.fixture(scope="module")
def graph(made):
    return made[1]["fp32"]


@pytest.fixture(scope="module")
def table(graph, line):
    return calibrate_ranges(graph, open_dataset(line).train, CalibrationConfig(images=8))


@pytest.fixture(scope="module")
def qualifier(trained, made, graph, line) -> Qualifier:
    """Judges on good and damaged images that were not trained on."""
    checkpoint, dataset = made[0], open_dataset(line)
    held_out = find_images(trained, dataset).of("held_out")
    unseen = [*held_out, *(sample for sample in dataset.test if sample.is_good)]
    return Qualifier(graph, checkpoint.score_scale, gate_images((), unseen), held_out)


def ranges_over(graph, images) -> dict[str, float]:
    tensors = list(place(graph, find_layers(graph)).readers)
    found = observe(graph, tensors, images, len(images))
    return {name: max(histogram.largest, 1e-3) for name, histogram in found.items()}


def judged(scores, rejects, maps=None, recognised=True) -> GraphAnswers:
    known = np.broadcast_to(recognised, len(scores))
    return GraphAnswers(np.asarray(scores, float), np.asarray(rejects, bool), known, maps=maps)


def test_limits_are_those_that_are_documented():
    assert LIMITS["fp16"].image_auroc_drop == 0.1
    assert LIMITS["int8"].image_auroc_drop == 0.3
    assert {limits.verdict_flips for limits in LIMITS.values()} == {0.005}


def test_flips_maps_and_correlation_each_fail_the_gate():
    rng = np.random.default_rng(0)
    scores, maps = rng.uniform(0.2, 0.8, 400), rng.uniform(0, 1, (400, 4, 4)).astype(np.float32)
    before = judged(scores, scores > 0.5, maps)
    assert compare(before, before, "int8", "here").passed
    flipped = scores > 0.5
    flipped[:2] ^= True
    assert compare(before, judged(scores, flipped, maps), "int8", "here").passed  # 2 of 400 are 0.5 %
    flipped[2] ^= True
    assert "3 of 400 verdicts flip" in compare(before, judged(scores, flipped, maps), "int8", "here").failures[0]
    assert "maps differ" in compare(before, judged(scores, scores > 0.5, 1.2 * maps), "int8", "here").failures[0]
    lost = np.arange(400) >= 3
    unknown = compare(before, judged(scores, scores > 0.5, maps, lost), "int8", "here")
    assert unknown.failures == ("3 good parts are taken for another product or for unknown that FP32 recognises",)
    assert compare(before, judged(scores, scores > 0.5, maps, np.arange(400) >= 2), "int8", "here").passed
    shuffled = judged(rng.permutation(scores), scores > 0.5, maps)
    assert "scores correlate" in compare(before, shuffled, "int8", "here").failures[0]


def test_sound_ranges_pass(qualifier, graph, table):
    qualified = qualifier.qualify(to_int8(graph, table.ranges), "int8")
    assert qualified.report.passed, qualified.report.summary()
    assert qualified.report.judged_on == "good images"
    assert qualified.score_scale != qualifier.score_scale  # thresholds are the graph's own


def test_fp16_passes(qualifier, made):
    assert qualifier.qualify(made[1]["fp16"], "fp16").report.passed


def test_ranges_of_noise_are_caught(qualifier, graph):
    rng = np.random.default_rng(0)
    noise = [rng.integers(120, 136, (64, 64, 3), dtype=np.uint8) for _ in range(8)]
    report = qualifier.qualify(to_int8(graph, ranges_over(graph, noise)), "int8").report
    assert not report.passed, report.summary()


def test_clipped_ranges_are_caught_and_the_worst_layers_named(qualifier, graph, table):
    clipped = {name: value / 6 for name, value in table.ranges.items()}
    report = qualifier.qualify(to_int8(graph, clipped), "int8").report
    assert not report.passed, report.summary()
    failed = report.model_copy(update={"worst_layers": ("teacher.backbone.conv_stem",)})
    with pytest.raises(ExportError, match=r"int8 fails the accuracy gate.*damage the map most are teacher\.backbone"):
        failed.require("use --precision auto")


def test_int8_becomes_part_of_a_bundle_with_its_own_thresholds(trained, line, tmp_path):
    bundle = Bundle.open(
        build(trained, tmp_path / "bundle", "auto", engine=False, evidence=Evidence(_without_defects(line)))
    )
    manifest = bundle.manifest
    assert set(manifest.graphs) - {"bf16"} == {"fp32", "fp16", "int8"}
    for precision, gate in OPENVINO_GATES.items():
        assert (gate in manifest.gates) == (not emulates(precision))
    if manifest.passed("openvino_bf16"):
        assert manifest.gates["openvino_bf16"]["ran_on"].startswith("OpenVINO")
        assert manifest.graphs["bf16"] == manifest.graphs["fp16"]
        scale = manifest.score_scales["bf16"].raw_threshold
        assert scale == manifest.score_scales["fp16"].raw_threshold  # that of the graph they share
    assert "calibration.json" in manifest.files
    assert manifest.gates["int8"]["failures"] == []
    assert manifest.gates["int8"]["forced"] is False
    own = manifest.score_scales["int8"].product_thresholds
    for product in manifest.products:
        assert manifest.threshold_for(product, "int8") == pytest.approx(own[product])
        assert manifest.threshold_for(product) == manifest.score_scale.product_thresholds[product]
    changed = bundle.set_threshold(2 * manifest.threshold_for(product), product).manifest
    assert changed.threshold_for(product, "int8") == pytest.approx(2 * own[product])
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for backend in ("onnxruntime", "openvino"):
        with Detector.load(bundle.path, backend=backend, precision="int8") as detector:
            verdict = detector.detect([image], product=product)[0]
            assert verdict.threshold == changed.threshold_for(product, "int8")
        with Detector.load(bundle.path, backend=backend, precision="fp32") as detector:
            assert detector.detect([image], product=product)[0].score == pytest.approx(verdict.score, rel=0.2)
    good = open_dataset(line).train
    report = gate_detectors(bundle.path, ("onnxruntime", "fp32"), ("onnxruntime", "fp16"), gate_images((), good))
    assert report.passed
    assert report.ran_on.startswith("ONNX Runtime")


def test_what_fails_leaves_the_earlier_bundle_and_force_is_recorded(trained, line, table, tmp_path):
    own = tmp_path / "run"
    shutil.copytree(trained, own)
    target = build(own, tmp_path / "bundle", "fp32", engine=False)
    before = (target / "manifest.json").read_bytes()
    ruined = table.model_copy(
        update={
            "tensors": {
                name: tensor.model_copy(update={"range": tensor.range / 50}) for name, tensor in table.tensors.items()
            }
        }
    )
    ruined.write(own / "ruined.json")
    evidence = Evidence(_without_defects(line), own / "ruined.json")
    with pytest.raises(ExportError, match=r"int8 fails the accuracy gate.*--force"):
        build(own, target, "int8", engine=False, evidence=evidence)
    assert (target / "manifest.json").read_bytes() == before
    assert json.loads((own / "sensitivity.json").read_text())["layers"]
    assert (own / "sensitivity.png").stat().st_size > 10_000
    forced = Bundle.open(
        build(own, target, "int8", engine=False, evidence=Evidence(evidence.dataset, evidence.table, force=True))
    )
    gate = forced.manifest.gates["int8"]
    assert gate["forced"] is True
    assert gate["failures"]
    assert gate["worst_layers"]


def test_auto_ships_fp16_and_says_why_where_int8_fails(trained, line, table, tmp_path, capsys):
    ruined = {name: tensor.model_copy(update={"range": tensor.range / 50}) for name, tensor in table.tensors.items()}
    table.model_copy(update={"tensors": ruined}).write(tmp_path / "ruined.json")
    evidence = Evidence(_without_defects(line), tmp_path / "ruined.json")
    own = tmp_path / "run"
    shutil.copytree(trained, own)
    bundle = Bundle.open(build(own, None, "auto", engine=False, evidence=evidence))
    manifest = bundle.manifest
    assert {"fp32", "fp16"} <= set(manifest.graphs)
    assert "int8" not in manifest.graphs
    assert best_graph(bundle) == "fp16"
    assert "int8" not in manifest.score_scales
    assert "calibration.json" not in manifest.files
    assert manifest.gates["fp16"]["failures"] == []
    refused = manifest.gates["int8"]
    assert refused["failures"]
    assert refused["worst_layers"]
    assert refused["forced"] is False
    told = " ".join(capsys.readouterr().err.split())
    assert "int8 FAILS" in told
    assert f"no INT8: {'; '.join(refused['failures'])}; fp16 is the best that passes" in told


def test_auto_does_without_what_cannot_be_had(trained, line, table, tmp_path, capsys, monkeypatch):
    """An FP16 graph that disagrees and an INT8 graph that cannot be made leave FP32; INT8 by name is an error."""
    table.write(tmp_path / "table.json")
    evidence = Evidence(_without_defects(line), tmp_path / "table.json")
    monkeypatch.setitem(parity.TOLERANCE, "fp16", 0.0)

    def refuse(*_: object) -> None:
        raise ExportError("a weight does not fit into FP16")

    monkeypatch.setattr(qualification, "fit_layers", refuse)
    bundle = Bundle.open(build(trained, tmp_path / "bundle", "auto", engine=False, evidence=evidence))
    assert set(bundle.manifest.graphs) == {"fp32"}
    assert best_graph(bundle) == "fp32"
    told = " ".join(capsys.readouterr().err.split())
    assert "no FP16: the fp16 graph disagrees with PyTorch" in told
    assert "no INT8: a weight does not fit into FP16" in told
    with pytest.raises(ExportError, match="does not fit"):
        build(trained, tmp_path / "other", "int8", engine=False, evidence=evidence)
    assert not (tmp_path / "other").exists()


def test_engines_are_judged_on_images_that_were_not_trained_on(trained, line, bundle, tmp_path):
    """The memory holds patches of the others, so their scores are too good whatever the engine does."""
    dataset = _without_defects(line)
    found = find_images(trained, dataset)
    training, held_out = found.of("trained"), found.of("held_out")
    built = Bundle.open(build(trained, tmp_path / "bundle", "fp16", engine=False, evidence=Evidence(dataset)))
    judged = engine_images(built, dataset)
    assert not judged.labelled
    assert {image.sample for image in judged.unlabelled} == set(held_out)
    assert engine_images(built, open_dataset(line)).labelled == open_dataset(line).test
    for blind, samples in ((built, tuple(training)), (Bundle.open(bundle), dataset.train)):
        with pytest.raises(DataError, match=r"no labelled test set, and none of the good images .* held out"):
            engine_images(blind, Dataset(dataset.root, dataset.layout, samples, ()))


def test_int8_without_images_says_what_to_add(trained, tmp_path):
    with pytest.raises(ConfigError, match=r"--precision int8 needs images.*--data"):
        build(trained, tmp_path / "bundle", "int8", engine=False)


def test_interleaved_timing_times_each(bundle):
    with Detector.load(bundle, backend="onnxruntime") as detector:
        times = interleaved({"one": detector.predict, "two": detector.predict}, (64, 64))
    assert set(times) == {"one", "two"}
    assert all(0 < seconds < 10 for seconds in times.values())


def test_calibrate_and_build_on_the_command_line(snl_edge, trained, line, tmp_path):
    pytest.importorskip("tensorrt_rtx", reason="needs TensorRT-RTX: pip install tensorrt-rtx-cu13")
    own = tmp_path / "run"
    shutil.copytree(trained, own)
    good = tmp_path / "good"
    for sample in open_dataset(line).train:
        (good / sample.product).mkdir(parents=True, exist_ok=True)
        shutil.copy(sample.path, good / sample.product)
    done = snl_edge("calibrate", good, "--model", own, "--images", 8)
    assert done.returncode == 0, done.stderr
    assert (own / "calibration.json").is_file()
    done = snl_edge("build", own, "--precision", "int8", "--data", good, "--compute-capability", "8.6")
    assert done.returncode == 0, done.stderr
    assert f"ranges from {own / 'calibration.json'}" in done.stderr
    assert "gate: int8 passes" in done.stderr
    assert "unproven" in done.stderr
    built = Bundle.open(own / "bundle")
    (record,) = built.engines()
    excluded = built.manifest.gates["int8"]["not_int8"]
    assert record.precision == "int8"
    assert record.layers["convolution int8"] == 62 - len(excluded)
    assert built.manifest.gates["int8"]["not_int8_share"] <= 0.1


@pytest.mark.parametrize(
    ("folder", "says"),
    [
        ("empty", "has no known layout"),
        ("missing", "missing is no folder"),
        ("other", "holds none of the images"),
        ("few", "lacks all held-out images"),  # one of them, whatever its folder is called
    ],
)
def test_folders_that_cannot_calibrate_are_refused_in_one_line(snl_edge, trained, line, tmp_path, folder, says):
    (tmp_path / "empty").mkdir()
    for name in ("other", "few"):
        (tmp_path / name / "spanner").mkdir(parents=True)
    picture = open_dataset(line).train[0].path
    shutil.copy(picture, tmp_path / "few" / "spanner")
    cv2.imwrite(str(tmp_path / "other" / "spanner" / picture.name), 255 - cv2.imread(str(picture)))
    done = snl_edge("calibrate", tmp_path / folder, "--model", trained)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (error,) = [text for text in done.stderr.splitlines() if text.startswith("snl-edge: ")]
    assert says in error


def _without_defects(line) -> Dataset:
    dataset = open_dataset(line)
    return Dataset(dataset.root, dataset.layout, dataset.train, ())
