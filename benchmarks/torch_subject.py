"""The same fused model in PyTorch on the CPU: eager, and compiled by ``torch.compile``."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from snl_edge.export.fused_graph import FusedGraph
from snl_edge.model.presets import preset

from .latency import alternate, timed
from .random_bundle import random_model

POOL = 16


class TorchSpec(BaseModel):
    """Which model, and how it runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: str
    compiled: bool
    threads: int


class TorchSubject:
    """Channels-last layout, as fast as eager PyTorch gets; bytes of an image in, four outputs out."""

    def __init__(self, spec: TorchSpec) -> None:
        torch.set_num_threads(spec.threads)
        config = preset(spec.preset)
        fused: Any = FusedGraph(random_model(config), 1.0).eval().to(memory_format=torch.channels_last)
        if spec.compiled:
            fused = torch.compile(fused)
        rng = np.random.default_rng(0)
        pool = [rng.integers(0, 256, (1, *config.size, 3), dtype=np.uint8) for _ in range(POOL)]
        turn = iter(range(1 << 62))

        def run(batch: int) -> None:
            with torch.inference_mode():
                for output in fused(torch.from_numpy(pool[next(turn) % POOL])):
                    output.numpy()

        run(1)  # compiles
        self._ways = {"graph": timed(run)}
        self._description = f"PyTorch {torch.__version__}, {'torch.compile' if spec.compiled else 'eager'}"

    def describe(self) -> dict[str, Any]:
        """Version and mode."""
        return {"description": self._description, "ways": list(self._ways)}

    def calls(self, batch: int, seconds: float) -> dict[str, Any]:
        """Seconds of calls of one image each."""
        return {"seconds": alternate(self._ways, batch, seconds)}
