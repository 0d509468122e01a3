"""Regions of a product that do not count: read, in the model, in every runtime, in the bundle, and in verdicts."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import cv2
import numpy as np
import onnx
import pytest
import torch
from conftest import short_training, small_model
from lines import line_config, records, run_to_end, write_picture
from typer.testing import CliRunner

from snl_edge.bundling.build import build
from snl_edge.cli import app
from snl_edge.data.layouts import open_dataset
from snl_edge.data.loader import ImageStore
from snl_edge.data.mask_sources import MaskFiles
from snl_edge.data.regions import MOST, fit_region, frame_sizes, parse_polygon, read_polygon_file, read_regions
from snl_edge.errors import BundleError, ConfigError, DataError, SnlEdgeError
from snl_edge.evaluation.metrics import PixelMetrics
from snl_edge.evaluation.report import write_report
from snl_edge.evaluation.run import evaluate_model
from snl_edge.export.onnx_graph import read_graph
from snl_edge.export.parity import run_graph, run_pytorch
from snl_edge.export.precision import to_fp16
from snl_edge.export.qdq import find_layers, place, to_int8
from snl_edge.image import fit_to_input, read_image
from snl_edge.inspection.inspect import describe
from snl_edge.model.fused_graph import FusedGraph
from snl_edge.runtime.bundle import Bundle
from snl_edge.runtime.detector import Detector
from snl_edge.runtime.ignored import read_ignored
from snl_edge.runtime.overlay import draw_ignored, draw_overlay, ignored_in
from snl_edge.runtime.verdict import decide
from snl_edge.training.checkpoint import load_model, read_checkpoint
from snl_edge.training.ignored import change_regions, regions_of, stack_regions, warn_of_forgotten_regions
from snl_edge.training.loop import train
from snl_edge.training.thresholds import mean_where_counting
from snl_edge.training.tight_regions import TEXT, tight_region_findings

SIZE = (64, 64)
CORNER = (slice(0, 24), slice(0, 40))
"""What the line's first product ignores in these tests."""


def corner() -> np.ndarray:
    region = np.zeros(SIZE, bool)
    region[CORNER] = True
    return region


