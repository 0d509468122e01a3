"""How much memory TensorRT may try kernels with.

On a board whose GPU shares the processor's memory, TensorRT's own defaults (``WORKSPACE`` all of the memory,
``TACTIC_DRAM`` 75 %: docstrings of ``tensorrt.MemoryPoolType``) leave too little to a system that already runs: on 8 GB
the kernel's out-of-memory killer ends the build, or the line beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from snl_edge.runtime.gpu import Gpu

SHARED_WORKSPACE = 0.25
"""Share of the memory that one layer's scratch may take where it is shared."""
SHARED_TACTICS = 0.5
"""Share that all of the build may take there; fixed buffers and weights count, too."""


@dataclass(frozen=True)
class MemoryLimits:
    """Sizes of TensorRT's memory pools in bytes; None leaves TensorRT's own default."""

    workspace: int | None
    tactic_dram: int | None

    def apply(self, trt: Any, config: Any) -> None:
        """Sets them in a builder's configuration."""
        for pool, size in (
            (trt.MemoryPoolType.WORKSPACE, self.workspace),
            (trt.MemoryPoolType.TACTIC_DRAM, self.tactic_dram),
        ):
            if size is not None:
                config.set_memory_pool_limit(pool, size)


def memory_limits(gpu: Gpu | None, workspace: int | None = None) -> MemoryLimits:
    """The limits for building on ``gpu``.

    Args:
        gpu: where the engine is built; None without one, where no kernel is tried.
        workspace: what the user asked for, in bytes; it counts on every GPU.
    """
    if gpu is None or not gpu.integrated:
        return MemoryLimits(workspace, None)
    shared = int(gpu.memory_bytes * SHARED_WORKSPACE)
    return MemoryLimits(workspace or shared, int(gpu.memory_bytes * SHARED_TACTICS))
