"""The GPU's memory and streams, through pycuda.

pycuda keeps a stack of contexts per thread. Its rules, which this module turns into one way of working
(pycuda 2026.1, ``cuda.hpp``): an object belongs to the context that was current when it was made; it is freed
properly on a thread where that very context object is current, or on the thread that retained it; a thread
must not end with a context on its stack (the process is aborted).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycuda import driver  # pyright: ignore[reportMissingImports]

from ..errors import EngineError


@contextmanager
def current(device: int) -> Iterator[None]:
    """Makes the GPU's primary context current for the body, on whatever thread it runs, and undoes that after.

    Raises:
        EngineError: a CUDA call in the body failed.
    """
    try:
        context = _primary_context(device)
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


@cache
def _primary_context(device: int) -> Any:
    """The primary context, which TensorRT's CUDA runtime uses too; retained once and kept until the process ends.

    One object for all detectors: pycuda frees memory only under the object it was allocated under, and
    releasing it would leave CUDA's own stack of contexts pointing to a dead one.
    """
    driver.init()
    return driver.Device(device).retain_primary_context()


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