def command(*arguments: object):
    """What the command line makes of it; an error of ours is in ``exception``."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def products(line) -> tuple[str, ...]:
    return open_dataset(line).products


@pytest.fixture(scope="module")
def ignoring_run(run, line, products, tmp_path_factory):
    """The shared run, its first product ignoring a corner from now on."""
    folder = tmp_path_factory.mktemp("ignoring") / "line"
    shutil.copytree(run, folder)
    change_regions(folder, open_dataset(line), products[0], corner())
    return folder


@pytest.fixture(scope="module")
def ignoring_bundle(ignoring_run):
    return build(ignoring_run, None, "fp32", engine=False, max_batch=4)


@pytest.fixture(scope="module")
def expected(ignoring_run, pictures):
    model, checkpoint = load_model(ignoring_run)
    said = run_pytorch(FusedGraph(model, checkpoint.score_scale.gain).eval(), pictures)
    assert sum(ignored_in(own).any() for own in said.anomaly_map) == len(pictures) // 2
    return said


@pytest.fixture(scope="module")
def pictures(line) -> np.ndarray:
    """Two good pictures of each product, and each again with a bright square in the corner."""
    dataset = open_dataset(line)
    chosen = [s for p in dataset.products for s in [t for t in dataset.test if t.product == p and t.is_good][:2]]
    good = np.stack([fit_to_input(read_image(sample.path), SIZE) for sample in chosen])
    defective = good.copy()
    defective[:, 6:14, 8:18] = (255, 0, 255)
    return np.concatenate([good, defective])


def test_what_is_ignored_is_zero_and_the_rest_as_before(run, ignoring_run, pictures):
    with torch.no_grad():
        images = torch.from_numpy(pictures)
        before = load_model(run)[0]
        ignoring = load_model(ignoring_run)[0]
        before.anomaly_map.scales.copy_(ignoring.anomaly_map.scales)
        for model in (before, ignoring):  # which maps count as raised is learned with the regions
            model.anomaly_map.set_usual(None)
        whole, whole_score, product, _ = before(images)
        left, score, again, _ = ignoring(images)
    assert torch.equal(product, again)
    assert set(product.tolist()) == {0, 1}
    ignores = product == 0
    region = torch.from_numpy(corner())
    assert (left[ignores][:, region] == 0).all()
    assert torch.equal(left[ignores][:, ~region], whole[ignores][:, ~region])
    assert torch.equal(left[~ignores], whole[~ignores])
    assert torch.equal(score, left.flatten(1).amax(dim=1))
    # The square is the worst place of its picture, unless the product ignores it; beside it something still shows.
    assert all(corner().flat[own.argmax()] for own in whole[4:])
    assert (score[4:6] < whole_score[4:6]).all()
    assert torch.equal(score[6:], whole_score[6:])


def test_what_is_no_number_is_not_hidden_by_a_region(ignoring_run):
    """A graph that computes nonsense where nobody looks is not to be trusted elsewhere."""
    model, _ = load_model(ignoring_run)
    distances = [torch.ones(1, 64 // stride, 64 // stride) for stride in model.anomaly_map.strides]
    for wrong in (torch.inf, torch.nan):
        distances[0][0, 1, 1] = wrong
        anomaly_map, _ = model.anomaly_map(distances, torch.zeros(1, dtype=torch.int32))
        assert not torch.isfinite(anomaly_map.sum())


def test_every_runtime_agrees(expected, ignoring_bundle, pictures):
    for backend in ("onnxruntime", "openvino"):
        with Detector.load(ignoring_bundle, backend=backend, precision="fp32") as detector:
            found = detector.predict(pictures)
        np.testing.assert_allclose(found.score, expected.score, atol=1e-4)
        np.testing.assert_array_equal(ignored_in(found.anomaly_map), ignored_in(expected.anomaly_map))
        np.testing.assert_array_equal(found.product, expected.product)


def test_typed_graphs_keep_regions_exact(ignoring_bundle, bundle, expected, pictures):
    """FP16 and INT8 are for convolutions: what counts is stored in a byte a pixel, and applied in FP32."""
    graph, without = (read_graph(own / "fp32.onnx") for own in (ignoring_bundle, bundle))
    assert len(graph.graph.node) == len(without.graph.node) + 4  # two look-ups, a cast and a product
    assert graph.ByteSize() < without.ByteSize() + 2 * 64 * 64 + 2000
    ranges = dict.fromkeys(place(graph, find_layers(graph)).readers, 8.0)
    half = to_fp16(graph)
    np.testing.assert_allclose(run_graph(half, pictures).score, expected.score, atol=5e-3)
    for typed in (half, to_int8(graph, ranges)):  # ranges nobody measured: only what is ignored can be compared
        found = run_graph(typed, pictures)
        for product, anomaly_map in zip(found.product, found.anomaly_map, strict=True):
            np.testing.assert_array_equal(ignored_in(anomaly_map), corner() & (product == 0))
        types = {
            value.name: value.type.tensor_type.elem_type
            for value in onnx.shape_inference.infer_shapes(typed).graph.value_info
        }
        constants = {tensor.name: tensor for tensor in typed.graph.initializer}
        (kept,) = [node for node in typed.graph.node if node.input[0].endswith("anomaly_map.keep")]
        assert constants[kept.input[0]].data_type == onnx.TensorProto.BOOL
        (cast,) = [node for node in typed.graph.node if node.input[0] == kept.output[0]]
        (product,) = [node for node in typed.graph.node if cast.output[0] in node.input]
        assert product.op_type == "Mul"
        assert {types[name] for name in (*product.input, *product.output)} == {onnx.TensorProto.FLOAT}


def test_products_with_the_same_region_share_it(run):
    model, _ = load_model(run)
    regions = torch.from_numpy(np.stack([corner(), corner()]))
    model.anomaly_map.ignore(regions)
    assert len(model.anomaly_map.keep) == 1
    assert torch.equal(model.anomaly_map.counting(torch.tensor([0, 1]))[0] == 0, regions[0])
    model.anomaly_map.ignore(torch.zeros_like(regions))
    assert model.anomaly_map.keep is None
    assert not [name for name in model.state_dict() if "keep" in name]


def test_means_leave_out_what_is_ignored():
    distance, counting = torch.ones(1, 4, 4), torch.ones(1, 32, 32)
    distance[0, 0, 0], counting[0, :8, :8] = 1000.0, 0.0
    assert mean_where_counting(distance, counting).item() == 1.0
    assert mean_where_counting(distance, None).item() > 60
    counting[0, :8, 4:8] = 1.0  # half of its pixels count: half of its weight
    assert mean_where_counting(distance, counting).item() == pytest.approx((15 + 500) / 15.5)


def test_a_changed_run_has_thresholds_of_what_counts(run, ignoring_run, products):
    before, after = read_checkpoint(run), read_checkpoint(ignoring_run)
    assert before.ignored == {}
    assert after.ignored == {products[0]: pytest.approx(corner().mean())}
    assert after.score_scale != before.score_scale
    assert after.reference != before.reference
    np.testing.assert_array_equal(regions_of(ignoring_run)[products[0]], corner())
    assert list(regions_of(ignoring_run)) == [products[0]]
    drawn = read_image(ignoring_run / "ignored-pictures" / f"{products[0]}.png")
    reference = read_image(ignoring_run / "reference" / f"{products[0]}.png")
    np.testing.assert_array_equal((drawn != reference).any(axis=2) & ~corner(), False)
    assert (drawn != reference).any()


def test_training_with_regions_is_training_and_then_ignoring(ignoring_run, line, products, tmp_path):
    """Student and memory are those of whole pictures either way."""
    train(small_model(), short_training(), open_dataset(line), tmp_path, ignored={products[0]: corner()})
    trained, changed = read_checkpoint(tmp_path), read_checkpoint(ignoring_run)
    assert trained.ignored == changed.ignored
    weights, expected = (load_model(folder)[0].state_dict() for folder in (tmp_path, ignoring_run))
    assert weights.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(weights[name], value)
    assert trained.score_scale.raw_threshold == pytest.approx(changed.score_scale.raw_threshold, rel=1e-5)
    again = read_regions(tmp_path / "ignored", open_dataset(line), corner().shape)
    np.testing.assert_array_equal(again[products[0]], corner())


def test_a_region_beside_which_good_images_are_at_their_worst_is_called_tight(run, line):
    """The map's worst place lies right of the region in every image, then far from it."""
    model, checkpoint = load_model(run)
    region = torch.zeros(2, *SIZE, dtype=torch.bool)
    region[0, :, :16] = True
    model.anomaly_map.ignore(region)
    store = ImageStore(open_dataset(line).train, SIZE, 0)
    said = []
    for column in (18, 60):
        peaked = torch.full((1, *SIZE), 0.1)
        peaked[0, 30, column] = 1.0
        model.forward = lambda images, peaked=peaked: (peaked.expand(len(images), -1, -1), None, None, None)
        said.append([f.text for f in tight_region_findings(model, [store], checkpoint.products, 4)])
    ((text,), nothing) = said
    assert text.startswith(f"{TEXT}{checkpoint.products[0]}: 8 of 8 good images are at their worst beside it")
    assert not nothing


