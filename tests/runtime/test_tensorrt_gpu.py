"""Engines on a real GPU, through pycuda: each TensorRT that is installed, against ONNX Runtime in FP32."""

from __future__ import annotations

import gc
import importlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from contract_graph import HEIGHT, WIDTH, contract_images, framed, write_contract_bundle
from lines import SIDE, write_parts
from pictures_way import files_on_the_page, files_passed
from resealed import edit_manifest

from snl_edge.benchmarks.ceilings import measure_gpu_ceilings
from snl_edge.contract.graph import Prediction
from snl_edge.errors import BackendError, DataError, EngineError
from snl_edge.image import fit_to_input, swapped
from snl_edge.runtime.bundle import Bundle
from snl_edge.runtime.detector import Detector
from snl_edge.runtime.engine_record import FlavourName
from snl_edge.runtime.gpu import present_gpus
from snl_edge.runtime.manifest import FrameSpec
from snl_edge.runtime.tensorrt_flavour import installed_flavours
from studies.small_bundle import write_small_bundle

MAX_BATCH = 4
TOLERANCE = {"fp32": 1e-4, "fp16": 2e-2}


def _missing() -> str:
    """What these tests lack here; empty if nothing."""
    if not present_gpus():
        return "no NVIDIA GPU, or no driver"
    try:
        importlib.import_module("pycuda.driver")
    except ImportError as error:
        return f"pycuda cannot be imported ({error})"
    return "" if installed_flavours() else "neither tensorrt nor tensorrt_rtx is installed"


MISSING = _missing()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(bool(MISSING), reason=MISSING)]
FLAVOURS = [flavour.name for flavour in installed_flavours()]


@pytest.fixture(scope="module", autouse=True)
def kernel_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Compiled kernels go to a fresh folder, not to the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module", params=FLAVOURS)
def flavour(request: pytest.FixtureRequest) -> FlavourName:
    return request.param


