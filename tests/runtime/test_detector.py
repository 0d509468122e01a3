"""The Detector on the contract graph, with the CPU backends."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from contract_graph import HEIGHT, WIDTH, contract_images, contract_model, write_contract_bundle

from snl_edge.contract.graph import Prediction
from snl_edge.errors import BundleError, ConfigError, DataError, EngineError
from snl_edge.image import fit_to_input
from snl_edge.runtime.bundle_writer import write_bundle
from snl_edge.runtime.detector import Detector
from snl_edge.runtime.manifest import BundleContent
from snl_edge.runtime.verdict import decide

CPU_BACKENDS = ("onnxruntime", "openvino")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detector") / "line"
    write_contract_bundle(folder, max_batch=3)
    return folder


@pytest.fixture(scope="module", params=CPU_BACKENDS)
def detector(request: pytest.FixtureRequest, folder: Path) -> Iterator[Detector]:
    pytest.importorskip(request.param)
    with Detector.load(folder, backend=request.param, threads=1) as loaded:
        yield loaded


def _reference(images: np.ndarray) -> Prediction:
    """The contract graph, computed by ONNX's own reference implementation."""
    from onnx.reference import ReferenceEvaluator

    return Prediction(*map(np.asarray, ReferenceEvaluator(contract_model()).run(None, {"images": images})))