def test_clearing_gives_back_what_was(run, ignoring_run, line, products, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(ignoring_run, folder)
    change_regions(folder, open_dataset(line), products[0], None)
    before, after = read_checkpoint(run), read_checkpoint(folder)
    assert after.ignored == {}
    assert after.score_scale.raw_threshold == pytest.approx(before.score_scale.raw_threshold, rel=1e-4)
    assert not (folder / "ignored").exists()
    assert not (folder / "ignored-pictures").exists()
    assert len(list(folder.glob("weights-*"))) == 1


def test_a_training_that_forgets_regions_says_so(run, ignoring_run, products, capsys):
    warn_of_forgotten_regions((run, None), products, {})
    warn_of_forgotten_regions((ignoring_run,), products, {products[0]: corner()})
    assert not capsys.readouterr().err
    warn_of_forgotten_regions((run, ignoring_run), products, {})
    assert f"ignores regions of {products[0]}; this training does not" in capsys.readouterr().err


def test_the_bundle_shows_what_its_graphs_ignore(ignoring_bundle, products):
    with Detector.load(ignoring_bundle, backend="onnxruntime") as detector:
        manifest = detector.bundle.manifest
        assert manifest.ignored[products[0]].share == pytest.approx(corner().mean())
        np.testing.assert_array_equal(read_ignored(detector.bundle)[products[0]], corner())
    assert describe(ignoring_bundle).record["ignored"][products[0]]["picture"] == f"ignore/{products[0]}.png"
    shown = command("ignore", ignoring_bundle).stdout
    assert f"{products[0]}: 23.4% of the picture is ignored, between 0% and 62% of its width" in shown
    assert f"{products[1]}: nothing is ignored" in shown
    assert "is a bundle" in str(command("ignore", ignoring_bundle, "--product", products[0], "--clear").exception)


def test_a_damaged_picture_of_a_region_is_found(ignoring_bundle, products, tmp_path):
    copy = tmp_path / "bundle"
    shutil.copytree(ignoring_bundle, copy)
    cv2.imwrite(str(copy / "ignore" / f"{products[0]}.png"), np.zeros(SIZE, np.uint8))
    with pytest.raises(BundleError, match="is damaged"):
        Bundle.open(copy)


def test_a_product_taken_for_one_that_ignores_more_is_not_good(ignoring_bundle, products):
    manifest = Bundle.open(ignoring_bundle).manifest
    ignoring, plain = products
    low = 0.01, 0, 0.2  # scores well, recognised as the product with the region
    told = decide(manifest, "fp32", *low, named=plain, compare=False)
    assert (told.kind, told.product, told.objection) == ("unknown", None, "region")
    assert f"taken for {ignoring}, whose ignored regions were left out: a defect of {plain} may lie there" in told.doubt
    high = decide(manifest, "fp32", 9.0, 0, 0.2, named=plain)
    assert (high.kind, high.product) == ("reject", plain)
    assert decide(manifest, "fp32", *low, named=ignoring).good
    assert decide(manifest, "fp32", *low).good
    # The other way round everything was looked at: at worst too much.
    other = decide(manifest, "fp32", 0.01, 1, 0.2, named=ignoring, compare=False)
    assert other.good
    assert f"the ignored regions of {ignoring} were not left out" in other.doubt
    # Both ignore the very same pixels: nothing is hidden.
    same = manifest.model_copy(update={"ignored": dict.fromkeys(products, manifest.ignored[ignoring])})
    assert decide(same, "fp32", *low, named=plain, compare=False).good
    assert not decide(same, "fp32", *low, named=plain, compare=False).doubt


def test_infer_says_what_it_cannot_vouch_for(ignoring_bundle, line, products, tmp_path):
    image = next(s.path for s in open_dataset(line).test if s.product == products[0] and s.is_good)
    arguments = ("infer", image, "--bundle", ignoring_bundle, "--backend", "onnxruntime", "--threshold", 50)
    result = command(*arguments, "--product", products[1], "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "0 good, 0 reject, 1 unknown" in result.stdout
    assert f"taken for {products[0]}" in result.stderr
    assert "taken for" not in command(*arguments, "--product", products[0]).stderr


def test_heatmaps_show_what_does_not_count():
    image = np.full((128, 192, 3), (200, 60, 60), np.uint8)
    anomaly_map = np.full(SIZE, 0.01, np.float32)
    anomaly_map[CORNER] = 0
    anomaly_map[40:50, 40:50] = 3.0
    plain = draw_overlay(image, anomaly_map)
    drawn = draw_overlay(image, anomaly_map, ignored=ignored_in(anomaly_map))
    changed = (drawn != plain).any(axis=2)
    np.testing.assert_array_equal(changed, cv2.resize(corner().astype(np.uint8), (192, 128), interpolation=0) > 0)
    assert len(np.unique(drawn[:40, :100].reshape(-1, 3), axis=0)) == 2  # grey, and the lines of the hatch
    np.testing.assert_array_equal(draw_ignored(image, np.zeros(SIZE, bool)), image)


def test_ignored_pixels_are_in_no_pixel_metric():
    rng = np.random.default_rng(0)
    maps, masks = rng.random((4, *SIZE), dtype=np.float32), rng.random((4, *SIZE)) > 0.9
    region = corner()
    with_region, cut = PixelMetrics(), PixelMetrics()
    for anomaly_map, mask in zip(maps, masks, strict=True):
        with_region.update(anomaly_map, mask, region)
        cut.update(anomaly_map[24:], mask[24:])
        cut.update(anomaly_map[:24, 40:], mask[:24, 40:])
    found, expected = with_region.compute(), cut.compute()
    assert (found.auroc, found.ap, found.f1_max) == (expected.auroc, expected.ap, expected.f1_max)


def labelme(folder, product, shapes, size=(64, 64)):
    content = {"imageWidth": size[0], "imageHeight": size[1], "shapes": shapes}
    (folder / f"{product}.json").write_text(json.dumps(content))


def test_regions_are_read_from_masks_and_polygons(line, products, tmp_path):
    """At twice the pictures' resolution, which is the same place."""
    dataset = open_dataset(line)
    mask = np.zeros((128, 128), np.uint8)
    mask[:48, :80] = 1  # not black, whatever it is
    cv2.imwrite(str(tmp_path / f"{products[0]}.png"), mask)
    labelme(tmp_path, products[1], [{"shape_type": "rectangle", "points": [[16, 8], [48, 24]]}])
    regions = read_regions(tmp_path, dataset, SIZE)
    np.testing.assert_array_equal(regions[products[0]], corner())
    assert regions[products[1]][8:24, 16:48].all()
    assert regions[products[1]].sum() <= 18 * 34  # with the pixels that its edge crosses
    plain = tmp_path / "plain.json"
    plain.write_text(json.dumps({"polygons": [[[16, 8], [48, 8], [48, 24], [16, 24]]], "size": [64, 64]}))
    np.testing.assert_array_equal(read_polygon_file(plain), regions[products[1]])
    labelme(tmp_path, "round", [{"shape_type": "circle", "points": [[32, 32], [32, 42]]}])
    assert read_polygon_file(tmp_path / "round.json").sum() == pytest.approx(np.pi * 100, rel=0.15)
    assert parse_polygon("1,2 3,4.5 5,6").tolist() == [[1, 2], [3, 4.5], [5, 6]]


def mask_of(shape, rows):
    mask = np.zeros(shape, np.uint8)
    mask[:rows] = 255
    return mask


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("stranger.png", mask_of((64, 64), 9), "there is no product 'stranger'"),
        ("{}.png", mask_of((64, 64), 0), "marks nothing"),
        ("{}.png", mask_of((64, 64), 64), "would leave 0.0% of product"),
        ("{}.png", mask_of((64, 64), 60), "at most 90% may be ignored"),
        ("{}.png", mask_of((64, 96), 9), "is for pictures of 96x64 pixels: images of product"),
        ("{}.jpg", mask_of((64, 64), 9), "says nothing of ignored regions"),
        ("{}.json", {"size": [64, 64]}, "polygons is missing"),
        ("{}.json", {"polygons": [[[0, 0], [9, 9]]], "size": [64, 64]}, "is none: it has 2 different corners"),
        (
            "{}.json",
            {"polygons": [[[0, 0], [9, 0], [9, 9]], [[0, 0], [9, 9], [20, 20]]], "size": [64, 64]},
            "is none: its corners lie on one line",
        ),
        ("{}.json", {"polygons": [[[0, 0], [90, 9], [9, 9]]], "size": [64, 64]}, "reaches beyond the picture"),
        ("{}.json", {"polygons": [], "size": [64, 64]}, "marks nothing"),
        (
            "{}.json",
            {"shapes": [{"shape_type": "line", "points": []}], "imageWidth": 64, "imageHeight": 64},
            "a line of 0 points",
        ),
        ("{}.json", [1, 2], "holds no regions"),
    ],
)
def test_what_is_no_region_is_refused(line, products, tmp_path, name, content, says):
    path = tmp_path / name.format(products[0])
    if isinstance(content, np.ndarray):
        cv2.imwrite(str(path), content)
    else:
        path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=re.escape(says)):
        read_regions(tmp_path, open_dataset(line), SIZE)


