"""The same fused model in PyTorch on the CPU: eager, and compiled by ``torch.compile``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from snl_edge.benchmarks.latency import alternate, timed
from snl_edge.benchmarks.worker import SubjectSpec
from snl_edge.model.fused_graph import FusedGraph

from ..random_models import MODELS, random_model

POOL = 16


class TorchSpec(SubjectSpec):
    """Which model, and how it runs."""

    model: str
    """Which of `MODELS`."""
    compiled: bool
    threads: int

    def load(self) -> TorchSubject:
        """A subject of this specification."""
        return TorchSubject(self)


class TorchSubject:
    """Bytes of an image in, four outputs out, in the memory layout that is faster here."""

    def __init__(self, spec: TorchSpec) -> None:
        torch.set_num_threads(spec.threads)
        config = MODELS[spec.model]
        rng = np.random.default_rng(0)
        pool = [rng.integers(0, 256, (1, *config.size, 3), dtype=np.uint8) for _ in range(POOL)]
        turn = iter(range(1 << 62))

        def runner(fused: Any) -> Callable[[int], None]:
            def run(batch: int) -> None:
                with torch.inference_mode():
                    for output in fused(torch.from_numpy(pool[next(turn) % POOL])):
                        output.numpy()

            run(1)  # buffers; compiles
            return run

        models = {
            layout: FusedGraph(random_model(config), 1.0).eval().to(memory_format=getattr(torch, layout))
            for layout in ("channels_last", "contiguous_format")
        }
        calls = {layout: timed(runner(model)) for layout, model in models.items()}
        trial = alternate(calls, 1, seconds=0.5)
        layout = min(trial, key=lambda name: np.median(trial[name]))
        # Compiling takes minutes: the layout that is faster without is taken there, too.
        call = timed(runner(torch.compile(models[layout]))) if spec.compiled else calls[layout]
        self._ways = {"graph": call}
        self._description = f"PyTorch {torch.__version__}, {'torch.compile' if spec.compiled else 'eager'}, {layout}"

    def describe(self) -> dict[str, Any]:
        """Version and mode."""
        return {"description": self._description, "ways": list(self._ways)}

    def calls(self, batch: int, seconds: float) -> dict[str, Any]:
        """Seconds of calls of one image each."""
        return {"seconds": alternate(self._ways, batch, seconds)}
