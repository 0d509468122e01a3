"""The ceilings of the GPU: the rates of large matrix products of cuBLAS in FP32 and FP16, and of a copy in its memory.

cuBLAS comes with CUDA (and with JetPack) and is called by its C interface: function names and numbers after NVIDIA's
cuBLAS documentation.
"""

from __future__ import annotations

import ctypes
from statistics import median
from typing import Any

from snl_edge.errors import EngineError, SnlEdgeError

LIBRARIES = ("libcublas.so.13", "libcublas.so.12", "libcublas.so")
SIDE = 4096
COPY_BYTES = 256 * 2**20
REPEATS = 20
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
        source, target = driver.mem_alloc(COPY_BYTES), driver.mem_alloc(COPY_BYTES)
        copy = _seconds(driver, lambda: driver.memcpy_dtod_async(target, source, COPY_BYTES, None))
    return {name: 2 * SIDE**3 / taken for name, taken in products.items()} | {"bytes_per_second": 2 * COPY_BYTES / copy}


def _product_seconds(library: ctypes.CDLL, handle: ctypes.c_void_p, driver: Any, kind: int, width: int) -> float:
    import numpy as np

    values = np.random.default_rng(0).random((SIDE, SIDE), np.float32).astype(np.float16 if width == 2 else np.float32)
    left, right, out = (driver.mem_alloc(SIDE * SIDE * width) for _ in range(3))
    for place in (left, right):
        driver.memcpy_htod(place, values)
    one, zero, side = ctypes.c_float(1), ctypes.c_float(0), ctypes.c_int(SIDE)
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
    for _ in range(REPEATS):
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