def test_two_files_for_a_product_and_an_empty_folder_are_refused(line, products, tmp_path):
    dataset = open_dataset(line)
    with pytest.raises(DataError, match="is empty"):
        read_regions(tmp_path, dataset, SIZE)
    with pytest.raises(DataError, match="is no folder"):
        read_regions(tmp_path / "none", dataset, SIZE)
    cv2.imwrite(str(tmp_path / f"{products[0]}.png"), mask_of((64, 64), 9))
    labelme(tmp_path, products[0], [])
    with pytest.raises(DataError, match="two files"):
        read_regions(tmp_path, dataset, SIZE)
    refused = command("train", line, "--ignore", tmp_path, "--size", 64, "--out", tmp_path / "run")
    assert "two files" in str(refused.exception)  # before anything is learned
    assert not (tmp_path / "run").exists()


def test_pictures_of_different_aspects_have_no_common_region(line, products, tmp_path):
    dataset = open_dataset(line)
    wide = tmp_path / "wide.png"
    cv2.imwrite(str(wide), np.zeros((64, 80, 3), np.uint8))
    first = next(sample for sample in dataset.train if sample.product == products[0])
    mixed = replace(dataset, train=(*dataset.train, replace(first, path=wide)))
    with pytest.raises(DataError, match="different aspects"):
        frame_sizes(mixed, products[0])


