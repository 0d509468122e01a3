"""The front of a fused graph that takes a camera's frame: what `snl_edge.image.Fitter` does on the host, as nodes.

The two give the same bytes. Halving is a mean that is rounded half up; the last step is OpenCV's bilinear interpolation
of bytes (``resize.cpp``, ``HResizeLinear`` and ``VResizeLinear``): weights in steps of 1/2048, four bits dropped
between the two directions, rounded twice. All of it are whole numbers small enough for the type that computes them, so
the result does not depend on who computes it, nor on what a runtime fuses.

The frame is cast once, to FP16, which holds sums of four bytes exactly and takes half the room of FP32 where a runtime
does write the cast frame out; TensorRT takes bytes in nothing but a cast. What is interpolated is less than four times
as large as the model's input, and FP32.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from snl_edge.contract.graph import ANOMALY_MAP, BATCH, IMAGES
from snl_edge.errors import ExportError
from snl_edge.image import halvings
from snl_edge.runtime.frame import FRONT
from snl_edge.runtime.manifest import FrameSpec

from .onnx_graph import check_graph, set_metadata

_STEPS = 2048
"""Weights of OpenCV's interpolation are whole numbers of ``1/_STEPS``."""


def with_frame(graph: onnx.ModelProto, frame: FrameSpec) -> onnx.ModelProto:
    """A copy of a fused graph, of any precision, whose ``images`` are frames: ``uint8 [B, height, width, 3]``.

    Raises:
        ExportError: the graph does not begin with one cast of its images.
    """
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    images = model.graph.input[0]
    size = tuple(dim.dim_value for dim in images.type.tensor_type.shape.dim[1:3])
    readers = [node for node in model.graph.node if IMAGES.name in node.input]
    if len(readers) != 1 or readers[0].op_type != "Cast" or helper.get_node_attr_value(readers[0], "to") != 1:
        raise ExportError("the graph does not begin with a cast of its images", fix="export the model again")
    front = _Front(frame.size)
    front.fit((size[0], size[1]))
    front.finish(readers[0].output[0], swap=frame.colours == "bgr")
    nodes = [*front.nodes, *(node for node in model.graph.node if node is not readers[0])]
    model.graph.initializer.extend(front.constants())
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    del model.graph.value_info[:]
    for dim, pixels in zip(images.type.tensor_type.shape.dim[1:3], frame.size, strict=True):
        dim.dim_value = pixels
    set_metadata(model, frame=frame.model_dump())
    check_graph(model)
    return model