def test_results_are_those_of_the_graph(detector: Detector) -> None:
    images = np.concatenate([contract_images(2), contract_images(1) // 8])
    found, expected = detector.predict(images), _reference(images)
    assert [output.dtype for output in found] == [np.float32, np.float32, np.int32, np.float32]
    np.testing.assert_allclose(found.anomaly_map, expected.anomaly_map, atol=1e-5)
    np.testing.assert_allclose(found.score, expected.score, rtol=1e-5)
    np.testing.assert_array_equal(found.product, [1, 1, 0])
    np.testing.assert_allclose(found.product_distance, expected.product_distance, atol=1e-5)


def test_batches_larger_than_the_backends_are_split(detector: Detector) -> None:
    images = contract_images(7)
    assert detector.backend.max_batch == 3
    whole = detector.predict(images)
    for index in range(7):
        for output, one in zip(whole, detector.predict(images[index : index + 1]), strict=True):
            np.testing.assert_allclose(output[index], one[0], atol=1e-6, rtol=1e-5)


def test_backends_agree(folder: Path) -> None:
    pytest.importorskip("openvino")
    images = contract_images(4)
    with Detector.load(folder, backend="openvino") as one, Detector.load(folder, backend="onnxruntime") as other:
        for ours, theirs in zip(one.predict(images), other.predict(images), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_images_of_a_batch_may_run_side_by_side(folder: Path) -> None:
    pytest.importorskip("openvino")
    images = contract_images(7)
    with (
        Detector.load(folder, backend="openvino", threads=1) as one,
        Detector.load(folder, backend="openvino", threads=2) as two,
    ):
        for _ in range(3):
            for ours, theirs in zip(two.predict(images), one.predict(images), strict=True):
                np.testing.assert_allclose(ours, theirs, atol=1e-6)
        one_image = two.predict(images[4:5])
        np.testing.assert_allclose(one_image.score, one.predict(images).score[4:5], rtol=1e-5)


SIGNALLED = """
import ctypes, faulthandler, pathlib, signal, sys
from snl_edge.runtime.detector import Detector
class Stack(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]
def stack():
    found = Stack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found))
    return found.at
faulthandler.enable()  # gives the thread a stack for signals
first = Detector.load(pathlib.Path(sys.argv[1]), backend="openvino")
before = stack()
second = Detector.load(pathlib.Path(sys.argv[1]), backend="openvino")
print(stack() == before)  # one more would be the thread's own even when what it belongs to is gone
del first, second
signal.signal(signal.SIGTERM, lambda *_: print("handled"))
signal.raise_signal(signal.SIGTERM)
"""


def test_bundles_that_take_each_others_place_leave_the_stack_for_signals_alone(folder: Path) -> None:
    pytest.importorskip("openvino")
    done = subprocess.run([sys.executable, "-c", SIGNALLED, str(folder)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["True", "handled"]), done.stderr


def test_fp16_graph_runs_and_is_close(folder: Path) -> None:
    with Detector.load(folder, backend="onnxruntime", precision="fp16") as detector:
        assert "fp16" in detector.backend.description
        maps = detector.predict(contract_images(2)).anomaly_map
    np.testing.assert_allclose(maps, _reference(contract_images(2)).anomaly_map, atol=5e-3)


def test_frames_of_any_size_are_fitted_and_judged(detector: Detector) -> None:
    rng = np.random.default_rng(1)
    frames = [
        rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((480, 640), (HEIGHT, WIDTH), (10, 9), (64, 20))
    ]
    verdicts = detector.detect(frames)
    fitted = np.stack([fit_to_input(frame, (HEIGHT, WIDTH)) for frame in frames])
    for verdict, anomaly_map, score, *_ in zip(verdicts, *detector.predict(fitted), strict=True):
        assert verdict.score == pytest.approx(float(score), rel=1e-6)
        assert verdict.reject == (verdict.score > verdict.threshold)
        np.testing.assert_allclose(verdict.anomaly_map, anomaly_map, atol=1e-6)


def test_results_are_the_callers_own(detector: Detector) -> None:
    first = detector.predict(contract_images(1, seed=1))
    kept = [output.copy() for output in first]
    detector.predict(contract_images(1, seed=2))
    for output, copy in zip(first, kept, strict=True):
        np.testing.assert_array_equal(output, copy)


def test_threshold_of_the_product_decides(tmp_path: Path) -> None:
    frame = contract_images(1)
    bundle = write_contract_bundle(tmp_path / "line")
    with Detector.load(tmp_path / "line", backend="onnxruntime") as detector:
        score = detector.detect(frame)[0].score
    bundle.set_threshold(score * 1.1).set_threshold(score * 0.9, "bolt")
    with Detector.load(tmp_path / "line", backend="onnxruntime") as detector:
        assert not detector.detect(frame)[0].reject
        assert not detector.detect(frame, product="washer")[0].reject
        assert detector.detect(frame, product="bolt")[0].reject
        with pytest.raises(ConfigError, match="unknown product 'nut'.*bolt, washer"):
            detector.detect(frame, product="nut")


def _bright(level: int) -> np.ndarray:
    return np.full((1, HEIGHT, WIDTH, 3), level, np.uint8)


def test_recognised_product_decides_by_its_own_threshold(tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line")
    bundle.set_threshold(99.0).set_threshold(1e-9, "bolt")
    with Detector.load(tmp_path / "line", backend="onnxruntime") as detector:
        (dark,) = detector.detect(_bright(10))
        (grey,) = detector.detect(_bright(120))
    assert (dark.product, dark.kind, dark.threshold) == ("bolt", "reject", 1e-9)
    assert (grey.product, grey.kind, grey.threshold) == ("washer", "good", 99.0)
    assert dark.reject
    assert grey.good
    assert dark.product_distance == pytest.approx(10 / 63.75, rel=1e-5)


def test_unknown_product_is_neither_good_nor_reject_whatever_its_score(tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line")
    for threshold in (1e-9, 99.0):
        bundle.set_threshold(threshold)
        with Detector.load(tmp_path / "line", backend="onnxruntime") as detector:
            (verdict,) = detector.detect(_bright(255))
            assert (verdict.kind, verdict.product, verdict.reject, verdict.good) == ("unknown", None, False, False)
            assert verdict.product_distance == pytest.approx(2.0)
            # Who names the product and forgoes the comparison takes the responsibility.
            (named,) = detector.detect(_bright(255), product="bolt", compare=False)
            assert (named.kind, named.product) == ("reject" if threshold < 1 else "good", "bolt")


def test_a_high_score_makes_a_reject_of_what_is_nearer_to_its_product_than_to_the_next(tmp_path: Path) -> None:
    """Beyond the limit of the unknown nothing is good; a defect there is a reject, as far as it is clear of whom."""
    manifest = write_contract_bundle(tmp_path / "line").manifest.model_copy(update={"reject_limits": {"bolt": 1.5}})
    bolt, washer = (manifest.products.index(name) for name in ("bolt", "washer"))
    above, below = 0.6, 0.4
    for distance, kind, product in ((0.9, "reject", "bolt"), (1.5, "reject", "bolt"), (1.6, "unknown", None)):
        decision = decide(manifest, "fp32", above, bolt, distance)
        assert (decision.kind, decision.product) == (kind, product)
    assert decide(manifest, "fp32", above, washer, 1.1).kind == "unknown"  # bundles of before say nothing of it
    assert [decide(manifest, "fp32", below, bolt, d).kind for d in (0.9, 1.1, 1.6)] == ["good", "unknown", "unknown"]
    # The score is held against a threshold up to there, and against none beyond: the bundle's own decides nothing.
    manifest = manifest.model_copy(update={"threshold": 0.3, "product_thresholds": {"bolt": 0.5}})
    for score in (above, below):
        judged = [decide(manifest, "fp32", score, bolt, distance) for distance in (0.9, 1.1, 1.5, 1.6)]
        assert [decision.threshold for decision in judged] == [0.5, 0.5, 0.5, None]
    assert decide(manifest, "fp32", above, bolt, 9.0, threshold=0.2).threshold is None
    assert decide(manifest, "fp32", below, bolt, 9.0, named="bolt").threshold == 0.5
    # Only a score above the threshold reaches beyond the limit of the unknown, with the product named, too.
    assert [decide(manifest, "fp32", s, bolt, 1.2, named="bolt").kind for s in (above, below)] == ["reject", "unknown"]
    one = manifest.model_copy(update={"products": ("bolt",), "reject_limits": {}})
    assert [decide(one, "fp32", score, 0, 99.0).kind for score in (above, below)] == ["reject", "unknown"]


def test_a_named_product_is_held_against_the_recognised_one(tmp_path: Path) -> None:
    """Naming a product makes good of nothing that recognition takes for another one or for none."""
    write_contract_bundle(tmp_path / "line").set_threshold(99.0)
    with Detector.load(tmp_path / "line", backend="onnxruntime") as detector:
        for level, kind, objection in ((10, "good", None), (120, "unknown", "mismatch"), (255, "unknown", "unlearned")):
            (verdict,) = detector.detect(_bright(level), product="bolt")
            assert (verdict.kind, verdict.objection) == (kind, objection)
            assert verdict.recognised == ("bolt" if level < 64 else "washer")
            assert detector.detect(_bright(level), product="bolt", compare=False)[0].good
        assert "taken for washer, not for bolt" in detector.detect(_bright(120), product="bolt")[0].doubt
        assert "the limit is 1" in detector.detect(_bright(255), product="bolt")[0].doubt
        # A defect is the named product's, whatever it was taken for.
        (defect,) = detector.detect(_bright(120), product="bolt", threshold=1e-9)
        assert (defect.kind, defect.product, defect.objection) == ("reject", "bolt", "mismatch")


def test_what_is_no_number_is_never_good(tmp_path: Path) -> None:
    manifest = write_contract_bundle(tmp_path / "line").manifest
    assert not decide(manifest, "fp32", 0.1, 0, 0.2, threshold=float("nan")).good
    assert not decide(manifest, "fp32", float("nan"), 0, 0.2).good
    assert not decide(manifest, "fp32", 0.1, 0, float("nan"), named="bolt").good


def test_unknown_limit_is_adjustable_and_itself_known(tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line").set_threshold(99.0)
    for limit, kind in ((1.9, "unknown"), (2.0, "good"), (2.1, "good")):
        bundle.set_unknown_limit(limit)
        with Detector.load(tmp_path / "line", backend="onnxruntime") as detector:
            assert detector.detect(_bright(255))[0].kind == kind
    with Detector.load(tmp_path / "line", backend="onnxruntime") as detector:
        assert detector.detect(_bright(255), threshold=1e-9)[0].kind == "reject"


def test_product_that_the_manifest_does_not_list_is_an_error(tmp_path: Path) -> None:
    write_contract_bundle(tmp_path / "line", products=("bolt",))
    with (
        Detector.load(tmp_path / "line", backend="onnxruntime") as detector,
        pytest.raises(EngineError, match="recognised a product that the manifest does not list.*lists 1"),
    ):
        detector.detect(_bright(120))


def test_score_equal_to_the_threshold_is_good(tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line")
    with Detector.load(tmp_path / "line", backend="onnxruntime") as detector:
        score = detector.detect(contract_images(1))[0].score
    bundle.set_threshold(score)
    with Detector.load(tmp_path / "line", backend="onnxruntime") as detector:
        assert not detector.detect(contract_images(1))[0].reject


def test_no_frames_give_no_verdicts(detector: Detector) -> None:
    assert detector.detect([]) == []
    shapes = [output.shape for output in detector.predict(contract_images(0))]
    assert shapes == [(0, HEIGHT, WIDTH), (0,), (0,), (0,)]


@pytest.mark.parametrize(
    ("images", "says"),
    [
        ([np.zeros((8, 8, 3), np.float32)], r"frame 0 is float32 \[8, 8, 3\].*uint8"),
        ([np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)], r"frame 1 is uint8 \[8, 8\]"),
        ([np.zeros((8, 8, 4), np.uint8)], r"frame 0 is uint8 \[8, 8, 4\]"),
        ([np.zeros((0, 8, 3), np.uint8)], r"frame 0 is uint8 \[0, 8, 3\]"),
        (np.zeros((8, 8), np.uint8), r"images are uint8 \[8, 8\].*or a sequence"),
        (["part.png"], "frame 0 is a str"),
    ],
)
def test_frames_of_another_kind_are_refused(detector: Detector, images: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        detector.detect(images)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, HEIGHT, WIDTH, 3), np.float32),
        np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        np.zeros((1, WIDTH, HEIGHT, 3), np.uint8),
        [[1, 2]],
    ],
)
def test_predict_takes_the_input_shape_only(detector: Detector, images: Any) -> None:
    with pytest.raises(DataError, match=rf"the input is uint8 \[B, {HEIGHT}, {WIDTH}, 3\]"):
        detector.predict(images)


def test_views_and_reversed_images_give_the_same(detector: Detector) -> None:
    images = contract_images(2)
    bgr = np.ascontiguousarray(images[..., ::-1])
    for ours, theirs in zip(detector.predict(bgr[..., ::-1]), detector.predict(images), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_threads_share_a_detector(detector: Detector) -> None:
    batches = [contract_images(2, seed) for seed in range(8)]
    expected = [detector.predict(batch).score for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda batch: detector.predict(batch).score, batches))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_graph_that_overflows_never_calls_a_part_good(tmp_path: Path, backend: str) -> None:
    pytest.importorskip(backend)
    made = write_contract_bundle(tmp_path / "made").manifest
    onnx.save(contract_model(scale=5e35), tmp_path / "overflowing.onnx")
    write_bundle(
        tmp_path / "line",
        {"fp32": tmp_path / "overflowing.onnx"},
        BundleContent(name="overflowing", input=made.input, products=made.products, score_scale=made.score_scale),
    )
    with (
        Detector.load(tmp_path / "line", backend=backend) as detector,
        pytest.raises(EngineError, match="no finite number.*fp32"),
    ):
        detector.detect(contract_images(1))


def test_damaged_bundle_is_not_loaded(tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line")
    graph = bundle.graph("fp16")
    graph.write_bytes(graph.read_bytes()[:-1])
    with pytest.raises(BundleError, match="fp16.onnx is damaged"):
        Detector.load(tmp_path / "line")


def test_closing_twice_is_harmless(folder: Path) -> None:
    detector = Detector.load(folder, backend="onnxruntime")
    detector.close()
    detector.close()


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), 1e300, 0.0, -1.0])
def test_a_threshold_that_nothing_or_all_is_above_is_refused(detector: Detector, threshold: float) -> None:
    with pytest.raises(ConfigError, match="is no threshold"):
        detector.detect(contract_images(1), threshold=threshold)


def test_closing_does_not_hang_with_a_call_that_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("snl_edge.runtime.detector._CLOSE_S", 0.05)
    detector = Detector.load(folder, backend="onnxruntime", threads=1)
    going_on = threading.Event()
    infer = detector.backend.infer
    monkeypatch.setattr(detector.backend, "infer", lambda images: (going_on.wait(20), infer(images))[1])
    call = threading.Thread(target=detector.predict, args=(contract_images(1),))
    call.start()
    detector.close()
    assert detector.closed
    assert "not closed: a call of ONNX Runtime" in caplog.text
    going_on.set()
    call.join(20)


def test_another_is_made_while_the_first_is_busy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Detector.load(folder, backend="onnxruntime", threads=1) as detector:
        expected = detector.predict(contract_images(2)).score
        with detector._lock, detector.another() as other:
            np.testing.assert_array_equal(other.predict(contract_images(2)).score, expected)


@pytest.fixture(scope="module")
def plain(folder: Path) -> Iterator[Detector]:
    with Detector.load(folder, backend="onnxruntime", threads=1) as loaded:
        yield loaded


WRONG: list[dict[str, Any]] = [
    *({"threshold": value} for value in ("0.5", [1], True, 10**400, 10**5000, -(10**5000), 1j, np.ones(2))),
    *({"sizes": value} for value in ([], [(1, 1)], [(1, 1)] * 3, [(1, 1), (0, 1)], [(1, 1), (-1, 1)], "ab", 5, [1, 2])),
    *({"sizes": [(1, 1), value]} for value in ((1,), (1, 1, 1), (1.5, 1), ("1", "1"), "11", (True, 1), None)),
    *({"colours": value} for value in (5, ["rgb"], np.ones(2))),
    *({"bits": value} for value in ("8", True, 8.5, 10**5000)),
    *({"product": value} for value in (5, [], 10**5000, np.ones(2))),
    {"out": [1, 2, 3]},
]


@pytest.mark.parametrize("given", WRONG, ids=lambda given: next(iter(given)))
def test_an_argument_that_cannot_be_is_one_line_before_anything_runs(
    given: dict[str, Any], plain: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain.backend, "infer", lambda *_: pytest.fail("it runs"))
    with pytest.raises((ConfigError, DataError)) as refused:
        plain.detect([*contract_images(2)], **given)
    said = str(refused.value)
    assert len(said) < 250
    assert "\n" not in said


@pytest.mark.parametrize(
    "given",
    [
        *({"max_batch": value} for value in (1.5, "8", 10**9, 0, True, 10**5000)),
        *({"threads": value} for value in (1.5, "8", 10**9, -1)),
        *({"device": value} for value in (1.5, "0", -1)),
        {"backend": None},
        {"backend": ["onnxruntime"]},
        {"precision": 16},
        *({"bundle": value} for value in (None, 5, ["x"])),
    ],
    ids=lambda given: next(iter(given)),
)
def test_a_detector_that_cannot_be_is_one_line(given: dict[str, Any], folder: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        Detector.load(**{"bundle": folder, "backend": "onnxruntime", **given})
    assert len(str(refused.value)) < 250


def test_numbers_of_numpy_are_numbers(plain: Detector) -> None:
    images = [*contract_images(2)]
    sizes = np.array([image.shape[:2] for image in images])
    found = plain.detect(images, threshold=np.float32(0.25), sizes=sizes)  # pyright: ignore[reportArgumentType]
    assert [type(one.threshold) for one in found] == [float, float]
    assert [one.regions for one in found] == [one.regions for one in plain.detect(images, threshold=0.25)]


def test_one_frame_in_colours_is_not_many_grey_ones(plain: Detector) -> None:
    frame = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    for channels in (1, 3, 4):
        with pytest.raises(DataError, match=f"one frame in colours, or {HEIGHT} grey ones {channels} pixels wide"):
            plain.detect(np.resize(frame, (HEIGHT, WIDTH, channels)), colours="grey")
    assert len(plain.detect(frame[..., 0], colours="grey")) == 1
    assert len(plain.detect(np.stack([frame[..., 0]] * 2), colours="grey")) == 2


def test_what_a_mask_hides_is_not_judged_as_if_it_were_seen(plain: Detector) -> None:
    masked = np.ma.masked_greater(contract_images(1), 100)
    for call in (lambda: plain.detect(masked), lambda: plain.detect([masked[0]]), lambda: plain.predict(masked)):
        with pytest.raises(DataError, match="masked array"):
            call()


@pytest.mark.parametrize("value", ["no", None, 0, 1, np.ones(2)])
def test_what_is_no_switch_does_not_switch_the_comparison_off(plain: Detector, value: Any) -> None:
    with pytest.raises(ConfigError, match="compare cannot be"):
        plain.detect(np.zeros((HEIGHT, WIDTH, 3), np.uint8), product="bolt", compare=value)
