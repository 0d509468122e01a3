"""The fused graph on ONNX Runtime's CPU provider: slowest, and runs everywhere."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ..contract.graph import ANOMALY_MAP, IMAGES, Prediction, Scores
from ..errors import EngineError
from ..outside.graph_file import read_graph_bytes
from .backend import BackendName, closed
from .manifest import Precision


class OnnxRuntimeBackend:
    """One ONNX Runtime session with buffers for its results; it computes FP16 graphs in FP32.

    Raises:
        EngineError: ONNX Runtime refuses the graph.
    """

    name: BackendName = "onnxruntime"
    lost = ""

    def __init__(self, graph: Path, precision: Precision, max_batch: int, threads: int | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors; they are raised, too
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            content = read_graph_bytes(graph)
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            _, height, width, _ = session.get_inputs()[0].shape
            shapes = {output.name: output.shape for output in session.get_outputs()}
            _, rows, columns = shapes[ANOMALY_MAP.name]  # images may be larger
        except Exception as error:  # its errors share no base class
            raise EngineError(f"ONNX Runtime refuses {graph}", str(error), "export the bundle again") from error
        self.precision: Precision = precision
        self.max_batch = max_batch
        self.artifact = graph
        self.description = f"ONNX Runtime {onnxruntime.__version__}, {precision}, CPU"
        self._size, self._image_size = (rows, columns), (height, width)
        self._prepare(session)

    def _prepare(self, session: onnxruntime.InferenceSession) -> None:
        self._session: onnxruntime.InferenceSession | None = session
        self._outputs = Prediction.empty(self.max_batch, self._size)
        self._views = [self._outputs.part(0, batch) for batch in range(self.max_batch + 1)]
        self._binding: onnxruntime.IOBinding | None = session.io_binding()
        self._bound = 0

    def infer(self, images: NDArray[np.uint8]) -> Prediction:
        """See `Backend.infer`; the arrays are views of buffers that the next call overwrites."""
        batch = len(images)
        outputs = self._views[batch]
        if self._session is None or self._binding is None:
            raise closed()
        try:
            self._binding.bind_cpu_input(IMAGES.name, images)
            if batch != self._bound:
                for name, output in outputs._asdict().items():
                    self._binding.bind_output(name, "cpu", 0, output.dtype, output.shape, output.ctypes.data)
                self._bound = batch
            self._session.run_with_iobinding(self._binding)
        except Exception as error:
            raise EngineError("ONNX Runtime failed", str(error), "check the bundle: snl-edge inspect BUNDLE") from error
        return outputs

    def run(self, images: NDArray[np.uint8]) -> Scores:
        """See `Backend.run`."""
        return Scores(*self.infer(images)[1:])

    def maps(self, rows: Sequence[int]) -> list[NDArray[np.float32]]:
        """See `Backend.maps`."""
        if self._session is None:
            raise closed()
        return [self._outputs.anomaly_map[row] for row in rows]

    def another(self) -> OnnxRuntimeBackend:
        """See `Backend.another`: buffers of its own, the same session, which any number of threads may run."""
        if (session := self._session) is None:
            raise closed()
        twin = copy.copy(self)
        twin._prepare(session)
        return twin

    def inputs(self, count: int) -> NDArray[np.uint8]:
        """See `Backend.inputs`."""
        return np.zeros((count, *self._image_size, 3), np.uint8)

    def close(self) -> None:
        """See `Backend.close`: the session goes with the last that shares it."""
        self._session = self._binding = None
