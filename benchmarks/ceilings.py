"""The ceilings of the processor: the rates of a large matrix product and of a large copy."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

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
