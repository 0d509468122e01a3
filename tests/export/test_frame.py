"""Graphs that resize the camera's frame themselves: the host's bytes, the same verdicts, and nothing else is taken."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from contract_graph import HEIGHT, WIDTH, contract_model, framed, write_contract_bundle
from lines import light, line_config, picture, records, run_to_end, running, wait_for, write_picture
from onnx import TensorProto

from snl_edge.benchmarks.bench import frame_size
from snl_edge.bundling.build import build, memory_of_frames
from snl_edge.bundling.engine_trial import gate_detectors
from snl_edge.bundling.gate_images import gate_images
from snl_edge.bundling.graphs import Graphs
from snl_edge.cli.options import Colours, parse_frame
from snl_edge.data.samples import Sample
from snl_edge.errors import BundleError, ConfigError, DataError, ExportError
from snl_edge.evaluation.evaluate import evaluate
from snl_edge.evaluation.run import open_subject
from snl_edge.export.frame import front_alone, with_frame
from snl_edge.export.frame_parity import add_fronts, compare_frames
from snl_edge.export.parity import run_graph
from snl_edge.export.rounding import device_session
from snl_edge.image import brightness, fit_to_input, focus, read_image, swapped
from snl_edge.runtime.bundle import Bundle
from snl_edge.runtime.detector import Detector
from snl_edge.runtime.manifest import FILE, FrameSpec, InputSpec
from snl_edge.service.check import check_line
from snl_edge.stream.capture.camera_settings import PictureChecks
from snl_edge.stream.capture.prepare import PictureFaults, Placer
from snl_edge.stream.line import RunningLine
from snl_edge.training.checkpoint import load_model
from studies.small_bundle import write_small_bundle

FRAME = FrameSpec(height=100, width=140, colours="bgr")
"""Of the contract graph's 24 x 40: halved once more across than down, then interpolated."""


def frames(count: int, frame: FrameSpec = FRAME, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *frame.size, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "size",
    [(240, 320), (101, 143), (24, 40), (48, 80), (48, 50), (30, 160), (17, 21), (1, 1), (33, 331)],
    ids=lambda size: f"{size[1]}x{size[0]}",
)
@pytest.mark.parametrize("colours", ["rgb", "bgr"])
def test_the_front_gives_the_hosts_bytes(size: tuple[int, int], colours: str) -> None:
    frame = FrameSpec(height=size[0], width=size[1], colours=colours)
    graph = with_frame(contract_model("fp16"), frame)
    shown = frames(2, frame)
    pixels = np.asarray(device_session(front_alone(graph)).run(None, {"images": shown})[0])
    for own, image in zip(pixels, shown, strict=True):
        rgb = swapped(image) if colours == "bgr" else image
        np.testing.assert_array_equal(own, fit_to_input(rgb, (HEIGHT, WIDTH)))


def test_nothing_of_the_frames_size_is_fp32(tmp_path: Path) -> None:
    graph = onnx.shape_inference.infer_shapes(with_frame(contract_model("fp16"), FRAME), strict_mode=True)
    large = {
        value.type.tensor_type.elem_type
        for value in graph.graph.value_info
        if np.prod([dim.dim_value for dim in value.type.tensor_type.shape.dim[1:]]) > 4 * HEIGHT * WIDTH * 3
    }
    assert large == {TensorProto.FLOAT16}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_contract_bundle(tmp_path_factory.mktemp("plain") / "line", max_batch=3)


