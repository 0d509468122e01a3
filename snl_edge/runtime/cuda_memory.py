"""Memory that host and GPU share or copy between: allocated once, page-locked, used for every batch.

A context must be current (`cuda.current`) wherever something here is made, used or dropped.
"""

from __future__ import annotations

import ctypes
import logging
import mmap
from contextlib import suppress
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycuda import driver  # pyright: ignore[reportMissingImports]

from ..errors import EngineError
from .gpu import call_driver

_log = logging.getLogger(__name__)


class Buffer:
    """A tensor's place on the host and its place on the GPU; one and the same where the GPU is integrated.

    Args:
        shape, dtype: of the tensor, for the largest batch.
        mapped: whether the GPU reads and writes the host's memory itself (an integrated one): nothing is copied then.

    Attributes:
        host: page-locked, so that copies are asynchronous.
        address: on the GPU.
        mapped: as given.
    """

    def __init__(self, shape: tuple[int, ...], dtype: type[np.generic], *, mapped: bool) -> None:
        self.mapped = mapped
        flags = driver.host_alloc_flags.DEVICEMAP if mapped else 0
        self.host: NDArray[Any] = driver.pagelocked_empty(shape, dtype, mem_flags=flags)
        self._own: Any = None if mapped else driver.mem_alloc(self.host.nbytes)
        self.address = int(self.host.base.get_device_pointer() if mapped else self._own)  # pyright: ignore

    def upload(self, stream: Any, count: int | None = None) -> None:
        """Starts to bring the first ``count`` places of ``host`` to the GPU, all if not given."""
        if self._own is not None:
            driver.memcpy_htod_async(self.address, self.host[:count], stream)

    def download(self, stream: Any, start: int = 0, stop: int | None = None) -> None:
        """Starts to bring places ``start`` to ``stop`` to ``host``; there once the stream is synchronised."""
        if self._own is not None:
            row = self.host[:1].nbytes
            driver.memcpy_dtoh_async(self.host[start:stop], self.address + start * row, stream)


class Outputs:
    """Several small tensors in one buffer: they come to the host in one copy.

    Args:
        tensors: name, and shape and dtype for the largest batch.
        mapped: as of `Buffer`.
    """

    def __init__(self, tensors: dict[str, tuple[tuple[int, ...], np.dtype[Any]]], *, mapped: bool) -> None:
        sizes = {name: prod(shape) * dtype.itemsize for name, (shape, dtype) in tensors.items()}
        # TensorRT asks for 256 bytes of alignment at most.
        padded = {name: -(-size // 256) * 256 for name, size in sizes.items()}
        starts = dict(zip(padded, np.cumsum([0, *padded.values()]).tolist(), strict=False))
        self._buffer = Buffer((sum(padded.values()),), np.uint8, mapped=mapped)
        self.addresses = {name: self._buffer.address + start for name, start in starts.items()}
        self.host: dict[str, NDArray[Any]] = {
            name: self._buffer.host[starts[name] : starts[name] + sizes[name]].view(dtype).reshape(shape)
            for name, (shape, dtype) in tensors.items()
        }

    def download(self, stream: Any) -> None:
        """Starts to bring all of them to ``host``; there once the stream is synchronised."""
        self._buffer.download(stream)


class PageLockedImages:
    """Pictures in ordinary memory, page-locked as long as it is held, so that they are copied from where they are.

    The memory outlives the lock: who still writes into it when the GPU has gone does no harm. The driver itself is
    asked: pycuda 2026.1's ``register_host_memory`` crashed when tried with NumPy 2.
    """

    def __init__(self, count: int, size: tuple[int, int]) -> None:
        shape = (count, *size, 3)
        memory = mmap.mmap(-1, prod(shape))  # whole pages, zeros
        self.images: NDArray[np.uint8] = np.frombuffer(memory, np.uint8, prod(shape)).reshape(shape)
        self._start = self.images.__array_interface__["data"][0]
        self._locked = False
        try:
            call_driver("cuMemHostRegister_v2", ctypes.c_void_p(self._start), ctypes.c_size_t(prod(shape)), 0)
            self._locked = True
        except EngineError as error:
            _log.warning("memory of waiting pictures cannot be page-locked, they are copied once more: %s", error)

    def holds(self, address: int) -> bool:
        """Whether what begins at this address of the host lies in here, page-locked."""
        return self._locked and 0 <= address - self._start < self.images.nbytes

    def release(self) -> None:
        """Ends the lock; the memory stays."""
        if self._locked:
            self._locked = False
            with suppress(EngineError):  # nobody can do anything about it, and there is more to free
                call_driver("cuMemHostUnregister", ctypes.c_void_p(self._start))