@pytest.fixture(scope="module")
def folder(flavour: FlavourName, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with an FP32 and an FP16 engine of this flavour, built on this GPU."""
    from snl_edge.export.engine import build_bundle_engine

    bundle = write_contract_bundle(tmp_path_factory.mktemp("gpu") / "line", max_batch=MAX_BATCH)
    precisions: tuple[Literal["fp32", "fp16"], ...] = ("fp32", "fp16")
    for precision in precisions:
        build_bundle_engine(bundle, precision=precision, flavour=flavour)
    return bundle.path


@pytest.fixture(scope="module")
def detector(folder: Path, flavour: FlavourName) -> Iterator[Detector]:
    with Detector.load(folder, backend=flavour, precision="fp16") as loaded:
        yield loaded


def _free_memory() -> int:
    from pycuda import driver  # pyright: ignore[reportMissingImports]

    from snl_edge.runtime import cuda

    with cuda.current(0):
        return driver.mem_get_info()[0]


def _reference(folder: Path, images: np.ndarray) -> Prediction:
    with Detector.load(folder, backend="onnxruntime", precision="fp32") as reference:
        return reference.predict(images)


def test_record_names_this_gpu(folder: Path) -> None:
    present = present_gpus()[0]
    for record in Bundle.open(folder).engines():
        assert record.compute_capabilities == (present.compute_capability,)
        assert record.gpu == present.name


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("batch", range(1, MAX_BATCH + 1))
def test_engine_agrees_with_onnx_runtime(folder: Path, flavour: FlavourName, precision: str, batch: int) -> None:
    images = contract_images(batch, seed=batch)
    expected = _reference(folder, images)
    with Detector.load(folder, backend=flavour, precision=precision) as detector:
        assert detector.backend.name == flavour
        found = detector.predict(images)
    np.testing.assert_allclose(found.anomaly_map, expected.anomaly_map, atol=TOLERANCE[precision])
    np.testing.assert_allclose(found.score, expected.score, atol=TOLERANCE[precision])
    np.testing.assert_array_equal(found.product, expected.product)
    np.testing.assert_allclose(found.product_distance, expected.product_distance, atol=1e-4)


def test_frames_are_resized_on_the_gpu(folder: Path, flavour: FlavourName, tmp_path: Path) -> None:
    from snl_edge.export.engine import build_bundle_engine

    frame = FrameSpec(height=100, width=140, colours="bgr")
    bundle = framed(Bundle.open(folder), tmp_path / "line", frame)
    build_bundle_engine(bundle, precision="fp16", flavour=flavour)
    frames = np.random.default_rng(0).integers(0, 256, (3, *frame.size, 3), dtype=np.uint8)
    fitted = np.stack([fit_to_input(swapped(one), (HEIGHT, WIDTH)) for one in frames])
    expected = _reference(folder, fitted)
    with Detector.load(bundle.path, backend=flavour, precision="fp16") as detector:
        locked = detector.backend.inputs(3)
        locked[:] = frames
        for images in (frames, locked):
            found = detector.predict(images)
            np.testing.assert_allclose(found.anomaly_map, expected.anomaly_map, atol=TOLERANCE["fp16"])
            np.testing.assert_array_equal(found.product, expected.product)
        # The recognised product depends on the mean of what the model sees alone, and is FP32.
        np.testing.assert_allclose(found.product_distance, expected.product_distance, atol=1e-4)


def test_auto_takes_the_engine(folder: Path, flavour: FlavourName) -> None:
    with Detector.load(folder) as detector:
        assert detector.backend.name == flavour
        assert "fp16" in detector.backend_reason


def test_larger_batches_are_split(detector: Detector) -> None:
    images = contract_images(2 * MAX_BATCH + 1)
    whole = detector.predict(images)
    for index in range(len(images)):
        for output, one in zip(whole, detector.predict(images[index : index + 1]), strict=True):
            np.testing.assert_allclose(output[index], one[0], atol=TOLERANCE["fp16"])


def test_batch_sizes_may_alternate(detector: Detector) -> None:
    images = contract_images(MAX_BATCH)
    expected = {batch: detector.predict(images[:batch]) for batch in range(1, MAX_BATCH + 1)}
    for batch in (4, 1, 3, 2, 4, 2, 1):
        for found, before in zip(detector.predict(images[:batch]), expected[batch], strict=True):
            np.testing.assert_array_equal(found, before)


def test_repeated_calls_give_equal_results(detector: Detector) -> None:
    images = contract_images(3)
    first = detector.predict(images)
    for _ in range(50):
        for found, before in zip(detector.predict(images), first, strict=True):
            np.testing.assert_array_equal(found, before)


def test_engine_alone_takes_less_than_the_whole_call(detector: Detector) -> None:
    from snl_edge.runtime.tensorrt_backend import TensorRtBackend

    images = contract_images(MAX_BATCH)
    backend = detector.backend
    assert isinstance(backend, TensorRtBackend)
    expected = backend.infer(images).score.copy()
    alone = [backend.engine_seconds(images) for _ in range(10)]
    started = time.perf_counter()
    np.testing.assert_array_equal(backend.infer(images).score, expected)
    assert 0 < min(alone) < time.perf_counter() - started


def test_ceilings_of_the_gpu_are_plausible() -> None:
    if present_gpus()[0].name == "Stand-in GPU":
        pytest.skip("no cuBLAS here: the stand-in multiplies no matrices")
    try:
        limits = measure_gpu_ceilings(0)
    except EngineError as error:
        pytest.skip(f"no cuBLAS here: {error}")
    assert limits["fp16_flops_per_second"] >= limits["flops_per_second"] > 1e11
    assert limits["bytes_per_second"] > 1e10


def test_two_detectors_do_not_disturb_each_other(folder: Path, flavour: FlavourName, detector: Detector) -> None:
    images = contract_images(2)
    alone = detector.predict(images)
    with Detector.load(folder, backend=flavour, precision="fp32") as other:
        for seed in range(5):
            other.predict(contract_images(4, seed))
            for found, before in zip(detector.predict(images), alone, strict=True):
                np.testing.assert_array_equal(found, before)
    for found, before in zip(detector.predict(images), alone, strict=True):
        np.testing.assert_array_equal(found, before)


def test_other_threads_may_run_it(detector: Detector) -> None:
    images = contract_images(2)
    expected = detector.predict(images).score
    found: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: found.append(detector.predict(images).score)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == len(threads)
    for scores in found:
        np.testing.assert_array_equal(scores, expected)


def test_thread_that_loaded_it_may_end_before_it(folder: Path, flavour: FlavourName) -> None:
    loaded: list[Detector] = []
    thread = threading.Thread(target=lambda: loaded.append(Detector.load(folder, backend=flavour)))
    thread.start()
    thread.join(120)
    assert loaded
    with loaded[0] as detector:
        assert detector.predict(contract_images(1)).score.shape == (1,)


def test_calls_take_no_more_memory(detector: Detector) -> None:
    batches = [contract_images(batch) for batch in range(1, MAX_BATCH + 1)]
    for images in batches:
        detector.predict(images)
    before = _free_memory()
    for _ in range(50):
        for images in batches:
            detector.predict(images)
    assert before - _free_memory() < 1 << 20


def test_another_shares_the_engine(folder: Path, flavour: FlavourName) -> None:
    images = contract_images(2)
    with Detector.load(folder, backend=flavour, precision="fp16") as first:
        expected = first.predict(images).score
        with first.another() as second:
            loaded = [detector.backend._lane.loaded for detector in (first, second)]  # pyright: ignore
            assert loaded[0] is loaded[1]
            found: list[np.ndarray] = []

            def run(detector: Detector) -> None:
                for _ in range(20):
                    found.append(detector.predict(images).score)

            threads = [threading.Thread(target=run, args=(detector,)) for detector in (first, second)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            assert len(found) == 40
            for scores in found:
                np.testing.assert_array_equal(scores, expected)
            first.close()
            np.testing.assert_array_equal(second.predict(images).score, expected)


def test_only_wanted_maps_come_to_the_host(own_folder: Path, flavour: FlavourName) -> None:
    images = contract_images(MAX_BATCH)
    edit_manifest(own_folder, scores_vouch_for_maps=True)
    with Detector.load(own_folder, backend=flavour) as detector:
        expected = detector.predict(images)
        pinned = detector.backend.inputs(2 * MAX_BATCH)
        pinned[MAX_BATCH:] = images
        told: list[np.ndarray] = []
        for given in (images, pinned[MAX_BATCH:]):
            scores, maps = detector.inspect(given, lambda scores: told.append(scores.score) or np.array([0, 3]))
            for found, before in zip(scores, expected.scores, strict=True):
                np.testing.assert_array_equal(found, before)
            assert sorted(maps) == [0, 3]
            for row, own in maps.items():
                np.testing.assert_array_equal(own, expected.anomaly_map[row])
        assert len(told) == 2
        detector.close()
        pinned[:] = 1  # a camera that is late may still write there


def test_a_picture_of_a_line_passes_no_more_files_than_on_a_cpu(flavour: FlavourName, tmp_path: Path) -> None:
    from snl_edge.export.engine import build_bundle_engine

    small = write_small_bundle(tmp_path / "small", SIDE)
    build_bundle_engine(small, precision="fp32", flavour=flavour)
    write_parts(tmp_path / "parts", 1, spots=(0,))
    assert files_passed(tmp_path, small.path, "reject", engine={"backend": flavour}) == files_on_the_page()


def test_a_batch_that_was_refused_leaves_nothing_behind(folder: Path, flavour: FlavourName) -> None:
    """Whatever a refused set-up left halfway, the next batch is not run at its size."""
    images, others = contract_images(3), contract_images(3, seed=5)
    with Detector.load(folder, backend=flavour, precision="fp16") as detector:
        expected = detector.predict(others).score
        detector.predict(images)
        execution = detector.backend._lane.execution  # pyright: ignore
        set_up = execution._set_up

        def refuse(context: object, batch: int, profile: int) -> None:
            set_up(context, batch, profile)
            raise EngineError("refused on the way")

        execution._set_up = refuse
        with suppress(EngineError):  # TensorRT's contexts are set up once and for all
            detector.predict(images[:1])
        execution._set_up = set_up
        np.testing.assert_array_equal(detector.predict(others).score, expected)


@pytest.mark.parametrize("shape", [(2, HEIGHT, WIDTH, 1), (2, 1, WIDTH, 3), (0, HEIGHT, WIDTH, 3), (HEIGHT, WIDTH, 3)])
def test_images_of_another_shape_are_refused(detector: Detector, shape: tuple[int, ...]) -> None:
    images = np.zeros(shape, np.uint8)
    with pytest.raises(DataError):
        detector.inspect(images, lambda scores: [])
    with pytest.raises(EngineError, match="this engine was made ready for"):
        detector.backend.infer(images)


def test_more_images_than_were_made_room_for_are_refused(detector: Detector) -> None:
    pinned = detector.backend.inputs(MAX_BATCH + 1)
    with pytest.raises(DataError, match=f"it takes 1 to {MAX_BATCH}"):
        detector.inspect(pinned, lambda scores: [])
    with pytest.raises(EngineError, match="this engine was made ready for"):
        detector.backend.run(pinned)


def test_a_detector_is_closed_while_another_captures(
    folder: Path, flavour: FlavourName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wait for the whole context, as in closing, voids a capture on another thread and looks like a lost GPU."""
    if flavour != "tensorrt":
        pytest.skip("only TensorRT is captured from outside")
    from snl_edge.runtime import execution

    images, inside, loaded = contract_images(2), threading.Event(), []
    graph = execution.CudaGraph

    def slowly(stream: Any, enqueue: Callable[[], None]) -> Any:
        def enqueue_and_wait() -> None:
            enqueue()
            inside.set()
            time.sleep(0.2)

        return graph(stream, enqueue_and_wait)

    other = Detector.load(folder, backend=flavour, precision="fp16", max_batch=1)
    expected = other.predict(images).score
    monkeypatch.setattr(execution, "CudaGraph", slowly)
    loading = threading.Thread(
        target=lambda: loaded.append(Detector.load(folder, backend=flavour, precision="fp16", max_batch=1))
    )
    loading.start()
    assert inside.wait(20)
    other.close()
    loading.join(60)
    with loaded[0] as detector:
        assert "without CUDA graphs" not in detector.backend_reason
        np.testing.assert_array_equal(detector.predict(images).score, expected)


def test_unreadable_kernels_are_compiled_again(own_folder: Path, flavour: FlavourName, kernel_cache: Path) -> None:
    with Detector.load(own_folder, backend=flavour) as detector:
        expected = detector.predict(contract_images(1)).score
    (record,) = Bundle.open(own_folder).engines()
    for kept in (kernel_cache / "snl-edge").glob(f"{record.engine_sha256[:16]}*"):
        kept.unlink()
        kept.mkdir()
    with Detector.load(own_folder, backend=flavour) as detector:
        np.testing.assert_array_equal(detector.predict(contract_images(1)).score, expected)


def test_every_batch_size_is_ready_before_the_first_part(folder: Path, flavour: FlavourName) -> None:
    with Detector.load(folder, backend=flavour, precision="fp16") as detector:
        assert "CUDA graphs" in detector.backend_reason
        before = _free_memory()
        for batch in range(1, MAX_BATCH + 1):
            detector.predict(contract_images(batch))
        assert before == _free_memory()


def test_less_is_made_ready_for_small_batches(folder: Path, flavour: FlavourName) -> None:
    images = contract_images(MAX_BATCH)
    with (
        Detector.load(folder, backend=flavour, precision="fp16") as whole,
        Detector.load(folder, backend=flavour, precision="fp16", max_batch=2) as small,
    ):
        assert small.backend.max_batch == 2
        np.testing.assert_allclose(small.predict(images).score, whole.predict(images).score, atol=TOLERANCE["fp16"])


def test_batches_run_in_the_profile_that_is_tuned_for_them(folder: Path, flavour: FlavourName) -> None:
    (record,) = (own for own in Bundle.open(folder).engines() if own.precision == "fp16")
    ranges = [(own.min, own.opt, own.max) for own in record.profiles]
    assert ranges == ([(1, 1, 1), (2, MAX_BATCH, MAX_BATCH)] if flavour == "tensorrt" else [(1, 1, MAX_BATCH)])


def test_closing_gives_memory_back_on_any_thread(folder: Path, flavour: FlavourName) -> None:
    def load_and_close(elsewhere: bool) -> None:
        detector = Detector.load(folder, backend=flavour)
        if elsewhere:
            thread = threading.Thread(target=detector.close)
            thread.start()
            thread.join(60)
        detector.close()

    load_and_close(False)
    gc.collect()
    before = _free_memory()
    for elsewhere in (False, True) * 3:
        load_and_close(elsewhere)
    gc.collect()
    assert before - _free_memory() < 8 << 20


def test_closed_detector_says_so(folder: Path, flavour: FlavourName) -> None:
    detector = Detector.load(folder, backend=flavour)
    detector.close()
    with pytest.raises(EngineError, match="closed"):
        detector.predict(contract_images(1))


def test_kernels_are_kept_for_the_next_start(flavour: FlavourName, detector: Detector, kernel_cache: Path) -> None:
    if flavour != "tensorrt_rtx":
        pytest.skip("only TensorRT-RTX compiles kernels when loading")
    assert detector.predict(contract_images(1)).score.shape == (1,)
    assert any(path.stat().st_size for path in (kernel_cache / "snl-edge").glob("*.kernels"))


@pytest.fixture
def own_folder(flavour: FlavourName, tmp_path: Path) -> Path:
    from snl_edge.export.engine import build_bundle_engine

    bundle = write_contract_bundle(tmp_path / "line", max_batch=MAX_BATCH)
    build_bundle_engine(bundle, precision="fp16", flavour=flavour)
    return bundle.path


def _edit_side_file(folder: Path, **changes: object) -> None:
    (side,) = (folder / "engines").glob("*.json")
    side.write_text(json.dumps({**json.loads(side.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"version": "10.0.0"}, "it was built with TensorRT.* 10.0.0, and"),
        ({"compute_capabilities": ["5.0"]}, "it was built for compute capability 5.0, and"),
        ({"onnx_sha256": "0" * 64}, "another graph"),
    ],
)
def test_engine_that_does_not_fit_is_refused(
    own_folder: Path, flavour: FlavourName, changes: dict[str, object], says: str
) -> None:
    _edit_side_file(own_folder, **changes)
    with pytest.raises(BackendError, match=rf"{says}.*snl-edge build {own_folder}"):
        Detector.load(own_folder, backend=flavour)
    with Detector.load(own_folder) as detector:
        assert detector.backend.name in ("openvino", "onnxruntime")
        assert "does not fit" in detector.backend_reason


def test_side_file_with_another_profile_is_refused(own_folder: Path, flavour: FlavourName) -> None:
    _edit_side_file(own_folder, profiles=[{"min": 1, "opt": 1, "max": 64}])
    with pytest.raises(EngineError, match="not what its side file says.*snl-edge build"):
        Detector.load(own_folder, backend=flavour)


def test_damaged_engine_stops_even_auto(own_folder: Path) -> None:
    (engine,) = (own_folder / "engines").glob("*.engine")
    content = bytearray(engine.read_bytes())
    content[len(content) // 2] ^= 0xFF
    engine.write_bytes(content)
    with pytest.raises(EngineError, match=r"is damaged.*snl-edge build .* --precision fp16"):
        Detector.load(own_folder)


def test_gpu_that_is_not_there_is_named(folder: Path, flavour: FlavourName) -> None:
    with pytest.raises(BackendError, match="there is no GPU 99"):
        Detector.load(folder, backend=flavour, device=99)


def test_results_have_the_contracts_types(detector: Detector) -> None:
    found = detector.predict(contract_images(2))
    assert (found.anomaly_map.dtype, found.anomaly_map.shape) == (np.float32, (2, HEIGHT, WIDTH))
    assert (found.score.dtype, found.score.shape) == (np.float32, (2,))
    assert (found.product.dtype, found.product.shape) == (np.int32, (2,))
    assert (found.product_distance.dtype, found.product_distance.shape) == (np.float32, (2,))


def test_a_trained_model_scores_the_same_on_the_gpu(bundle: Path, flavour: FlavourName, tmp_path: Path) -> None:
    """The whole fused graph, not the small stand-in: FP16 engine against ONNX Runtime in FP32."""
    from snl_edge.data.synthetic import PRODUCTS, render_part
    from snl_edge.export.engine import build_bundle_engine

    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy)
    build_bundle_engine(Bundle.open(copy), precision="fp16", flavour=flavour)
    rng = np.random.default_rng(0)
    frames = [render_part(next(iter(PRODUCTS)), "good", rng, 64)[0] for _ in range(5)]
    with (
        Detector.load(copy, backend=flavour, precision="fp16") as on_gpu,
        Detector.load(copy, backend="onnxruntime") as cpu,
    ):
        for ours, reference in zip(on_gpu.detect(frames), cpu.detect(frames), strict=True):
            assert ours.score == pytest.approx(reference.score, abs=5e-3)
            assert ours.product_distance == pytest.approx(reference.product_distance, rel=2e-2, abs=2e-2)
            assert ours.kind == reference.kind or abs(reference.score - reference.threshold) < 5e-3
