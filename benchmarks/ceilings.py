"""The ceilings of processor and GPU: the rates of large matrix products and of large copies.

cuBLAS comes with CUDA (and with JetPack) and is called by its C interface: function names and numbers after NVIDIA's
cuBLAS documentation.
"""

from __future__ import annotations

import ctypes
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

import numpy as np

from snl_edge.errors import EngineError, SnlEdgeError

from .worker import SubjectSpec

SIDE = 1536
COPY_BYTES = 64 * 2**20
"""For each thread; more than a last-level cache holds."""


class CeilingsSpec(SubjectSpec):
    """How many threads may be used."""

    threads: int

    def load(self) -> Ceilings:
        """A subject of this specification."""
        return Ceilings(self)


class Ceilings:
    """FP32 matrix product of NumPy's BLAS, and copies by one thread for each core.

    What a processor does in narrower types (BF16, INT8) is more, so a network that uses them can pass this ceiling.
    """

    def __init__(self, spec: CeilingsSpec) -> None:
        rng = np.random.default_rng(0)
        self._left, self._right = (rng.random((SIDE, SIDE), np.float32) for _ in range(2))
        self._product = np.empty((SIDE, SIDE), np.float32)
        self._copies = [
            (rng.integers(0, 256, COPY_BYTES, np.uint8), np.empty(COPY_BYTES, np.uint8)) for _ in range(spec.threads)
        ]
        self._pool = ThreadPoolExecutor(spec.threads)
        self.flops()
        self.bytes()

    def describe(self) -> dict[str, Any]:
        """What is measured."""
        return {"description": f"{SIDE}×{SIDE} FP32 product, {COPY_BYTES >> 20} MiB copies"}

    def limits(self, seconds: float) -> dict[str, Any]:
        """Best of several within ``seconds``: operations a second, and bytes read and written a second."""
        flops, moved = [self.flops()], [self.bytes()]
        stop = time.perf_counter() + seconds
        while time.perf_counter() < stop:
            flops.append(self.flops())
            moved.append(self.bytes())
        return {"flops_per_second": max(flops), "bytes_per_second": max(moved)}

    def flops(self) -> float:
        """Operations a second of one product."""
        started = time.perf_counter()
        np.matmul(self._left, self._right, out=self._product)
        return 2 * SIDE**3 / (time.perf_counter() - started)

    def bytes(self) -> float:
        """Bytes a second of one round of copies; a byte that is read and written counts twice."""
        started = time.perf_counter()
        list(self._pool.map(lambda pair: np.copyto(pair[1], pair[0]), self._copies))
        return 2 * COPY_BYTES * len(self._copies) / (time.perf_counter() - started)


LIBRARIES = ("libcublas.so.13", "libcublas.so.12", "libcublas.so")
GPU_SIDE = 4096
GPU_COPY_BYTES = 256 * 2**20
GPU_REPEATS = 20
FLOAT, HALF = (0, 4), (2, 2)
"""``cudaDataType`` and bytes of a value."""
COMPUTE_32F, DEFAULT_ALGORITHM, NO_TRANSPOSE = 68, -1, 0


def measure_gpu_ceilings(device: int) -> dict[str, float]:
    """Operations a second in FP32 and FP16 (sums in FP32), and bytes read and written a second.

    Raises:
        EngineError: there is no cuBLAS, or a call failed.
    """
    library = _load_cublas()
    from pycuda import driver  # pyright: ignore[reportMissingImports]

    from snl_edge.runtime import cuda

    with cuda.current(device):
        handle = ctypes.c_void_p()
        _check(library.cublasCreate_v2(ctypes.byref(handle)), "cublasCreate")
        try:
            products = {
                "flops_per_second": _product_seconds(library, handle, driver, *FLOAT),
                "fp16_flops_per_second": _product_seconds(library, handle, driver, *HALF),
            }
        finally:
            library.cublasDestroy_v2(handle)
        source, target = driver.mem_alloc(GPU_COPY_BYTES), driver.mem_alloc(GPU_COPY_BYTES)
        copy = _seconds(driver, lambda: driver.memcpy_dtod_async(target, source, GPU_COPY_BYTES, None))
    return {name: 2 * GPU_SIDE**3 / taken for name, taken in products.items()} | {
        "bytes_per_second": 2 * GPU_COPY_BYTES / copy
    }


def _product_seconds(library: ctypes.CDLL, handle: ctypes.c_void_p, driver: Any, kind: int, width: int) -> float:
    import numpy as np

    values = (
        np.random.default_rng(0)
        .random((GPU_SIDE, GPU_SIDE), np.float32)
        .astype(np.float16 if width == 2 else np.float32)
    )
    left, right, out = (driver.mem_alloc(GPU_SIDE * GPU_SIDE * width) for _ in range(3))
    for place in (left, right):
        driver.memcpy_htod(place, values)
    one, zero, side = ctypes.c_float(1), ctypes.c_float(0), ctypes.c_int(GPU_SIDE)
    pointer = lambda allocation: ctypes.c_void_p(int(allocation))  # noqa: E731

    def multiply() -> None:
        status = library.cublasGemmEx(
            handle, NO_TRANSPOSE, NO_TRANSPOSE, side, side, side,
            ctypes.byref(one), pointer(left), kind, side, pointer(right), kind, side,
            ctypes.byref(zero), pointer(out), kind, side, COMPUTE_32F, DEFAULT_ALGORITHM,
        )  # fmt: skip
        _check(status, "cublasGemmEx")

    return _seconds(driver, multiply)


def _seconds(driver: Any, work: Any) -> float:
    """Median of one call on the default stream, by the GPU's clock."""
    work()
    taken = []
    for _ in range(GPU_REPEATS):
        begin, end = driver.Event(), driver.Event()
        begin.record()
        work()
        end.record()
        end.synchronize()
        taken.append(end.time_since(begin) / 1e3)
    return median(taken)


def _load_cublas() -> ctypes.CDLL:
    for name in LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise EngineError(
        "the GPU's ceilings cannot be measured", f"none of {', '.join(LIBRARIES)} can be loaded", "install cuBLAS"
    )


def _check(status: int, function: str) -> None:
    if status:
        raise SnlEdgeError("the GPU's ceilings cannot be measured", f"{function} returned {status}")
