"""A stream's work, timed by the GPU's clock or captured as a CUDA graph.

pycuda knows no CUDA graphs, so they are asked of the driver itself (CUDA driver API, section "Graph Management"): six
functions, no further package that would have to match the driver's version in the cabinet.

A context must be current (`cuda.current`) wherever something here is made, used or dropped.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pycuda import driver  # pyright: ignore[reportMissingImports]

from ..errors import EngineError
from .gpu import call_driver

_CAPTURE_THREAD_LOCAL = 1
"""Other threads' calls do not disturb the capture, nor it theirs (CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)."""


_NON_BLOCKING = 1
"""A stream that work on the legacy default stream, which TensorRT loads weights on, neither waits for nor disturbs."""


def new_stream() -> Any:
    """A CUDA stream of its own."""
    return driver.Stream(_NON_BLOCKING)


class Stopwatch:
    """Measures what a stream does between entering and leaving, by events on the GPU's clock."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._begin, self._end = stream, driver.Event(), driver.Event()

    def __enter__(self) -> Stopwatch:
        self._begin.record(self._stream)
        return self

    def __exit__(self, *_: object) -> None:
        self._end.record(self._stream)

    def seconds(self) -> float:
        """Waits for the work, and says how long it took."""
        self._end.synchronize()
        return self._end.time_since(self._begin) / 1e3


class CudaGraph:
    """Work of a stream, captured once and launched by one call.

    Args:
        stream: what it is captured on, and launched on.
        enqueue: enqueues the work; it must have run on the stream before, so that nothing is set up any more.

    Raises:
        EngineError: the work cannot be captured; the stream can be used as before.
    """

    def __init__(self, stream: Any, enqueue: Callable[[], None]) -> None:
        self._stream = ctypes.c_void_p(stream.handle)
        self._executable = ctypes.c_void_p()
        graph = ctypes.c_void_p()
        call_driver("cuStreamBeginCapture_v2", self._stream, _CAPTURE_THREAD_LOCAL)
        try:
            try:
                enqueue()
            finally:
                # In any case, or the stream stays in capture. After a fault the driver gives no graph.
                call_driver("cuStreamEndCapture", self._stream, ctypes.byref(graph))
            flags = ctypes.c_ulonglong(0)
            call_driver("cuGraphInstantiateWithFlags", ctypes.byref(self._executable), graph, flags)
        finally:
            if graph.value:
                call_driver("cuGraphDestroy", graph)

    def launch(self) -> None:
        """Enqueues the captured work.

        Raises:
            EngineError: the driver refuses.
        """
        call_driver("cuGraphLaunch", self._executable, self._stream)

    def destroy(self) -> None:
        """Frees it; the work must be done. A second call does nothing."""
        if self._executable.value:
            executable, self._executable = self._executable, ctypes.c_void_p()
            with suppress(EngineError):  # nobody can do anything about it, and there is more to free
                call_driver("cuGraphExecDestroy", executable)
