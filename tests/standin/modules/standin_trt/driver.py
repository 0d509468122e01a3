"""The driver below: device memory for engines and contexts, and work put on a stream."""

from __future__ import annotations

import ctypes
import traceback
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

OUT_OF_MEMORY, LAUNCH_FAILED, CAPTURE_UNSUPPORTED = 2, 719, 900

_cuda = ctypes.CDLL("libcuda.so.1")
_cuda.standin_view.argtypes, _cuda.standin_view.restype = [ctypes.c_uint64, ctypes.c_size_t], ctypes.c_void_p
_Kernel = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_long)
_cuda.standin_launch.argtypes = [ctypes.c_void_p, _Kernel, ctypes.c_long]
_cuda.standin_fail.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_int]
_cuda.standin_count.argtypes, _cuda.standin_count.restype = [ctypes.c_char_p], ctypes.c_long
_cuda.cuMemFree_v2.argtypes = [ctypes.c_uint64]


class CudaError(RuntimeError):
    """A call of the driver failed."""

    def __init__(self, function: str, code: int) -> None:
        super().__init__(f"{function} returned {code}")
        self.code = code


def _call(function: str, *arguments: Any) -> None:
    code = getattr(_cuda, function)(*arguments)
    if code:
        raise CudaError(function, code)


class Memory:
    """So many bytes on the device, freed with this object. TensorRT relies on CUDA's runtime for a current context."""

    def __init__(self, size: int) -> None:
        self._pointer = ctypes.c_uint64()
        _call("standin_runtime_context")
        _call("cuMemAlloc_v2", ctypes.byref(self._pointer), ctypes.c_size_t(size))

    def free(self) -> None:
        if self._pointer.value:
            # As TensorRT's destructors do: an error has nobody to go to.
            _cuda.standin_runtime_context()
            _cuda.cuMemFree_v2(self._pointer)
            self._pointer = ctypes.c_uint64()

    __del__ = free


def view(address: int, shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
    """The tensor at a device address, for a kernel to read or write."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    place = _cuda.standin_view(address, size)
    if not place:
        raise CudaError(f"access to {size} bytes at {address:#x}", 700)
    return np.frombuffer((ctypes.c_char * size).from_address(place), dtype).reshape(shape)


_kernels: dict[int, tuple[Callable[[], None], set[int], bool]] = {}
_numbers = count(1)


@_Kernel
def _run(number: int) -> int:
    if number not in _kernels:  # its context was destroyed before the stream came to it, or a graph outlived it
        return LAUNCH_FAILED
    work, owner, keep = _kernels[number]
    if not keep:
        forget({number})
        owner.discard(number)
    try:
        work()
    except Exception:
        traceback.print_exc()
        return LAUNCH_FAILED
    return 0


def launch(stream: int, work: Callable[[], None], owner: set[int]) -> None:
    """Puts work on a stream, or into its capture. ``owner`` holds its number as long as it may be done."""
    number, capturing = next(_numbers), ctypes.c_int()
    _call("standin_runtime_context")
    _call("cuStreamIsCapturing", ctypes.c_void_p(stream), ctypes.byref(capturing))
    _kernels[number] = (work, owner, bool(capturing.value))
    owner.add(number)
    try:
        _call("standin_launch", stream, _run, number)
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
