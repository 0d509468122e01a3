"""The driver below, stood in for or real: memory for engines and contexts, and work put on a stream."""

from __future__ import annotations

import ctypes
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from itertools import count
from typing import Any

import numpy as np

_cuda = ctypes.CDLL("libcuda.so.1")
IS_STANDIN = hasattr(_cuda, "standin_count")
"""Whether the driver is the stand-in; a real one serves too."""
_HostFunction = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_cuda.cuLaunchHostFunc.argtypes = [ctypes.c_void_p, _HostFunction, ctypes.c_void_p]
_cuda.cuMemFree_v2.argtypes = [ctypes.c_uint64]
_cuda.cuMemFreeHost.argtypes = [ctypes.c_void_p]
_cuda.cuMemcpyDtoHAsync_v2.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_size_t, ctypes.c_void_p]
_cuda.cuMemcpyHtoDAsync_v2.argtypes = [ctypes.c_uint64, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
if IS_STANDIN:
    _cuda.standin_fail.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_int]
    _cuda.standin_count.argtypes, _cuda.standin_count.restype = [ctypes.c_char_p], ctypes.c_long


class CudaError(RuntimeError):
    """A call of the driver failed."""

    def __init__(self, function: str, code: int) -> None:
        super().__init__(f"{function} returned {code}")
        self.code = code


def _call(function: str, *arguments: Any) -> None:
    code = getattr(_cuda, function)(*arguments)
    if code:
        raise CudaError(function, code)


def make_current() -> None:
    """As CUDA's runtime does for TensorRT: the primary context, on a thread that has none."""
    if IS_STANDIN:
        _call("standin_runtime_context")
        return
    now = ctypes.c_void_p()
    _call("cuCtxGetCurrent", ctypes.byref(now))
    if not now.value:
        _call("cuCtxSetCurrent", _primary())


@cache
def _primary() -> ctypes.c_void_p:
    context = ctypes.c_void_p()
    _call("cuInit", 0)
    _call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
    return context


class Memory:
    """So many bytes on the device, freed with this object."""

    def __init__(self, size: int) -> None:
        self._pointer = ctypes.c_uint64()
        make_current()
        _call("cuMemAlloc_v2", ctypes.byref(self._pointer), ctypes.c_size_t(size))

    def free(self) -> None:
        if self._pointer.value:
            # As TensorRT's destructors do: an error has nobody to go to.
            with suppress(CudaError):
                make_current()
            _cuda.cuMemFree_v2(self._pointer)
            self._pointer = ctypes.c_uint64()

    __del__ = free


class Staging:
    """A tensor's page-locked place on the host, between the device and ONNX Runtime."""

    def __init__(self, shape: tuple[int, ...], dtype: type[np.generic]) -> None:
        self._pointer = ctypes.c_void_p()
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        make_current()
        _call("cuMemHostAlloc", ctypes.byref(self._pointer), ctypes.c_size_t(size), 0)
        self.array = np.frombuffer((ctypes.c_char * size).from_address(self._pointer.value or 0), dtype).reshape(shape)

    def from_device(self, address: int, batch: int, stream: int) -> None:
        part = self.array[:batch]
        _call("cuMemcpyDtoHAsync_v2", part.ctypes.data, address, part.nbytes, stream)

    def to_device(self, address: int, batch: int, stream: int) -> None:
        part = self.array[:batch]
        _call("cuMemcpyHtoDAsync_v2", address, part.ctypes.data, part.nbytes, stream)

    def __del__(self) -> None:
        if self._pointer.value:
            with suppress(CudaError):
                make_current()
            _cuda.cuMemFreeHost(self._pointer)


def fill(address: int, size: int, stream: int) -> None:
    """Overwrites memory that a kernel may use for itself."""
    _call(
        "cuMemsetD8Async",
        ctypes.c_uint64(address),
        ctypes.c_ubyte(0xAA),
        ctypes.c_size_t(size),
        ctypes.c_void_p(stream),
    )


_kernels: dict[int, tuple[Callable[[], None], set[int], bool]] = {}
_numbers = count(1)


@_HostFunction
def _run(number: int) -> None:
    try:
        # Not there: its context was destroyed before the stream came to it, or a graph outlived it.
        work, owner, keep = _kernels[number]
        if not keep:
            forget({number})
            owner.discard(number)
        work()
    except Exception:
        traceback.print_exc()
        if IS_STANDIN:
            _cuda.standin_kernel_failed()


def launch(stream: int, work: Callable[[], None], owner: set[int]) -> None:
    """Puts work on a stream, or into its capture. ``owner`` holds its number as long as it may be done."""
    number, capturing = next(_numbers), ctypes.c_int()
    _call("cuStreamIsCapturing", ctypes.c_void_p(stream), ctypes.byref(capturing))
    _kernels[number] = (work, owner, bool(capturing.value))
    owner.add(number)
    try:
        _call("cuLaunchHostFunc", stream, _run, number)
    except CudaError:
        forget({number})
        owner.discard(number)
        raise


def forget(numbers: set[int]) -> None:
    """What a destroyed context had put on streams is there no longer."""
    for number in numbers:
        _kernels.pop(number, None)


def compute_capability() -> int:
    """The device's, as 89 for 8.9."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _call("cuDeviceComputeCapability", ctypes.byref(major), ctypes.byref(minor), 0)
    return 10 * major.value + minor.value


def count_of(name: str) -> int:
    """One of the driver's counters, such as ``device_allocations``."""
    return _cuda.standin_count(name.encode())


def arm(function: str, nth: int, code: int, sticky: int) -> None:
    """The nth call from now of a function of the driver fails (see ``standin_fail``)."""
    if _cuda.standin_fail(function.encode(), nth, code, sticky):
        raise ValueError(f"no fault at call {nth} of {function}")


def disarm() -> None:
    """No call fails from now on."""
    _cuda.standin_disarm()


def violations() -> int:
    """How often something happened since the last call that must not, such as a copy beyond an allocation."""
    found = count_of("violations")
    _cuda.standin_forgive()
    return found
