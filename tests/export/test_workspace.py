"""Memory that TensorRT may try kernels with, by the kind of GPU."""

from __future__ import annotations

import pytest

from snl_edge.export.workspace import MemoryLimits, memory_limits
from snl_edge.runtime.gpu import Gpu

GIB = 1 << 30


@pytest.mark.parametrize(
    ("gpu", "asked", "limits"),
    [
        (Gpu(0, "Orin", "8.7", 8 * GIB, integrated=True), None, MemoryLimits(2 * GIB, 4 * GIB)),
        (Gpu(0, "Thor", "11.0", 128 * GIB, integrated=True), None, MemoryLimits(32 * GIB, 64 * GIB)),
        (Gpu(0, "Orin", "8.7", 8 * GIB, integrated=True), GIB, MemoryLimits(GIB, 4 * GIB)),
        (Gpu(0, "RTX A2000", "8.6", 8 * GIB), None, MemoryLimits(None, None)),
        (Gpu(0, "RTX A2000", "8.6", 8 * GIB), GIB, MemoryLimits(GIB, None)),
        (None, None, MemoryLimits(None, None)),
    ],
)
def test_a_gpu_that_shares_memory_leaves_some_to_the_system(
    gpu: Gpu | None, asked: int | None, limits: MemoryLimits
) -> None:
    assert memory_limits(gpu, asked) == limits


def test_limits_reach_the_builder() -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    config = trt.Builder(trt.Logger(trt.Logger.ERROR)).create_builder_config()
    before = config.get_memory_pool_limit(trt.MemoryPoolType.TACTIC_DRAM)
    memory_limits(None, GIB).apply(trt, config)
    assert config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE) == GIB
    assert config.get_memory_pool_limit(trt.MemoryPoolType.TACTIC_DRAM) == before
    memory_limits(Gpu(0, "Orin", "8.7", 8 * GIB, integrated=True)).apply(trt, config)
    assert config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE) == 2 * GIB
    assert config.get_memory_pool_limit(trt.MemoryPoolType.TACTIC_DRAM) == 4 * GIB
