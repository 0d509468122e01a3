"""The bundle's engine on the GPU as a backend, with TensorRT or TensorRT-RTX."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from ..contract.graph import Prediction, Scores
from ..errors import EngineError
from . import cuda
from .backend import BackendName, closed
from .bundle import Bundle
from .engine_record import EngineRecord, read_engine, rebuild_command
from .gpu import gpu
from .lane import Lane
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