@pytest.fixture(scope="module")
def resizing(plain: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return framed(plain, tmp_path_factory.mktemp("resizing") / "line", FRAME)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_verdicts_are_those_of_the_hosts_resize(plain: Bundle, resizing: Bundle, backend: str, precision: str) -> None:
    pytest.importorskip(backend)
    shown = frames(4)
    with (
        Detector.load(plain.path, backend=backend, precision=precision, threads=1) as host,
        Detector.load(resizing.path, backend=backend, precision=precision, threads=1) as device,
    ):
        expected = host.detect([swapped(one) for one in shown])
        for given in (shown, list(shown), [shown[0][:, ::-1][:, ::-1], *shown[1:]]):
            for found, own in zip(device.detect(given), expected, strict=True):
                assert (found.kind, found.product) == (own.kind, own.product)
                np.testing.assert_allclose(found.anomaly_map, own.anomaly_map, atol=1e-5)
        np.testing.assert_allclose(device.predict(shown).score, [own.score for own in expected], rtol=1e-5)
        assert np.shares_memory(device._made_ready(shown), shown)
        assert np.shares_memory(device._made_ready([shown[0]]), shown)


def test_other_frames_are_refused_in_one_line(resizing: Bundle, snl_edge, tmp_path: Path) -> None:
    with Detector.load(resizing.path, backend="onnxruntime") as detector:
        with pytest.raises(DataError, match=r"frame is 40x24.*140x100 alone.*--frame 40x24, or without"):
            detector.detect([np.zeros((HEIGHT, WIDTH, 3), np.uint8)])
        with pytest.raises(DataError, match=r"input is uint8 \[B, 100, 140, 3\]"):
            detector.predict(np.zeros((1, HEIGHT, WIDTH, 3), np.uint8))
    with pytest.raises(ConfigError, match=r"frames of 640x480.*built for 140x100 alone"):
        frame_size(resizing, (480, 640))
    assert frame_size(resizing, None) == (100, 140)
    cv2.imwrite(str(tmp_path / "right.png"), frames(1)[0])
    cv2.imwrite(str(tmp_path / "small.png"), frames(1)[0][:50])
    called = snl_edge(
        "infer", "right.png", "small.png", "--bundle", resizing.path, "--json", "--backend", "onnxruntime"
    )
    right, small = map(json.loads, called.stdout.splitlines())
    assert called.returncode == 3
    assert "the frame is 140x50" in small["error"]
    with Detector.load(resizing.path, backend="onnxruntime") as detector:  # the file's RGB reached it as BGR
        assert right["score"] == round(detector.detect(frames(1))[0].score, 6)


def test_evaluation_and_gate_show_frames(plain: Bundle, resizing: Bundle, tmp_path: Path) -> None:
    for number, shown in enumerate(frames(4)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), shown)
    samples = [Sample(tmp_path / f"{number}.png", "bolt", ("good", "bent")[number % 2]) for number in range(4)]
    found, expected = (open_subject(bundle.path, "onnxruntime") for bundle in (resizing, plain))
    scores = [
        [case.score for case in evaluate(one.predict, samples, one.size, as_images=one.as_images).cases]
        for one in (found, expected)
    ]
    np.testing.assert_allclose(*scores, rtol=1e-5)
    images = gate_images((), samples)
    report = gate_detectors(resizing.path, ("onnxruntime", "fp32"), ("onnxruntime", "fp16"), images)
    assert report.images == 8
    assert report.score_correlation > 0.99
    cv2.imwrite(str(samples[0].path), frames(1)[0][:50])
    with pytest.raises(DataError, match="the frame is 140x50"):
        evaluate(found.predict, samples, found.size, as_images=found.as_images)


def test_a_manifest_without_a_frame_is_what_it_was(plain: Bundle, resizing: Bundle) -> None:
    assert set(json.loads((plain.path / FILE).read_text())["input"]) == {"height", "width", "max_batch"}
    assert json.loads((resizing.path / FILE).read_text())["input"]["frame"] == FRAME.model_dump()
    assert resizing.manifest.input.image_size == (100, 140)
    assert resizing.manifest.input.size == plain.manifest.input.image_size == (HEIGHT, WIDTH)
    assert not memory_of_frames(plain.manifest.input, None)
    assert "batch, of 3, takes 0.1 MB" in memory_of_frames(resizing.manifest.input, None)


def test_sizes_that_cannot_be_are_refused() -> None:
    assert parse_frame("2448x2048", Colours.bgr) == FrameSpec(height=2048, width=2448, colours="bgr")
    assert parse_frame(None, Colours.rgb) is None
    for text, colours, says in (
        ("2448", Colours.rgb, "'2448' is not understood"),
        ("99999x9", Colours.rgb, "too large.*16384"),
        (None, Colours.bgr, "--frame-colours needs --frame"),
    ):
        with pytest.raises(ConfigError, match=says):
            parse_frame(text, colours)


def test_a_graph_that_sees_something_else_is_refused() -> None:
    graph, shown = contract_model("fp32"), frames(2)
    fitted = np.stack([fit_to_input(swapped(one), (HEIGHT, WIDTH)) for one in shown])
    expected = run_graph(graph, fitted)
    right = compare_frames(with_frame(graph, FRAME), shown, fitted, expected, "fp32", "itself")
    assert (right.pixel_difference, right.score_difference) == (0, 0)
    wrong = with_frame(graph, FRAME.model_copy(update={"colours": "rgb"}))
    with pytest.raises(ExportError, match="does not see a frame as the host's resize shows it.*without --frame"):
        compare_frames(wrong, shown, fitted, expected, "fp32", "itself")


