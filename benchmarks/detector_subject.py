"""What `bench` measures: a bundle on one backend in one precision, from fresh frames to verdict and in parts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from snl_edge.contract.graph import Prediction
from snl_edge.errors import DataError
from snl_edge.image import IMAGE_SUFFIXES, fit_to_input, read_image
from snl_edge.runtime.detector import Detector

from .ceilings import measure_gpu_ceilings
from .latency import Call, alternate, timed
from .memory import allocated_per_frame, process_memory
from .worker import SubjectSpec


class DetectorSpec(SubjectSpec):
    """Which bundle on what, and the frames it is fed."""

    bundle: Path
    backend: str
    precision: str
    frame: tuple[int, int]
    """``(height, width)`` of the camera."""
    threads: int
    device: int = 0
    images: Path | None = None
    seed: int = 0

    def load(self) -> DetectorSubject:
        """A subject of this specification."""
        return DetectorSubject(self)


class DetectorSubject:
    """A loaded detector with frames to judge.

    Ways to run a batch:
        ``detector``: frames of the camera's size in, verdicts out.
        ``fitted``: the same with frames of the input's size, so without a resize; the same frames where the graph
            resizes.
        ``backend``: the backend alone on a batch that is ready.
        ``engine``: the engine alone, by events on the GPU's own clock; with TensorRT only.
    """

    def __init__(self, spec: DetectorSpec) -> None:
        cv2.setNumThreads(spec.threads)
        self._spec = spec
        detector = self._detector = self._load(spec.threads)
        self._side_by_side = {1: [detector]}
        takes = detector.bundle.manifest.input
        pool = frame_pool(spec.frame, spec.images, spec.seed)
        self._frames = Turn(pool)
        self._fitted = Turn([fit_to_input(frame, takes.image_size) for frame in pool])
        self._out = Prediction.empty(detector.backend.max_batch, takes.size)
        self.ways: dict[str, Call] = {
            "detector": timed(lambda batch: detector.detect(self._frames.take(batch), out=self._out)),
            "fitted": timed(lambda batch: detector.detect(self._fitted.take(batch), out=self._out)),
            "backend": self._backend_alone,
        }
        engine_seconds: Callable[[Any], float] | None = getattr(detector.backend, "engine_seconds", None)
        if engine_seconds is not None:
            self.ways["engine"] = lambda batch: engine_seconds(np.stack(self._fitted.take(batch)))

    def describe(self) -> dict[str, Any]:
        """What was loaded, and the ways to run it."""
        detector = self._detector
        return {
            "description": detector.backend.description,
            "max_batch": detector.backend.max_batch,
            "ways": list(self.ways),
        }

    def calls(self, batch: int, seconds: float) -> dict[str, Any]:
        """Seconds of calls, all ways in turn."""
        return {"seconds": alternate(self.ways, batch, seconds)}

    def throughput(self, batch: int, in_flight: int, seconds: float) -> dict[str, Any]:
        """Images per second with ``in_flight`` batches at once, frames in, verdicts out.

        Each has a detector and a thread of its own, and they share the cores: on a GPU one copies and resizes while
        another computes; on a CPU they compute side by side.
        """
        detectors = self._share_cores(in_flight)
        done, times = [0] * in_flight, [0.0] * in_flight
        own = [self._frames.take(POOL // 2) for _ in range(in_flight)]
        begin = threading.Barrier(in_flight)
        failures: list[BaseException] = []

        def work(number: int) -> None:
            detector, frames = detectors[number], Turn(own[number])
            out = Prediction.empty(batch, detector.bundle.manifest.input.size)
            try:
                detector.detect(frames.take(batch), out=out)
                begin.wait()
                started = time.perf_counter()
                while time.perf_counter() - started < seconds or not done[number]:
                    detector.detect(frames.take(batch), out=out)
                    done[number] += batch
                times[number] = time.perf_counter() - started
            except BaseException as error:  # carried to the caller's thread
                failures.append(error)
                begin.abort()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(in_flight)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise next((f for f in failures if not isinstance(f, threading.BrokenBarrierError)), failures[0])
        speed = sum(images / taken for images, taken in zip(done, times, strict=True))
        return {"images_per_second": speed, "images": sum(done)}

    def gpu_ceilings(self) -> dict[str, float]:
        """What the GPU could do at best; see `measure_gpu_ceilings`."""
        return measure_gpu_ceilings(self._spec.device)

    def memory(self) -> dict[str, Any]:
        """Bytes that the process holds with one detector, and bytes that a frame allocates."""
        some = self._frames.take(1)
        return process_memory() | {"allocated_per_frame": allocated_per_frame(self._detector, some)}

    def _share_cores(self, count: int) -> list[Detector]:
        if count not in self._side_by_side:
            share = max(1, self._spec.threads // count)
            first = self._load(share)
            # On a GPU they share one engine, as on the line; on a CPU each has cores of its own.
            on_gpu = first.backend.artifact.suffix == ".engine"
            others = [first.another() if on_gpu else self._load(share) for _ in range(count - 1)]
            self._side_by_side[count] = [first, *others]
        return self._side_by_side[count]

    def _load(self, threads: int) -> Detector:
        spec = self._spec
        return Detector.load(
            spec.bundle, backend=spec.backend, precision=spec.precision, device=spec.device, threads=threads
        )

    def _backend_alone(self, batch: int) -> float:
        images = np.stack(self._fitted.take(batch))
        started = time.perf_counter()
        self._detector.backend.infer(images)
        return time.perf_counter() - started


POOL = 48
"""Frames drawn before the measuring starts and then handed out in turn: more than any cache of the last level holds
at camera size."""


def frame_pool(size: tuple[int, int], images: Path | None, seed: int, count: int = POOL) -> list[NDArray[np.uint8]]:
    """``count`` different frames ``uint8 [height, width, 3]``: noise, or the images below ``images`` brought to size.

    Raises:
        DataError: the folder has no image, or one cannot be read.
    """
    rng = np.random.default_rng(seed)
    if images is None:
        return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(count)]
    paths = sorted(path for path in images.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise DataError(f"there are no images in {images}", fix="give a folder of pictures, or leave --images out")
    chosen = [paths[index] for index in rng.permutation(len(paths))[:count]]
    return [cv2.resize(read_image(path), size[::-1], interpolation=cv2.INTER_AREA) for path in chosen]  # pyright: ignore[reportReturnType]


class Turn:
    """Hands out frames of a pool in turn, a batch at a time."""

    def __init__(self, pool: Sequence[NDArray[np.uint8]]) -> None:
        self._pool, self._next = pool, 0

    def take(self, batch: int) -> list[NDArray[np.uint8]]:
        """The next ``batch`` frames."""
        start, self._next = self._next, (self._next + batch) % len(self._pool)
        return [self._pool[(start + offset) % len(self._pool)] for offset in range(batch)]
