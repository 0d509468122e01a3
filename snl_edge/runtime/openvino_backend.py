"""The fused graph on OpenVINO's CPU plugin, the fastest way without an NVIDIA GPU."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray

from ..errors import EngineError
from .backend import BackendName
from .manifest import Precision
from .prediction import Prediction


class OpenVinoBackend:
    """Runs every image by itself: one request on all cores for a single one, several side by side for a batch.

    A fixed shape compiles to the fastest code, and streams of one core each lose nothing to waiting for each other: on
    two cores a batch takes a fifth less time than as one request.

    Raises:
        EngineError: OpenVINO refuses the graph.
    """

    name: BackendName = "openvino"

    def __init__(self, graph: Path, precision: Precision, max_batch: int, threads: int | None = None) -> None:
        cores = threads or len(os.sched_getaffinity(0))
        self._streams = min(cores, max_batch)
        # Where the CPU has BF16, OpenVINO would round to 8 bits of its own accord; results should be the graph's.
        settings: dict[str, str | int] = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": cores}
        try:
            core = openvino.Core()
            model = core.read_model(graph)
            _, height, width, channels = model.input("images").partial_shape
            model.reshape({"images": openvino.PartialShape([1, height, width, channels])})
            single = core.compile_model(model, "CPU", settings | {"PERFORMANCE_HINT": "LATENCY"})
            self._single = single.create_infer_request()
            self._queue: openvino.AsyncInferQueue | None = None
            if self._streams > 1:
                shared = settings | {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": self._streams}
                self._queue = openvino.AsyncInferQueue(core.compile_model(model, "CPU", shared), self._streams)
                self._queue.set_callback(self._collect)
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"OpenVINO refuses {graph}", str(error), "export the bundle again") from error
        self._outputs = Prediction.empty(max_batch, (height.get_length(), width.get_length()))
        self.precision: Precision = precision
        self.max_batch = max_batch
        self.artifact = graph
        self.description = f"OpenVINO {openvino.get_version().split('-')[0]}, {precision}, CPU"

    def infer(self, images: NDArray[np.uint8]) -> Prediction:
        """See `Backend.infer`; the arrays are views of buffers that the next call overwrites."""
        batch = len(images)
        try:
            if self._queue is None or batch < self._streams:
                for index in range(batch):
                    self._single.infer({"images": images[index : index + 1]}, share_inputs=True, share_outputs=True)
                    self._collect(self._single, index)
            else:
                for index in range(batch):
                    self._queue.start_async({"images": images[index : index + 1]}, index, share_inputs=True)
                self._queue.wait_all()
        except RuntimeError as error:
            raise EngineError("OpenVINO failed", str(error), "check the bundle with `snl-edge doctor`") from error
        return self._outputs.part(0, batch)

    def _collect(self, request: openvino.InferRequest, index: int) -> None:
        """Copies the results of image ``index`` to their place; called on whatever thread finished it."""
        for name, output in self._outputs._asdict().items():
            output[index] = request.get_tensor(name).data[0]

    def close(self) -> None:
        """Memory goes with the object; nothing else is held."""