def test_a_run_becomes_a_bundle_for_one_camera(
    run: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The run's own graph, exported once for all tests: exporting it again would take longer than all the rest.
    made = Graphs(load_model(run)[1], {"fp32": onnx.load(Bundle.open(bundle).graph("fp32"))}, [])
    monkeypatch.setattr("snl_edge.bundling.build.make_gated_graphs", lambda *_: made)
    frame = FrameSpec(height=256, width=320, colours="bgr")
    folder = build(run, tmp_path / "line", "fp32", engine=False, frame=frame, max_batch=2)
    said = " ".join(capsys.readouterr().err.split())
    assert "fp32 graph with its resize on 4 frames, against the host's resize and PyTorch: pixels differ by 0" in said
    assert "a frame of 320x256 BGR is 0.2 MB" in said
    manifest = Bundle.open(folder).manifest
    assert manifest.input == InputSpec(height=64, width=64, max_batch=2, frame=frame)
    assert manifest.parity["fp32"]["frame"]["pixel_difference"] == 0
    with pytest.raises(BundleError, match="take 320x256 BGR.*--frame"):
        build(folder, None, "fp32", frame=FRAME, flavour="tensorrt_rtx")


def test_every_precision_is_held_to_the_hosts_resize(run: Path, bundle: Path) -> None:
    graphs = {name: onnx.load(Bundle.open(bundle).graph(name)) for name in ("fp32", "fp16")}
    graphs["int8"] = graphs["fp16"]  # any graph that PyTorch is no measure of
    framed, parity = add_fronts(run, graphs, FrameSpec(height=200, width=130, colours="bgr"))
    assert list(framed) == list(parity) == ["fp32", "fp16", "int8"]
    assert {record.pixel_difference for record in parity.values()} == {0}
    assert parity["fp32"].score_difference < 1e-5 < parity["fp16"].score_difference < 5e-3
    assert (parity["int8"].score_difference, parity["int8"].map_difference) == (0, 0)


def test_openvino_computes_the_front_exactly_whatever_it_rounds_behind(plain: Bundle, resizing: Bundle) -> None:
    openvino = pytest.importorskip("openvino")
    from snl_edge.runtime.openvino_backend import OpenVinoBackend, half_as_bf16, process_core

    model = process_core().read_model(resizing.graph("fp16"))
    half_as_bf16(model)
    kinds = {node.get_friendly_name(): node.get_output_element_type(0) for node in model.get_ordered_ops()}
    assert openvino.Type.bf16 in kinds.values()
    assert openvino.Type.bf16 not in {kind for name, kind in kinds.items() if name.startswith("frame.")}
    assert openvino.Type.f16 in {kind for name, kind in kinds.items() if name.startswith("frame.")}
    (shown,) = frames(1)
    found = OpenVinoBackend(resizing.graph("fp16"), "bf16", 1).infer(shown[None])
    expected = OpenVinoBackend(plain.graph("fp16"), "bf16", 1).infer(
        fit_to_input(swapped(shown), (HEIGHT, WIDTH))[None]
    )
    np.testing.assert_allclose(found.anomaly_map, expected.anomaly_map, atol=1e-5)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The small graph with a front for frames of 128 x 96, BGR."""
    folder = tmp_path_factory.mktemp("small")
    frame = FrameSpec(height=96, width=128, colours="bgr")
    return framed(write_small_bundle(folder / "plain", 64), folder / "framed", frame)


def part(number: int, *, spot: bool = False) -> np.ndarray:
    """A part of the frame's size whose blue is high and red low, ``uint8 [96, 128, 3]`` in OpenCV's BGR."""
    large = cv2.resize(picture(number, spot=spot), (128, 96), interpolation=cv2.INTER_NEAREST)
    tint = np.where(large == 255, 0, [60, 0, -60])
    return (large + tint).astype(np.uint8)


def test_a_line_copies_frames_and_keeps_its_checks_and_colours(small: Bundle, tmp_path: Path) -> None:
    for number in range(6):
        write_picture(tmp_path / "parts", f"{number}", part(number, spot=number == 2))
    write_picture(tmp_path / "parts", "6", part(6)[:80])
    write_picture(tmp_path / "parts", "7", np.zeros((96, 128, 3), np.uint8))
    checks = {"checks": {"fixed_size": False}}
    line = run_to_end(line_config(small.path, tmp_path, camera=checks))
    found = sorted(records(line), key=lambda record: record.sequence)  # what fails at once is recorded at once
    assert [record.verdict for record in found[:6]] == ["good", "good", "reject", "good", "good", "good"]
    assert [(record.verdict, record.reason) for record in found[6:]] == [("failsafe", "size"), ("failsafe", "black")]
    kept = read_image(line.journal.folder / str(found[2].image))
    assert kept.shape == (96, 128, 3)
    assert kept[..., 2].mean() > kept[..., 0].mean() + 80  # blue, as the file is
    heatmap = read_image(line.journal.folder / str(found[2].heatmap))
    assert heatmap[..., 2].mean() > heatmap[..., 0].mean() + 60


def test_a_line_says_which_size_it_wants(small: Bundle, tmp_path: Path) -> None:
    write_picture(tmp_path / "parts", "a", part(0)[:80])
    line = run_to_end(line_config(small.path, tmp_path / "x", camera=_folder(tmp_path)))
    assert records(line)[0].reason == "size"
    region = _folder(tmp_path) | {"region": {"x": 0, "y": 0, "width": 96, "height": 96}, "rotation": 90}
    with pytest.raises(ConfigError, match=r"inspects 96x96 pixels.*frames of 128x96 alone"):
        RunningLine(line_config(small.path, tmp_path / "y", camera=region))
    found = {one.subject: one for one in check_line(line_config(small.path, tmp_path, camera=region), connect=False)}
    assert found["recipe"].works is False
    assert "inspects 96x96" in found["recipe"].text
    whole = check_line(line_config(small.path, tmp_path), connect=False)
    seen = next(one for one in whole if one.subject == "camera camera picture")
    assert seen.works is False
    assert "the frame is 128x80" in seen.text
    write_picture(tmp_path / "parts", "a", part(0))
    whole = check_line(line_config(small.path, tmp_path), connect=False)
    seen = next(one for one in whole if one.subject == "camera camera picture")
    assert seen.works
    assert "gives RGB and the bundle takes BGR: the host converts" in seen.text
    assert "takes frames of 128x96 BGR alone" in next(one.text for one in whole if one.subject == "recipe")


def _folder(path: Path) -> dict:
    return {"source": {"type": "folder", "path": path / "parts"}}


def test_turned_regions_and_samples_reach_a_graph_that_resizes(small: Bundle, tmp_path: Path) -> None:
    write_picture(tmp_path / "parts", "a", np.pad(np.rot90(part(0, spot=True)), ((5, 0), (7, 0), (0, 0))))
    region = {"region": {"x": 7, "y": 5, "width": 96, "height": 128}, "rotation": 90}
    for kind, spot in (("good", False), ("reject", True)):
        write_picture(tmp_path / "golden" / kind, kind, part(1, spot=spot))
    golden = {"folder": tmp_path / "golden"}
    with running(line_config(small.path, tmp_path, camera=_folder(tmp_path) | region, golden=golden)) as line:
        wait_for(lambda: line.recorder.committed == 1)
        assert light(line, "self-test") == "ok"
    (record,) = records(line)
    assert (record.verdict, round(record.blobs[0].x, 1), round(record.blobs[0].y, 1)) == ("reject", 0.5, 0.3)


def test_brightness_focus_and_frozen_mean_what_they_meant() -> None:
    takes = InputSpec(height=64, width=64, max_batch=1, frame=FrameSpec(height=500, width=700, colours="bgr"))
    rng = np.random.default_rng(0)
    scene = cv2.resize(rng.integers(0, 256, (25, 35, 3), np.uint8), (700, 500), interpolation=cv2.INTER_CUBIC)
    placer, place = Placer(), np.empty((500, 700, 3), np.uint8)
    faults = PictureFaults(PictureChecks(frozen_after=2))
    for _ in range(3):
        frame = np.clip(scene + rng.normal(0, 4, scene.shape), 0, 255).astype(np.uint8)
        seen = placer.put(frame, takes, place)
        np.testing.assert_array_equal(place, frame)
        fitted = fit_to_input(swapped(frame), (64, 64))
        assert abs(brightness(seen) - brightness(fitted)) < 1.5
        assert placer.focus(frame, takes, seen) == focus(fitted)
        assert faults.of_input(seen, brightness(seen)) is None
    assert faults.of_input(placer.put(frame, takes, place), 100.0) == "frozen"
    dark = np.zeros_like(scene)
    assert faults.of_input(placer.put(dark, takes, place), brightness(placer.put(dark, takes, place))) == "black"
