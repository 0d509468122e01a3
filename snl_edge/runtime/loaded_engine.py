"""An engine on the GPU: its weights once, however many batches are in flight."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import Any

from ..atomic import replacing
from ..contract.graph import IMAGES, TENSORS
from ..errors import EngineError, OutputError
from ..outside.files import MOST_CACHE, read_bytes
from .cuda_memory import PageLockedImages
from .engine_record import EngineRecord
from .gpu import Gpu
from .manifest import InputSpec
from .tensorrt_flavour import Flavour

_log = logging.getLogger(__name__)


class LoadedEngine:
    """A deserialised engine, its runtime and, with TensorRT-RTX, the kernels compiled for it.

    A context must be current (`cuda.current`) when it is made, makes an execution context or is freed.

    Args:
        flavour: the TensorRT that built it.
        content: the engine.
        record: its side file.
        takes: what its input is; ``size`` of it is that of the maps.
        gpu: what it runs on.

    Attributes:
        locked: memory of pictures that all lanes copy from as it is.

    Raises:
        EngineError: the engine cannot be loaded, or is no SNL engine.
    """

    def __init__(self, flavour: Flavour, content: bytes, record: EngineRecord, takes: InputSpec, gpu: Gpu) -> None:
        self.flavour = flavour
        self.record = record
        self.takes = takes
        self.gpu = gpu
        self._users = 0
        self.locked: list[PageLockedImages] = []
        self._making = threading.RLock()  # the collector may end another lane on this very thread
        self.runtime: Any = flavour.runtime()
        with flavour.recording() as log:
            invalid = flavour.invalidity(self.runtime, content)
            self.engine: Any = None if invalid else self.runtime.deserialize_cuda_engine(content)
        if self.engine is None:
            reasons = [*([invalid] if invalid else []), *log]
            raise EngineError(f"{flavour} cannot load engine {record.file}", " | ".join(reasons))
        _check_contract(self.engine, record, takes.image_size)
        self._cache = _kernel_cache(record, gpu) if flavour.is_rtx else None
        known = _known_kernels(self._cache)
        self._settings, self._kernels, fits = flavour.runtime_settings(self.engine, known)
        self._saved_bytes = len(known) if fits else 0

    def acquire(self) -> None:
        """Another lane runs it.

        Raises:
            EngineError: the last one has just freed it.
        """
        with self._making:
            if self.runtime is None:
                raise EngineError("this detector is closed", fix="load it again")
            self._users += 1

    def release(self) -> None:
        """A lane runs it no more; the last one frees it."""
        with self._making:
            self._users -= 1
            if self._users:
                return
            self.save_kernels()
            for block in self.locked:
                block.release()
            # In the order in which they depend on each other; no execution context is left.
            self._kernels = self._settings = None
            self.engine = None
            self.runtime = None

    def create_context(self) -> Any:
        """An execution context; see `Flavour.create_context`.

        Raises:
            EngineError: TensorRT refuses.
        """
        with self._making, self.flavour.recording() as log:
            context = self.flavour.create_context(self.engine, self._settings)
        if context is None:
            raise EngineError(f"{self.flavour} cannot prepare engine {self.record.file}", " | ".join(log))
        return context

    def profile_for(self, batch: int) -> int:
        """The number of the profile that serves this batch: the narrowest that takes it."""
        fitting = [
            (profile.max, number)
            for number, profile in enumerate(self.record.profiles)
            if profile.min <= batch <= profile.max
        ]
        return min(fitting)[1]

    def save_kernels(self) -> None:
        """Writes the compiled kernels if there are new ones; failing to costs the next start time, nothing else."""
        with self._making:
            if self._kernels is None or self._cache is None:
                return
            content = self._kernels.serialize()
            if content is None or content.nbytes == self._saved_bytes:
                return
            try:
                with replacing(self._cache) as temporary:
                    temporary.write_bytes(bytes(content))
                self._saved_bytes = content.nbytes
            except OutputError as error:
                _log.warning("kernels will be compiled again at the next start: %s", error)


def _check_contract(engine: Any, record: EngineRecord, size: tuple[int, int]) -> None:
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    found = {name: engine.get_tensor_dtype(name).name for name in names}
    if found != {name: tensor.type_name for name, tensor in TENSORS.items()}:
        raise EngineError(f"engine {record.file} is no SNL engine", f"its tensors are {found}")
    batches = [
        tuple(shape[0] for shape in engine.get_tensor_profile_shape(IMAGES.name, number))
        for number in range(engine.num_optimization_profiles)
    ]
    largest = tuple(engine.get_tensor_profile_shape(IMAGES.name, 0)[2])[1:]
    if batches != [(profile.min, profile.opt, profile.max) for profile in record.profiles] or largest != (*size, 3):
        raise EngineError(
            f"engine {record.file} is not what its side file says",
            f"its profiles are batches {batches} of images {list(largest)}",
        )


def _known_kernels(cache: Path | None) -> bytes:
    try:
        return b"" if cache is None or not cache.exists() else read_bytes(cache, MOST_CACHE)
    except OSError as error:
        _log.warning("kernels are compiled again: %s cannot be read (%s)", cache, error.strerror or error)
        return b""


def _kernel_cache(record: EngineRecord, gpu: Gpu) -> Path | None:
    """Outside the bundle, which may be read-only and is shared between devices; a private place, as it holds code.

    None for a user without a home (some containers): the kernels are then compiled at every start.
    """
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        return None
    return base / "snl-edge" / f"{record.engine_sha256[:16]}-sm{gpu.compute_capability.replace('.', '')}.kernels"
