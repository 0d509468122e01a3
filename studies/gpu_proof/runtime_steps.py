"""Steps about the runtime: the driver through pycuda, TensorRT-RTX's targets, engines, parity, speed."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from snl_edge.runtime.bundle import Bundle
from snl_edge.runtime.detector import Detector
from snl_edge.runtime.gpu import gpu
from snl_edge.runtime.tensorrt_flavour import UNLISTED_TARGET, load_flavour

from .lines import say, saying_errors, timed_calls
from .settings import ProofSettings

if TYPE_CHECKING:
    from snl_edge.runtime.tensorrt_backend import TensorRtBackend

TARGETS = ("", "CURRENT", "SM80", "SM89", "SM120")
"""What an engine for a GPU that TensorRT-RTX does not list is built for, most general first; empty: its default."""
TARGET_FILE = "rtx_target"


def driver(settings: ProofSettings) -> None:
    """pycuda on the driver: context, copies there and back, events, threads, the GPU's ceilings, NVML."""
    from pycuda import driver as cuda_driver  # pyright: ignore[reportMissingImports]

    from snl_edge.benchmarks.ceilings import measure_gpu_ceilings
    from snl_edge.machine.nvml import find_gpu
    from snl_edge.runtime import cuda
    from snl_edge.runtime.cuda_memory import Buffer

    present = gpu(0)
    say("gpu", name=present.name, compute_capability=present.compute_capability, memory_bytes=present.memory_bytes)
    shape = (8, 64, 64, 3) if settings.quick else (8, 256, 256, 3)
    sent = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    buffer: Any = None
    stream: Any = None
    with cuda.current(0):
        buffer, stream = Buffer(shape, np.uint8, mapped=False), cuda_driver.Stream()

        def there_and_back(batch: int) -> None:
            buffer.host[:batch] = sent[:batch]
            buffer.upload(stream, batch)
            stream.synchronize()
            buffer.host[:] = 0
            buffer.download(stream, 0, batch)
            stream.synchronize()
            if not (buffer.host[:batch] == sent[:batch]).all():
                raise AssertionError("bytes changed on their way to the GPU and back")

        def elsewhere() -> None:
            with cuda.current(0):
                there_and_back(1)

        for batch in (1, 8):
            say("copies", batch=batch, **timed_calls(lambda batch=batch: there_and_back(batch), settings.seconds / 2))
        for _ in range(8):
            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
        buffer = stream = None  # freed while the context is current
    with saying_errors("ceilings"):
        say("ceilings", **measure_gpu_ceilings(0))
    found = find_gpu(0)
    say("nvml", found=found if isinstance(found, str) else found.describe())


def targets(settings: ProofSettings) -> None:
    """Does TensorRT-RTX run on this GPU, and built for which target? Fails if for none."""
    import onnxruntime

    from snl_edge.export.engine import build_bundle_engine

    from ..small_bundle import write_small_bundle

    flavour = load_flavour(settings.flavour)
    bundle = write_small_bundle(settings.work / "small", 64)
    images = np.random.default_rng(0).integers(0, 256, (2, *bundle.manifest.input.size, 3), np.uint8)
    session = onnxruntime.InferenceSession(bundle.graph("fp32"), providers=["CPUExecutionProvider"])
    expected = np.asarray(session.run(["score"], {"images": images})[0])
    listed = not flavour.is_rtx or gpu(0).compute_capability in flavour.listed_capabilities()
    works = []
    for target in ("",) if listed else TARGETS:
        os.environ[UNLISTED_TARGET] = target
        facts = {"version": flavour.version, "target": target or "default"}
        with saying_errors("target", **facts):
            started = time.perf_counter()
            record = build_bundle_engine(bundle, precision="fp32", flavour=settings.flavour)
            built = time.perf_counter()
            with Detector.load(bundle.path, backend=settings.flavour, precision="fp32") as detector:
                loaded = time.perf_counter()
                difference = float(np.abs(detector.predict(images).score - expected).max())
            facts |= {"build_s": round(built - started, 2), "load_s": round(loaded - built, 2)}
            say("target", **facts, capabilities=record.compute_capabilities, score_difference=difference)
            if difference < 1e-3:
                works.append(target)
    (settings.work / TARGET_FILE).write_text(works[0] if works else "none")
    if not works:
        raise SystemExit(3)


def bundle(settings: ProofSettings, preset: str) -> None:
    """A bundle with random weights in every precision: speed and parity know no others."""
    from ..random_models import write_random_bundle

    started = time.perf_counter()
    write_random_bundle(settings.model(preset), settings.bundle(preset), fast=True)
    say("bundle", preset=preset, seconds=round(time.perf_counter() - started, 1))


