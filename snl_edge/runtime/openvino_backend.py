"""The fused graph on OpenVINO's CPU plugin, the fastest way without an NVIDIA GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray

from ..errors import EngineError
from .backend import BackendName
from .manifest import Precision
from .prediction import Prediction


class OpenVinoBackend:
    """One request for single images, whose fixed shape compiles to faster code, and one for larger batches.

    Raises:
        EngineError: OpenVINO refuses the graph.
    """

    name: BackendName = "openvino"

    def __init__(self, graph: Path, precision: Precision, max_batch: int, threads: int | None = None) -> None:
        # Where the CPU has BF16, OpenVINO would round to 8 bits of its own accord; results should be the graph's.
        settings: dict[str, str | int] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            core = openvino.Core()
            model = core.read_model(graph)
            _, height, width, channels = model.input("images").partial_shape
            batched = core.compile_model(model, "CPU", settings) if max_batch > 1 else None
            model.reshape({"images": openvino.PartialShape([1, height, width, channels])})
            single = core.compile_model(model, "CPU", settings)
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"OpenVINO refuses {graph}", str(error), "export the bundle again") from error
        self._single = single.create_infer_request()
        self._batched = batched.create_infer_request() if batched else self._single
        self.precision: Precision = precision
        self.max_batch = max_batch
        self.description = f"OpenVINO {openvino.get_version().split('-')[0]}, {precision}, CPU"

    def infer(self, images: NDArray[np.uint8]) -> Prediction:
        """See `Backend.infer`; the arrays are views of OpenVINO's buffers."""
        request = self._single if len(images) == 1 else self._batched
        try:
            outputs = request.infer({"images": images}, share_inputs=True, share_outputs=True)
        except RuntimeError as error:
            raise EngineError("OpenVINO failed", str(error), "check the bundle with `snl-edge doctor`") from error
        return Prediction(*(outputs[name] for name in Prediction._fields))

    def close(self) -> None:
        """Memory goes with the object; nothing else is held."""
