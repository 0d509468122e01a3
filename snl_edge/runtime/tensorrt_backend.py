"""An engine of the bundle on the GPU: TensorRT or TensorRT-RTX, one stream, every buffer allocated once."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError
from . import cuda
from .backend import BackendName
from .bundle import Bundle
from .engine_record import EngineRecord, read_engine, rebuild_command
from .execution import Execution
from .gpu import Gpu, gpu
from .manifest import Precision
from .prediction import Prediction
from .tensorrt_flavour import Flavour, load_flavour

_CONTRACT = {
    "images": "UINT8",
    "anomaly_map": "FLOAT",
    "score": "FLOAT",
    "product": "INT32",
    "product_distance": "FLOAT",
}


class TensorRtBackend:
    """Loads an engine and runs it at its smallest and largest batch, so that the first part is not late.

    Any thread may call, one at a time.

    Raises:
        EngineError: the engine is damaged, does not fit this TensorRT or GPU, or is no SNL engine.
    """

    def __init__(self, bundle: Bundle, record: EngineRecord, device: int = 0) -> None:
        flavour = load_flavour(record.flavour)
        present = gpu(device)
        content = read_engine(bundle.engine_path(record), record)
        if reason := flavour.misfit(record, present):
            raise EngineError(f"engine {record.file} does not fit", reason, rebuild_command(bundle.path, record))
        size = bundle.manifest.input.size
        try:
            with cuda.current(device):
                self._loaded = _Loaded(flavour, content, record, size, _kernel_cache(record, present))
        except EngineError as error:
            raise EngineError(error.what, error.why, error.fix or rebuild_command(bundle.path, record)) from error
        # Also at the end of the process, while CUDA still works; on whatever thread drops the last reference.
        self._release = weakref.finalize(self, _release, self._loaded, device)
        self._device = device
        self.name: BackendName = record.flavour
        self.precision: Precision = record.precision
        self.max_batch = record.profile.max
        self.artifact = bundle.engine_path(record)
        self.description = f"{flavour}, {record.precision}, {present.name}"
        for batch in sorted({1, self.max_batch}):
            self.infer(np.zeros((batch, *size, 3), np.uint8))
        with cuda.current(device):
            self._loaded.execution.save_kernels()

    def infer(self, images: NDArray[np.uint8]) -> Prediction:
        """See `Backend.infer`; the arrays are views of page-locked memory, overwritten by the next call."""
        if not self._release.alive:
            raise EngineError("this detector is closed", fix="load it again")
        with cuda.current(self._device):
            return self._loaded.run(images)

    def engine_seconds(self, images: NDArray[np.uint8]) -> float:
        """Seconds of the engine alone for this batch, by events on the GPU's own clock: no copies, no host."""
        if not self._release.alive:
            raise EngineError("this detector is closed", fix="load it again")
        with cuda.current(self._device):
            return self._loaded.engine_seconds(images)

    def close(self) -> None:
        """Frees engine, buffers and stream; a second call does nothing."""
        self._release()


class _Loaded:
    """What lives on the GPU. Its context is current whenever a method runs."""

    def __init__(
        self, flavour: Flavour, content: bytes, record: EngineRecord, size: tuple[int, int], kernel_cache: Path | None
    ) -> None:
        self.runtime: Any = flavour.runtime()
        with flavour.recording() as log:
            invalid = flavour.invalidity(self.runtime, content)
            self.engine: Any = None if invalid else self.runtime.deserialize_cuda_engine(content)
        if self.engine is None:
            reasons = [*([invalid] if invalid else []), *log]
            raise EngineError(f"{flavour} cannot load engine {record.file}", " | ".join(reasons))
        _check_contract(self.engine, record, size)
        with flavour.recording() as log:
            self.execution: Execution = flavour.create_execution(self.engine, kernel_cache)
        if self.execution.context is None:
            raise EngineError(f"{flavour} cannot prepare engine {record.file}", " | ".join(log))
        self.flavour = flavour
        self.stream: Any = cuda.new_stream()
        batch = record.profile.max
        self.buffers = cuda.allocate(
            {
                "images": ((batch, *size, 3), np.uint8),
                "anomaly_map": ((batch, *size), np.float32),
                "score": ((batch,), np.float32),
                "product": ((batch,), np.int32),
                "product_distance": ((batch,), np.float32),
            }
        )
        for name, buffer in self.buffers.items():
            if not self.execution.context.set_tensor_address(name, int(buffer.device)):
                raise EngineError(f"{flavour} refuses a buffer for {name}", " | ".join(flavour.log))
        self.batch = 0

    def run(self, images: NDArray[np.uint8]) -> Prediction:
        self.upload(images)
        self.execute()
        outputs = {name: self.buffers[name].download(len(images), self.stream) for name in Prediction._fields}
        self.stream.synchronize()
        return Prediction(**outputs)

    def engine_seconds(self, images: NDArray[np.uint8]) -> float:
        self.upload(images)
        with cuda.Stopwatch(self.stream) as stopwatch:
            self.execute()
        return stopwatch.seconds()

    def upload(self, images: NDArray[np.uint8]) -> None:
        batch = len(images)
        if batch != self.batch:
            if not self.execution.context.set_input_shape("images", images.shape):
                raise EngineError(
                    f"the engine refuses images of shape {list(images.shape)}", " | ".join(self.flavour.log)
                )
            self.batch = batch
        self.buffers["images"].upload(images, self.stream)

    def execute(self) -> None:
        if not self.execution.context.execute_async_v3(self.stream.handle):
            raise EngineError(f"{self.flavour} failed", " | ".join(self.flavour.log), "check `dmesg` and `nvidia-smi`")

    def free(self) -> None:
        """Drops everything in the order in which it depends on each other."""
        self.stream.synchronize()
        self.execution.save_kernels()
        del self.execution
        del self.engine
        del self.runtime
        del self.buffers
        del self.stream


def _release(loaded: _Loaded, device: int) -> None:
    with cuda.current(device):
        loaded.free()


def _check_contract(engine: Any, record: EngineRecord, size: tuple[int, int]) -> None:
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    found = {name: engine.get_tensor_dtype(name).name for name in names}
    if found != _CONTRACT:
        raise EngineError(f"engine {record.file} is no SNL engine", f"its tensors are {found}")
    largest = tuple(engine.get_tensor_profile_shape("images", 0)[2])
    if largest != (record.profile.max, *size, 3):
        raise EngineError(f"engine {record.file} is not what its side file says", f"its largest input is {largest}")


def _kernel_cache(record: EngineRecord, present: Gpu) -> Path | None:
    """Outside the bundle, which may be read-only and is shared between devices; a private place, as it holds code.

    None for a user without a home (some containers): the kernels are then compiled at every start.
    """
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        return None
    return base / "snl-edge" / f"{record.engine_sha256[:16]}-sm{present.compute_capability.replace('.', '')}.kernels"