def engines(settings: ProofSettings, preset: str) -> None:
    """Builds every precision's engine; loads each twice, the second time with its kernels kept."""
    from snl_edge.export.engine import build_bundle_engine

    opened = Bundle.open(settings.bundle(preset))
    for precision in settings.precisions:
        with saying_errors("engine", preset=preset, precision=precision):
            started = time.perf_counter()
            record = build_bundle_engine(opened, precision=precision, flavour=settings.flavour)
            built = time.perf_counter() - started
            loads = []
            for _ in range(2):
                started = time.perf_counter()
                Detector.load(opened.path, backend=settings.flavour, precision=precision).close()
                loads.append(round(time.perf_counter() - started, 2))
            say(
                "engine",
                preset=preset,
                precision=precision,
                build_s=round(built, 2),
                file_bytes=opened.engine_path(record).stat().st_size,
                layers=record.layers,
                load_s=loads,
            )


def parity(settings: ProofSettings, preset: str) -> None:
    """Every engine, and PyTorch on the GPU, against the FP32 graph in ONNX Runtime; shares of the largest score."""
    from .torch_steps import fused_outputs

    path = settings.bundle(preset)
    size = Bundle.open(path).manifest.input.size
    images = np.random.default_rng(1).integers(0, 256, (4, *size, 3), dtype=np.uint8)
    with Detector.load(path, backend="onnxruntime", precision="fp32") as detector:
        reference = [np.array(output) for output in detector.predict(images)]
    scale = float(np.abs(reference[1]).max())

    def compare(what: str, found: Any) -> None:
        apart = max(1.0, float(np.abs(reference[3]).max()))
        say(
            "parity",
            preset=preset,
            what=what,
            map=float(np.abs(found[0] - reference[0]).max()) / scale,
            score=float(np.abs(found[1] - reference[1]).max()) / scale,
            products_changed=int((found[2] != reference[2]).sum()),
            distance=float(np.abs(found[3] - reference[3]).max()) / apart,
        )

    with saying_errors("parity", preset=preset, what="pytorch fp32"):
        compare("pytorch fp32", fused_outputs(settings, preset, images))
    for record in Bundle.open(path).engines():
        with (
            saying_errors("parity", preset=preset, what=record.precision),
            Detector.load(path, backend=record.flavour, precision=record.precision) as detector,
        ):
            compare(record.precision, detector.predict(images))


def speed(settings: ProofSettings, preset: str) -> None:
    """Latency of the backend and of the bare engine; images a second with several batches in flight."""
    path = settings.bundle(preset)
    rng = np.random.default_rng(0)
    for record in Bundle.open(path).engines():
        facts = {"preset": preset, "precision": record.precision}
        with (
            saying_errors("latency", **facts),
            Detector.load(path, backend=record.flavour, precision=record.precision) as detector,
        ):
            size, bare = detector.bundle.manifest.input.size, {}
            say("running", **facts, how=detector.backend.description)
            for batch in settings.batches:
                images = rng.integers(0, 256, (batch, *size, 3), dtype=np.uint8)
                engine = cast("TensorRtBackend", detector.backend).engine_seconds
                taken = sorted(engine(images) for _ in range(5 if settings.quick else 300))
                bare[batch] = taken[len(taken) // 2]
                whole = timed_calls(lambda images=images: detector.backend.run(images), settings.seconds)
                say("latency", **facts, batch=batch, **whole, engine_p50=round(1e3 * bare[batch], 4))
            lanes = [detector.backend, *(detector.backend.another() for _ in settings.in_flight[1:])]
            try:
                for batch in settings.batches:
                    images = rng.integers(0, 256, (batch, *size, 3), dtype=np.uint8)
                    for count in settings.in_flight:
                        found = _images_per_second(lanes[:count], images, settings.seconds)
                        share = round(found * bare[batch] / batch, 3)
                        say("throughput", **facts, batch=batch, in_flight=count, images_per_s=found, of_engine=share)
            finally:
                for lane in lanes[1:]:
                    lane.close()


def _images_per_second(lanes: list[Any], images: Any, seconds: float) -> float:
    done, failed = [0] * len(lanes), []
    stop = time.perf_counter() + seconds

    def work(index: int) -> None:
        try:
            while time.perf_counter() < stop:
                lanes[index].run(images)
                done[index] += len(images)
        except Exception as error:
            failed.append(error)

    started = time.perf_counter()
    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(lanes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return round(sum(done) / (time.perf_counter() - started), 1)
