"""An ONNX graph in OpenVINO or ONNX Runtime on the CPU: as a peer's makers export it, or a part of ours.

Its input is ready: nothing is resized or normalised in the time that is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from snl_edge.benchmarks.latency import alternate, timed
from snl_edge.benchmarks.worker import SubjectSpec

POOL = 16


class GraphSpec(SubjectSpec):
    """Which graph in which runtime."""

    graph: Path
    runtime: Literal["openvino", "onnxruntime"]
    threads: int
    rounding: Literal["default", "f32", "typed"] = "default"
    """OpenVINO by default computes in BF16 where the processor has it; ``f32`` keeps FP32; ``typed`` takes the graph's
    FP16 for BF16 and keeps the rest, as our backend does."""
    size: tuple[int, int] = (256, 256)

    def load(self) -> GraphSubject:
        """A subject of this specification."""
        return GraphSubject(self)


class GraphSubject:
    """The graph with a fixed batch of 1, which compiles to the fastest code."""

    def __init__(self, spec: GraphSpec) -> None:
        run, dtype, planar = (_openvino if spec.runtime == "openvino" else _onnxruntime)(spec)
        rng = np.random.default_rng(0)
        shape = (1, 3, *spec.size) if planar else (1, *spec.size, 3)
        if dtype == np.uint8:
            pool: list[NDArray[Any]] = [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(POOL)]
        else:
            pool = [rng.standard_normal(shape, np.float32) for _ in range(POOL)]
        turn = iter(range(1 << 62))
        self._ways = {"graph": timed(lambda batch: run(pool[next(turn) % POOL]))}
        self._description = f"{spec.runtime}, {spec.rounding}"

    def describe(self) -> dict[str, Any]:
        """Runtime and rounding."""
        return {"description": self._description, "ways": list(self._ways)}

    def calls(self, batch: int, seconds: float) -> dict[str, Any]:
        """Seconds of calls of one image each."""
        return {"seconds": alternate(self._ways, batch, seconds)}


Loaded = tuple[Callable[[NDArray[Any]], object], type[np.generic], bool]
"""What runs an input, the type of that input, and whether its channels come first."""


def _openvino(spec: GraphSpec) -> Loaded:
    import openvino

    from snl_edge.runtime.openvino_backend import half_as_bf16, process_core

    settings: dict[str, str | int] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": spec.threads}
    if spec.rounding != "default":
        settings["INFERENCE_PRECISION_HINT"] = "f32"
    core = process_core()
    model = core.read_model(spec.graph)
    if spec.rounding == "typed":
        half_as_bf16(model)
    image = model.input(0)
    planar = image.partial_shape[1] == 3
    model.reshape([1, 3, *spec.size] if planar else [1, *spec.size, 3])
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    dtype = np.uint8 if image.element_type == openvino.Type.u8 else np.float32
    return lambda pixels: request.infer([pixels], share_inputs=True, share_outputs=True), dtype, planar


def _onnxruntime(spec: GraphSpec) -> Loaded:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = spec.threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(spec.graph), options, providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    dtype = np.uint8 if image.type == "tensor(uint8)" else np.float32
    return lambda pixels: session.run(None, {image.name: pixels}), dtype, image.shape[1] == 3
