"""The bundle's engine on the GPU as a backend, with TensorRT or TensorRT-RTX: pictures in, results out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycuda import driver  # pyright: ignore[reportMissingImports]

from ..contract.graph import ANOMALY_MAP, IMAGES, SCORES, Prediction, Scores
from ..errors import EngineError
from . import cuda
from .backend import BackendName, closed
from .bundle import Bundle
from .cuda_memory import Buffer, Outputs, PageLockedImages
from .cuda_stream import Stopwatch, new_stream
from .engine_record import EngineRecord, read_engine, rebuild_command
from .execution import CapturedExecution, Execution, SelfCapturingExecution
from .gpu import gpu
from .loaded_engine import LoadedEngine
from .manifest import InputSpec, Precision
from .tensorrt_flavour import Flavour, load_flavour


class TensorRtBackend:
    """Loads an engine and runs it at every batch size, so that no part is the first of anything.

    Any thread may call, one at a time; `another` makes a second one for a batch that runs at the same time.

    Args:
        bundle: where the engine lies.
        record: which.
        device: number of the GPU.
        max_batch: largest batch that will be given; the engine's own if not given.

    Raises:
        EngineError: the engine is damaged, does not fit this TensorRT or GPU, or is no SNL engine.
    """

    def __init__(self, bundle: Bundle, record: EngineRecord, device: int = 0, max_batch: int | None = None) -> None:
        flavour = load_flavour(record.flavour)
        present = gpu(device)
        content = read_engine(bundle.engine_path(record), record)
        if reason := flavour.misfit(record, present):
            raise EngineError(f"engine {record.file} does not fit", reason, rebuild_command(bundle.path, record))
        self.artifact = bundle.engine_path(record)
        self.max_batch = min(max_batch or record.max_batch, record.max_batch)
        try:
            with cuda.current(device):
                self._load(flavour, content, record, bundle.manifest.input, device)
        except EngineError as error:
            if error.fix:
                raise
            raise EngineError(error.what, error.why, rebuild_command(bundle.path, record)) from error

    def another(self) -> TensorRtBackend:
        """See `Backend.another`: it shares the engine, with stream, buffers and contexts of its own."""
        twin = object.__new__(TensorRtBackend)
        twin.artifact, twin.max_batch = self.artifact, self.max_batch
        with self._usable() as lane:
            twin._take(lane.loaded, self._device)
        return twin

    # What these make lies in frames of their own, which `cuda.current` clears after a fault.

    def _load(self, flavour: Flavour, content: bytes, record: EngineRecord, takes: InputSpec, device: int) -> None:
        self._take(LoadedEngine(flavour, content, record, takes, gpu(device)), device)

    def _take(self, loaded: LoadedEngine, device: int) -> None:
        record = loaded.record
        self.name: BackendName = record.flavour
        self.precision: Precision = record.precision
        self._device = device
        self._lane = Lane(loaded, self.max_batch)
        # Also at the end of the process, while CUDA still works; on whatever thread drops the last reference.
        self._holding = cuda.Holding(self, device, self._lane.free)
        try:
            self._lane.prepare()
        except BaseException:
            self._holding.free()
            raise
        how = self._lane.execution.description
        self.description = f"{loaded.flavour}, {record.precision}, {loaded.gpu.name}, {how}"

    @property
    def lost(self) -> str:
        """See `Backend.lost`."""
        return cuda.lost(self._device)

    def infer(self, images: NDArray[np.uint8]) -> Prediction:
        """See `Backend.infer`; the arrays are views of page-locked memory, overwritten by the next call."""
        with self._usable() as lane:
            return lane.infer(images)

    def run(self, images: NDArray[np.uint8]) -> Scores:
        """See `Backend.run`; the arrays are views of page-locked memory, overwritten by the next call."""
        with self._usable() as lane:
            return lane.run(images)

    def maps(self, rows: Sequence[int]) -> list[NDArray[np.float32]]:
        """See `Backend.maps`: only these maps are copied to the host."""
        if not rows:
            if not self._holding.held:
                raise closed()
            return []
        with self._usable() as lane:
            return lane.maps(rows)

    def inputs(self, count: int) -> NDArray[np.uint8]:
        """See `Backend.inputs`: page-locked until the backend is closed."""
        with self._usable() as lane:
            return lane.lock_images(count)

    def engine_seconds(self, images: NDArray[np.uint8]) -> float:
        """Seconds of the engine alone for this batch, by events on the GPU's own clock: no copy of the images, no host.

        The few bytes of the scores, which a CUDA graph brings along, are in it.
        """
        with self._usable() as lane:
            return lane.engine_seconds(images)

    def close(self) -> None:
        """Frees stream, buffers and, with the last that uses it, the engine; a second call does nothing."""
        self._holding.free()

    @contextmanager
    def _usable(self) -> Iterator[Lane]:
        with cuda.current(self._device):
            if not self._holding.held:
                raise closed()
            yield self._lane


class Lane:
    """One batch in flight: a stream, every buffer allocated once, and the engine made ready to run on it.

    Takes batches one after the other. Nothing lies on the GPU before `prepare`, nothing after `free`. A context must be
    current (`cuda.current`) whenever a method runs.

    Args:
        loaded: the engine, which it shares with other lanes.
        max_batch: the largest batch.
    """

    def __init__(self, loaded: LoadedEngine, max_batch: int) -> None:
        self.loaded = loaded
        self.max_batch = max_batch
        self.execution: Execution
        self._stream: Any = None
        self._images: Buffer | None = None
        self._map: Buffer | None = None
        self._scores: Outputs | None = None
        loaded.acquire()

    def prepare(self) -> None:
        """Allocates everything, and runs every batch size once.

        Raises:
            EngineError: TensorRT refuses.
        """
        loaded, batch = self.loaded, self.max_batch
        mapped = loaded.gpu.integrated
        self._stream = new_stream()
        self._images = Buffer((batch, *loaded.takes.image_size, 3), np.uint8, mapped=mapped)
        self._map = Buffer((batch, *loaded.takes.size), np.float32, mapped=mapped)
        self._scores = scores = Outputs(
            {tensor.name: (tensor.shape(batch, loaded.takes.size), np.dtype(tensor.dtype)) for tensor in SCORES},
            mapped=mapped,
        )
        self._images.host[:] = 0
        self._images.upload(self._stream)
        addresses = {IMAGES.name: self._images.address, ANOMALY_MAP.name: self._map.address, **scores.addresses}
        kind = SelfCapturingExecution if loaded.flavour.is_rtx else CapturedExecution
        self.execution = kind(loaded, self._stream, addresses, lambda: scores.download(self._stream))
        for size in range(1, batch + 1):
            self.execution.prepare(size)
        loaded.save_kernels()

    def run(self, images: NDArray[np.uint8]) -> Scores:
        """Runs ``uint8 [B, H, W, 3]``; the scores lie in page-locked memory, overwritten by the next call."""
        self._begin(images)
        self._stream.synchronize()
        return self._found(len(images))

    def infer(self, images: NDArray[np.uint8]) -> Prediction:
        """As `run`, and brings the maps along."""
        assert self._map is not None
        self._begin(images)
        self._map.download(self._stream, 0, len(images))
        self._stream.synchronize()
        return Prediction(self._map.host[: len(images)], *self._found(len(images)))

    def maps(self, rows: Sequence[int]) -> list[NDArray[np.float32]]:
        """The maps ``float32 [H, W]`` of these images of the last run; overwritten by the next call."""
        assert self._map is not None
        for row in rows:
            self._map.download(self._stream, row, row + 1)
        self._stream.synchronize()
        return [self._map.host[row] for row in rows]

    def engine_seconds(self, images: NDArray[np.uint8]) -> float:
        """Seconds that the engine took for this batch, by the GPU's clock."""
        self._upload(images)
        with Stopwatch(self._stream) as stopwatch:
            self.execution.enqueue(len(images))
        seconds = stopwatch.seconds()
        self._stream.synchronize()
        return seconds

    def lock_images(self, count: int) -> NDArray[np.uint8]:
        """Memory ``uint8 [count, H, W, 3]``, zeros, from which images are copied to the GPU without a stop."""
        block = PageLockedImages(count, self.loaded.takes.image_size)
        self.loaded.locked.append(block)
        return block.images

    def free(self) -> None:
        """Gives everything back, in the order in which it depends on each other; the GPU has nothing left to do."""
        if hasattr(self, "execution"):
            self.execution.free()
            del self.execution
        self._images = self._map = self._scores = self._stream = None
        self.loaded.release()
        del self.loaded

    def _begin(self, images: NDArray[np.uint8]) -> None:
        self._upload(images)
        self.execution.enqueue(len(images))

    def _upload(self, images: NDArray[np.uint8]) -> None:
        assert self._images is not None
        expected = self._images.host.shape[1:]
        if images.shape[1:] != expected or images.dtype != np.uint8 or not 1 <= len(images) <= self.max_batch:
            raise EngineError(
                f"a batch is {images.dtype} {list(images.shape)}",
                f"this engine was made ready for uint8 [1 to {self.max_batch}, {', '.join(map(str, expected))}]",
                "give such batches",
            )
        if self._images.mapped or not self._are_locked(images):
            np.copyto(self._images.host[: len(images)], images)
            self._images.upload(self._stream, len(images))
        else:
            driver.memcpy_htod_async(self._images.address, images, self._stream)

    def _are_locked(self, images: NDArray[np.uint8]) -> bool:
        """Whether they lie in page-locked memory, which is left alone until the stream has been synchronised."""
        start = images.__array_interface__["data"][0]
        return images.flags.c_contiguous and any(block.holds(start) for block in self.loaded.locked)

    def _found(self, batch: int) -> Scores:
        assert self._scores is not None
        host = self._scores.host
        return Scores(*(host[tensor.name][:batch] for tensor in SCORES))