def test_regions_of_a_product_that_is_not_trained_on_are_refused(products):
    with pytest.raises(ConfigError, match="'stranger', which is not trained on"):
        stack_regions({"stranger": corner()}, products, SIZE)
    with pytest.raises(DataError, match="would leave"):
        fit_region(np.ones((128, 128), bool), products[0], [(64, 64)], SIZE, "it")
    assert MOST < 1


def test_the_command_changes_a_run_and_its_bundle_is_refused(ignoring_run, ignoring_bundle, line, products, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(ignoring_run, folder)
    assert (folder / ignoring_bundle.name).is_dir()
    data = ("--data", line)
    for arguments, says in (
        (("--clear", *data), "a change needs --product"),
        (("--product", products[1], "--clear"), "--data is missing"),
        (("--product", "stranger", "--clear", *data), "stranger"),
        (("--product", products[1], "--polygon", "1,2 3", *data), "is no polygon"),
    ):
        refused = command("ignore", folder, *arguments)
        assert isinstance(refused.exception, SnlEdgeError)
        assert says in str(refused.exception)
    polygon = "0,32 64,32 64,64 0,64"
    result = command("ignore", folder, "--product", products[1], "--polygon", polygon, *data)
    assert result.exit_code == 0, result.output
    assert re.search(rf"5[01]\.\d% of the picture of {products[1]} does not count", result.stderr)
    assert f"{folder / 'bundle'} is of the regions before and refused from now on" in result.stderr
    with pytest.raises(BundleError, match="what it ignores was changed"):
        Bundle.open(folder / "bundle")
    assert list(regions_of(folder)) == list(products)


def test_a_line_composes_both_and_passes_no_part_that_another_region_may_hide(
    ignoring_bundle, products, pictures, tmp_path
):
    """Camera ``own`` ignores its lower half besides; camera ``other`` always sees the product without regions."""
    shutil.copytree(ignoring_bundle, tmp_path / "bundle")
    Bundle.open(tmp_path / "bundle").set_threshold(50.0, products[0]).set_threshold(50.0, products[1])
    for name in ("own", "other"):
        write_picture(tmp_path / name, "part", cv2.cvtColor(pictures[0], cv2.COLOR_RGB2BGR))
    own = {"ignore": [{"x": 0, "y": 0.5, "width": 1, "height": 0.5}]}
    cameras = [
        {"name": name, "source": {"type": "folder", "path": tmp_path / name}, **settings}
        for name, settings in (("own", own), ("other", {"product": products[1], "compare_product": False}))
    ]
    kept = {"pictures": {"min_free_gib": 0, "of": ["good", "unknown"]}}
    line = run_to_end(line_config(tmp_path / "bundle", tmp_path, cameras=cameras, journal=kept))
    found = {record.camera: record for record in records(line)}
    assert (found["own"].verdict, found["own"].reason) == ("good", None)
    assert (found["other"].verdict, found["other"].action, found["other"].reason) == ("unknown", "hold", "region")
    with Detector.load(tmp_path / "bundle", backend="onnxruntime") as detector:
        anomaly_map = detector.predict(pictures[:1]).anomaly_map[0]
    assert found["own"].score == pytest.approx(anomaly_map[:32].max(), rel=1e-5)
    assert found["other"].score == pytest.approx(anomaly_map.max(), rel=1e-5)
    heatmap = read_image(tmp_path / "journal" / found["own"].heatmap).astype(float)
    left_out = corner()
    left_out[32:] = True
    hatched, plain = (np.abs(heatmap - draw_overlay(pictures[0], anomaly_map, 50.0, own)) for own in (left_out, None))
    assert hatched[left_out].mean() < 0.5 * plain[left_out].mean()  # what is left is JPEG's


@pytest.mark.parametrize("kind", ["run", "bundle"])
def test_evaluation_leaves_out_what_is_ignored_and_counts_what_it_hides(
    kind, ignoring_run, ignoring_bundle, line, products, tmp_path
):
    """One defect of the product marked wholly in the corner: it is an escape or a detection like any other."""
    dataset = open_dataset(line)
    mask = np.zeros(SIZE, np.uint8)
    mask[3:6, 4:9] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    own = [sample for sample in dataset.test if sample.product == products[0]]
    moved = next(sample for sample in own if not sample.is_good)
    marked = replace(moved, mask=MaskFiles((tmp_path / "mask.png",)))
    test = tuple(marked if sample == moved else sample for sample in own)
    subject = ignoring_run if kind == "run" else ignoring_bundle
    evaluation, _ = evaluate_model(subject, replace(dataset, test=test))
    result = evaluation.products[products[0]]
    assert result.ignored == pytest.approx(corner().mean())
    assert result.hidden == 1
    assert result.at_threshold.defective == sum(not sample.is_good for sample in own)
    (note,) = [note for note in evaluation.notes if "does not count" in note]
    assert f"23.4% of the picture of {products[0]} does not count" in note
    assert "1 of 4 marked defects lie wholly there: they count as escaped unless" in note
    assert "data:image" in write_report(evaluation, tmp_path, title="", provenance={})[0].read_text()
