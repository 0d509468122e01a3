"""The GPU's memory and streams, through pycuda.

pycuda keeps a stack of contexts per thread. Its rules, which this module turns into one way of working
(pycuda 2026.1, ``cuda.hpp``): an object belongs to the context that was current when it was made; it is freed
properly on a thread where that very context object is current, or on the thread that retained it; a thread
must not end with a context on its stack (the process is aborted).
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycuda import driver  # pyright: ignore[reportMissingImports]

from ..errors import EngineError

_retaining = threading.Lock()


@contextmanager
def current(device: int) -> Iterator[None]:
    """Makes the GPU's primary context current for the body, on whatever thread it runs, and undoes that after.

    Raises:
        EngineError: a CUDA call in the body failed.
    """
    try:
        with _retaining:
            context = _primary_context(device).context
        context.push()
        try:
            yield
        finally:
            context.pop()
    except driver.MemoryError as error:
        raise EngineError(
            f"GPU {device} has too little free memory", str(error), "build with a smaller batch"
        ) from error
    except driver.Error as error:
        raise EngineError(
            f"GPU {device} failed", str(error), "check `dmesg` and `nvidia-smi`, then start again"
        ) from error


class _PrimaryContext:
    """The primary context, which TensorRT's CUDA runtime uses too; kept until the process ends.

    One object for all detectors: pycuda frees memory only under the object it was allocated under, and
    releasing it earlier would leave CUDA's own stack of contexts pointing to a dead one.
    """

    def __init__(self, device: int) -> None:
        driver.init()
        self.context: Any = driver.Device(device).retain_primary_context()
        # Finalisers run last made first, so detectors are freed before. Without detach(), pycuda's destructor
        # would try to detach the primary context like an ordinary one, and warn.
        weakref.finalize(self, _detach, self.context)


def _detach(context: Any) -> None:
    with suppress(driver.Error):  # the process is ending, and a broken GPU has been reported
        context.push()
        context.detach()


@cache
def _primary_context(device: int) -> _PrimaryContext:
    return _PrimaryContext(device)


@dataclass
class Buffer:
    """A tensor's place on the host, page-locked so that copies are asynchronous, and its place on the GPU."""

    host: NDArray[Any]
    device: Any

    @classmethod
    def allocate(cls, shape: tuple[int, ...], dtype: type[np.generic]) -> Buffer:
        """Both places, for the largest batch. A context must be current."""
        host = driver.pagelocked_empty(shape, dtype)
        return cls(host, driver.mem_alloc(host.nbytes))

    def upload(self, content: NDArray[Any], stream: Any) -> None:
        """Copies ``content`` into the first places of the batch, and these to the GPU, in stream order."""
        part = self.host[: len(content)]
        np.copyto(part, content)
        driver.memcpy_htod_async(self.device, part, stream)

    def download(self, batch: int, stream: Any) -> NDArray[Any]:
        """Starts the copy of the first ``batch`` places to the host; valid once the stream is synchronised."""
        part = self.host[:batch]
        driver.memcpy_dtoh_async(part, self.device, stream)
        return part


def allocate(shapes: Mapping[str, tuple[tuple[int, ...], type[np.generic]]]) -> dict[str, Buffer]:
    """A buffer for each name. A context must be current."""
    return {name: Buffer.allocate(shape, dtype) for name, (shape, dtype) in shapes.items()}


def new_stream() -> Any:
    """A CUDA stream. A context must be current."""
    return driver.Stream()


class Stopwatch:
    """Measures what a stream does between entering and leaving, by events on the GPU's clock."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._begin, self._end = stream, driver.Event(), driver.Event()

    def __enter__(self) -> Stopwatch:
        self._begin.record(self._stream)
        return self

    def __exit__(self, *_: object) -> None:
        self._end.record(self._stream)

    def seconds(self) -> float:
        """Waits for the work, and says how long it took."""
        self._end.synchronize()
        return self._end.time_since(self._begin) / 1e3
