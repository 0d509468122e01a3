"""An engine made ready to run batches of each size on one stream.

TensorRT and TensorRT-RTX want it differently:

- TensorRT's launches are captured as a CUDA graph for each batch size. A captured graph belongs to the shape that its
  execution context had, so each size has a context of its own; since they run one after the other, all share one
  piece of scratch memory (``ExecutionContextAllocationStrategy.USER_MANAGED``).
- TensorRT-RTX captures by itself, for each shape, when told to (``cuda_graph_strategy``, "Working with RTX CUDA
  Graphs"). It compiles kernels for a shape at its first run, so that each size is run once before the first part.

A context must be current (`cuda.current`) wherever something here is made, used or dropped.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pycuda import driver  # pyright: ignore[reportMissingImports]

from ..contract.graph import IMAGES
from ..errors import EngineError
from . import cuda
from .cuda_stream import CudaGraph

if TYPE_CHECKING:
    from .loaded_engine import LoadedEngine

_log = logging.getLogger(__name__)
_SCRATCH_ALIGNMENT = 256


class Execution(ABC):
    """Runs one batch at a time on its stream.

    Args:
        loaded: the engine.
        stream: pycuda's stream.
        addresses: of every tensor on the GPU, for the largest batch.
        follow: enqueues what follows each run on the stream (results to the host); becomes part of a captured graph.

    Attributes:
        description: how launches are made, for people.
    """

    def __init__(
        self, loaded: LoadedEngine, stream: Any, addresses: dict[str, int], follow: Callable[[], None]
    ) -> None:
        self._loaded = loaded
        self._stream = stream
        self._addresses = addresses
        self._follow = follow
        self.description = ""

    @abstractmethod
    def prepare(self, batch: int) -> None:
        """Makes ready to run this batch size, and runs it once on whatever lies in the buffers.

        Raises:
            EngineError: TensorRT refuses.
        """

    @abstractmethod
    def enqueue(self, batch: int) -> None:
        """Enqueues a run of a batch size that was prepared, and what follows it.

        Raises:
            EngineError: TensorRT refuses.
        """

    @abstractmethod
    def free(self) -> None:
        """Drops contexts and graphs; nothing runs any more."""

    def _set_up(self, context: Any, batch: int, profile: int) -> None:
        flavour, size = self._loaded.flavour, self._loaded.takes.image_size
        if context.active_optimization_profile != profile and not context.set_optimization_profile_async(
            profile, self._stream.handle
        ):
            raise EngineError(f"{flavour} refuses profile {profile} of the engine", flavour.said)
        if not context.set_input_shape(IMAGES.name, (batch, *size, 3)):
            raise EngineError(f"the engine refuses images of shape {[batch, *size, 3]}", flavour.said)
        for name, address in self._addresses.items():
            if not context.set_tensor_address(name, address):
                raise EngineError(f"{flavour} refuses a buffer for {name}", flavour.said)

    def _execute(self, context: Any) -> None:
        if not context.execute_async_v3(self._stream.handle):
            flavour = self._loaded.flavour
            raise EngineError(f"{flavour} failed", flavour.said, "check `dmesg` and `nvidia-smi`")
        self._follow()


class CapturedExecution(Execution):
    """A context and a CUDA graph for each batch size; plain launches where a graph cannot be captured."""

    def __init__(
        self, loaded: LoadedEngine, stream: Any, addresses: dict[str, int], follow: Callable[[], None]
    ) -> None:
        super().__init__(loaded, stream, addresses, follow)
        self._contexts: dict[int, Any] = {}
        self._graphs: dict[int, CudaGraph] = {}
        self._uncaptured = ""
        size = loaded.engine.device_memory_size_v2
        self._scratch_size = max(size, _SCRATCH_ALIGNMENT)
        self._scratch: Any = driver.mem_alloc(self._scratch_size)

    def prepare(self, batch: int) -> None:
        """See `Execution.prepare`."""
        context = self._contexts[batch] = self._loaded.create_context()
        context.set_device_memory(int(self._scratch), self._scratch_size)
        self._set_up(context, batch, self._loaded.profile_for(batch))
        # What TensorRT puts off until the first run after a change of shape must not be captured.
        self._execute(context)
        self._stream.synchronize()
        if not self._uncaptured:
            try:
                with cuda.capturing(self._loaded.gpu.index):
                    self._graphs[batch] = CudaGraph(self._stream, lambda: self._execute(context))
            except (EngineError, driver.Error, RuntimeError) as error:
                self._stream.synchronize()  # a GPU that is lost is no matter of graphs
                self._uncaptured = str(error)
                _log.warning("%s runs without CUDA graphs, each launch by itself: %s", self._loaded.flavour, error)
        self.enqueue(batch)
        self._stream.synchronize()
        self.description = f"without CUDA graphs ({self._uncaptured})" if self._uncaptured else "CUDA graphs"

    def enqueue(self, batch: int) -> None:
        """See `Execution.enqueue`."""
        if batch in self._graphs:
            self._graphs[batch].launch()
        else:
            self._execute(self._contexts[batch])

    def free(self) -> None:
        """See `Execution.free`."""
        for graph in self._graphs.values():
            graph.destroy()
        self._graphs.clear()
        self._contexts.clear()
        del self._scratch


class SelfCapturingExecution(Execution):
    """One context that TensorRT-RTX captures from for every shape."""

    def __init__(
        self, loaded: LoadedEngine, stream: Any, addresses: dict[str, int], follow: Callable[[], None]
    ) -> None:
        super().__init__(loaded, stream, addresses, follow)
        self._context: Any = loaded.create_context()
        self._batch = 0
        self.description = "CUDA graphs of its own"

    def prepare(self, batch: int) -> None:
        """See `Execution.prepare`."""
        self.enqueue(batch)
        self._stream.synchronize()

    def enqueue(self, batch: int) -> None:
        """See `Execution.enqueue`."""
        if batch != self._batch:
            self._batch = 0  # where it is left halfway, nothing may run
            self._set_up(self._context, batch, self._loaded.profile_for(batch))
            self._batch = batch
        self._execute(self._context)

    def free(self) -> None:
        """See `Execution.free`."""
        del self._context
