"""The fused graph on OpenVINO's CPU plugin, the fastest way without an NVIDIA GPU."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import opset13 as opset

from ..contract.graph import ANOMALY_MAP, IMAGES, Prediction, Scores
from ..errors import EngineError
from ..outside.graph_file import read_graph_bytes
from .backend import BackendName, closed
from .frame import FRONT
from .manifest import Precision
from .processor import VNNI, instruction_sets

SEARCH = frozenset({"MatMul", "Add", "Subtract", "Gather", "Reshape", "Transpose"})
"""What a search is made of, up to the place of its maximum."""


@functools.cache
def process_core() -> openvino.Core:
    """The one core of this process, never to be let go of.

    Its CPU plugin gives the thread that makes it a stack for signals (``sigaltstack``) and takes that away at its end:
    of several that do not end in the order of nesting, one leaves the thread with a stack that is no longer there. The
    next signal, such as a service manager's stop, then kills the process instead of ending it (seen with OpenVINO
    2026.4.1 where bundles had taken each other's place, as after a change of recipe).
    """
    return openvino.Core()


class OpenVinoBackend:
    """Runs every image by itself: one request on all cores for a single one, several side by side for a batch.

    A fixed shape compiles to the fastest code, and streams of one core each lose nothing to waiting for each other: on
    two cores a batch takes a fifth less time than as one request.

    Types are the graph's: left alone, OpenVINO would round all of it to BF16 on a processor that has it, distances
    included. ``bf16`` is the FP16 graph with convolutions and what runs between them in BF16 and the delicate rest in
    FP32; on a processor without BF16 all of it is FP32. INT8 kernels come of the graph's own pairs. Where a graph has
    its memory's search in FP16, it runs in BF16 if the processor has it: it says only which centre is compared.

    Raises:
        EngineError: OpenVINO refuses the graph.
    """

    name: BackendName = "openvino"
    lost = ""

    def __init__(self, graph: Path, precision: Precision, max_batch: int, threads: int | None = None) -> None:
        cores = threads or len(os.sched_getaffinity(0))
        self._streams = min(cores, max_batch)
        settings: dict[str, str | int] = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": cores}
        try:
            core = process_core()
            read_graph_bytes(graph)
            model = core.read_model(graph)
            missing = emulates("bf16")
            if not missing:
                half_as_bf16(model, search_alone=precision != "bf16")
            missing = missing if precision == "bf16" else ""
            _, height, width, channels = model.input(IMAGES.name).partial_shape
            _, rows, columns = model.output(ANOMALY_MAP.name).partial_shape  # images may be larger
            model.reshape({IMAGES.name: openvino.PartialShape([1, height, width, channels])})
            size = (rows.get_length(), columns.get_length())
            single = core.compile_model(model, "CPU", settings | {"PERFORMANCE_HINT": "LATENCY"})
            shared = None
            if self._streams > 1:
                several = settings | {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": self._streams}
                shared = core.compile_model(model, "CPU", several)
        except (RuntimeError, ValueError, OSError) as error:
            raise EngineError(f"OpenVINO refuses {graph}", str(error), "export the bundle again") from error
        self._size, self._image_size = size, (height.get_length(), width.get_length())
        self.precision: Precision = precision
        self.max_batch = max_batch
        self.artifact = graph
        computed = f"{precision} computed in fp32 ({missing})" if missing else precision
        self.description = f"OpenVINO {openvino.get_version().split('-')[0]}, {computed}, CPU"
        self._prepare(single, shared)

    def _prepare(self, single: openvino.CompiledModel, shared: openvino.CompiledModel | None) -> None:
        self._compiled: tuple[openvino.CompiledModel, openvino.CompiledModel | None] | None = single, shared
        self._outputs = Prediction.empty(self.max_batch, self._size)
        self._views = [self._outputs.part(0, batch) for batch in range(self.max_batch + 1)]
        self._single: openvino.InferRequest | None = single.create_infer_request()
        self._queue: openvino.AsyncInferQueue | None = None
        if shared is not None:
            self._queue = openvino.AsyncInferQueue(shared, self._streams)
            self._queue.set_callback(self._collect)

    def infer(self, images: NDArray[np.uint8]) -> Prediction:
        """See `Backend.infer`; the arrays are views of buffers that the next call overwrites."""
        batch = len(images)
        if self._single is None:
            raise closed()
        try:
            if self._queue is None or batch < self._streams:
                for index in range(batch):
                    self._single.infer({IMAGES.name: images[index : index + 1]}, share_inputs=True, share_outputs=True)
                    self._collect(self._single, index)
            else:
                for index in range(batch):
                    self._queue.start_async({IMAGES.name: images[index : index + 1]}, index, share_inputs=True)
                self._queue.wait_all()
        except RuntimeError as error:
            raise EngineError("OpenVINO failed", str(error), "check the bundle: snl-edge inspect BUNDLE") from error
        return self._views[batch]

    def _collect(self, request: openvino.InferRequest, index: int) -> None:
        """Copies the results of image ``index`` to their place; called on whatever thread finished it."""
        for name, output in self._outputs._asdict().items():
            output[index] = request.get_tensor(name).data[0]

    def run(self, images: NDArray[np.uint8]) -> Scores:
        """See `Backend.run`."""
        return Scores(*self.infer(images)[1:])

    def maps(self, rows: Sequence[int]) -> list[NDArray[np.float32]]:
        """See `Backend.maps`."""
        if self._single is None:
            raise closed()
        return [self._outputs.anomaly_map[row] for row in rows]

    def another(self) -> OpenVinoBackend:
        """See `Backend.another`: requests of its own to the same compiled models, on the same cores."""
        if (compiled := self._compiled) is None:
            raise closed()
        twin = copy.copy(self)
        twin._prepare(*compiled)
        return twin

    def inputs(self, count: int) -> NDArray[np.uint8]:
        """See `Backend.inputs`."""
        return np.zeros((count, *self._image_size, 3), np.uint8)

    def close(self) -> None:
        """See `Backend.close`: compiled models go with the last that shares them."""
        self._single = self._queue = self._compiled = None


def emulates(precision: Precision) -> str:
    """What this processor lacks to compute in ``precision`` natively; empty if nothing."""
    if precision == "bf16" and "BF16" not in process_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return "no BF16 instructions here"
    if precision == "int8" and not VNNI & instruction_sets():
        return "no VNNI instructions here"
    return ""


def half_as_bf16(model: openvino.Model, *, search_alone: bool = False) -> None:
    """Turns every FP16 type of the graph into BF16, but of tables that are looked up and cast to FP32 behind.

    With ``search_alone`` only what leads to the place of a maximum and to nothing else: the memory's search.

    What makes a frame into the model's input stays as it is, too: BF16 cannot hold the sum of four bytes.
    """
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind not in ("Constant", "Convert") or node.get_output_element_type(0) != openvino.Type.f16:
            continue
        if node.get_friendly_name().startswith(FRONT):
            continue
        readers = list(node.output(0).get_target_inputs())
        if _only_looked_up(readers) or (search_alone and not _ends_in_place(readers)):
            continue
        if kind == "Convert":
            changed = opset.convert(node.input_value(0), openvino.Type.bf16)
        else:
            changed = opset.constant(node.get_data().astype(np.float32), openvino.Type.bf16)
        changed.set_friendly_name(node.get_friendly_name())
        for reader in readers:
            reader.replace_source_output(changed.output(0))
    model.validate_nodes_and_infer_types()


def _only_looked_up(readers: Sequence[openvino.Input]) -> bool:
    """Whether a table's ``readers`` pick rows that are cast behind, so that the table may keep its type."""
    picking = [reader.get_node() for reader in readers]
    return all(
        node.get_type_name() == "Gather"
        and all(behind.get_node().get_type_name() == "Convert" for behind in node.output(0).get_target_inputs())
        for node in picking
    )


def _ends_in_place(readers: Sequence[openvino.Input]) -> bool:
    """Whether nothing but the place of a maximum is made of what ``readers`` read."""
    nodes = [reader.get_node() for reader in readers]
    return all(
        node.get_type_name() == "TopK"
        or (node.get_type_name() in SEARCH and _ends_in_place(list(node.output(0).get_target_inputs())))
        for node in nodes
    )