def front_alone(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The front of a graph: frames in, ``pixels float32 [B, H, W, 3]`` out, as the model sees them."""
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    nodes = [node for node in model.graph.node if node.name.startswith(FRONT)]
    nodes[-1].output[0] = "pixels"
    height, width = (dim.dim_value for dim in _output(graph, ANOMALY_MAP.name).type.tensor_type.shape.dim[1:3])
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [BATCH, height, width, 3])
    constants = [constant for constant in model.graph.initializer if constant.name.startswith(FRONT)]
    front = helper.make_graph(nodes, "front", model.graph.input, [pixels], constants)
    return helper.make_model(front, opset_imports=model.opset_import, ir_version=model.ir_version)


def _output(graph: onnx.ModelProto, name: str) -> onnx.ValueInfoProto:
    return next(value for value in graph.graph.output if value.name == name)


@dataclass
class _Front:
    """Writes the nodes, in order; every name begins with `FRONT`."""

    shape: tuple[int, int]
    """Of the tensor at hand, ``[B, *shape, 3]``."""
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    _constants: dict[str, NDArray[np.generic]] = field(default_factory=dict)
    _at: str = IMAGES.name
    _type: int = TensorProto.UINT8

    def fit(self, size: tuple[int, int]) -> None:
        """As `Fitter.fit`."""
        for half in halvings(self.shape, size):
            self._as(TensorProto.FLOAT16)
            self._halve((half[0], half[1]))
        self._as(TensorProto.FLOAT)
        if self.shape != size:
            self._interpolate(size)

    def finish(self, name: str, *, swap: bool) -> None:
        """Hands the result over as tensor ``name``, its first and last colour exchanged if asked for."""
        if swap:
            self._at = self._node("Gather", self._at, self._constant(np.array([2, 1, 0], np.int64)), axis=3)
        self.nodes[-1].output[0] = name

    def constants(self) -> list[TensorProto]:
        """Of all nodes."""
        return [numpy_helper.from_array(value, name) for name, value in self._constants.items()]

    def _halve(self, half: tuple[int, int]) -> None:
        """Means of two or four neighbours, half up; an odd last row or column is left out."""
        height, width = half
        down, across = self.shape[0] // height, self.shape[1] // width
        total = ""
        for row in range(down):
            for column in range(across):
                part = self._neighbours((row, column), (height * down, width * across), (down, across))
                total = self._node("Add", total, part) if total else part
        scaled = self._node("Mul", total, self._constant(np.array(1 / (down * across), np.float16)))
        raised = self._node("Add", scaled, self._constant(np.array(0.5, np.float16)))
        self._at = self._node("Floor", raised)
        self.shape = half

    def _neighbours(self, first: tuple[int, int], end: tuple[int, int], step: tuple[int, int]) -> str:
        starts, ends, axes, steps = (np.array(values, np.int64) for values in (first, end, (1, 2), step))
        return self._node("Slice", self._at, *map(self._constant, (starts, ends, axes, steps)))

    def _interpolate(self, size: tuple[int, int]) -> None:
        """OpenCV's bilinear interpolation of bytes; every product and sum is below 2^24, which FP32 holds exactly."""
        left, right, weights = _taps(self.shape[1], size[1], across=True)
        pairs = zip((left, right), weights, strict=True)
        near, far = (self._times(self._take(self._at, taken, 2), own[None, None, :, None]) for taken, own in pairs)
        rows = self._floor(self._times(self._node("Add", near, far), np.array(1 / 16)))  # [B, h, W, 3]
        upper, lower, weights = _taps(self.shape[0], size[0], across=False)
        pairs = zip((upper, lower), weights, strict=True)
        near, far = (self._share(self._take(rows, taken, 1), own[None, :, None, None]) for taken, own in pairs)
        raised = self._node("Add", self._node("Add", near, far), self._constant(np.array(2, np.float32)))
        self._at = self._floor(self._times(raised, np.array(1 / 4)))
        self.shape = size

    def _share(self, values: str, weights: NDArray[np.int64]) -> str:
        """``values * weights >> 16``: quarters of the product, which has too many bits, then the rest of the shift."""
        whole, rest = np.divmod(weights, 4)
        quarters = self._node("Add", self._times(values, whole), self._floor(self._times(values, np.asarray(rest / 4))))
        return self._floor(self._times(quarters, np.array(1 / 2**14)))

    def _take(self, values: str, index: NDArray[np.int64], axis: int) -> str:
        return self._node("Gather", values, self._constant(index), axis=axis)

    def _times(self, values: str, factor: NDArray[np.generic]) -> str:
        return self._node("Mul", values, self._constant(factor.astype(np.float32)))

    def _floor(self, values: str) -> str:
        return self._node("Floor", values)

    def _as(self, kind: int) -> None:
        if self._type != kind:
            self._at, self._type = self._node("Cast", self._at, to=kind), kind

    def _node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        output = f"{FRONT}{len(self.nodes)}_{operator.lower()}"
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def _constant(self, value: NDArray[np.generic]) -> str:
        for name, known in self._constants.items():
            if known.dtype == value.dtype and np.array_equal(known, value):
                return name
        name = f"{FRONT}constant{len(self._constants)}"
        self._constants[name] = value
        return name


def _taps(pixels: int, wanted: int, *, across: bool) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """For each of ``wanted`` pixels: its two neighbours among ``pixels``, and their weights ``[2, wanted]``.

    Beyond an edge both neighbours are its own pixel. ``across`` gives it all of the weight, as OpenCV does in a row but
    not in a column, where each part is rounded by itself.
    """
    places = ((np.arange(wanted) + 0.5) * (1 / (wanted / pixels)) - 0.5).astype(np.float32)
    near = np.floor(places).astype(np.int64)
    share = places - near.astype(np.float32)
    if across:
        share[(near < 0) | (near >= pixels - 1)] = 0
    weights = np.rint(np.stack([np.float32(1) - share, share]) * np.float32(_STEPS)).astype(np.int64)
    return near.clip(0, pixels - 1), (near + 1).clip(0, pixels - 1), weights
