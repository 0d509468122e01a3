"""Weights and biases of INT8 layers, fitted to what the layers will read.

Rounding each weight to its nearest step ignores that inputs vary together, so that errors of several weights can
cancel. And rounding, of weights as of activations, moves the mean of a channel, which all later layers then read. Both
are mended layer by layer, in the order of the network:

- weights are rounded one input at a time, and what each rounding does wrong is made up for by those not yet rounded,
  as far as the inputs allow (GPTQ: Frantar et al., arXiv 2210.17323);
- the bias is moved until every output channel has the mean that FP32 gives it (bias correction: Nagel et al.,
  arXiv 1906.04721, section 4.2).

A layer is fitted to its input in the INT8 network, whose earlier layers are fitted already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from snl_edge.export.qdq import FittedLayer, Layer, insert_pairs, place
from snl_edge.export.quantisation import LEVELS, restore, steps_along
from snl_edge.export.rounding import device_session

from .observe import Images, Progress, no_progress, tensor_values, upstream

PLACES = 1024
"""Places of an image, at most, that tell how the inputs of a layer vary together."""
DAMPING = 0.01
"""Share of the inputs' mean variance that is added to the variance of each: some hardly vary, or only together."""
BLOCK = 128
"""Inputs that are rounded before all others learn of it, in one product: faster, and the same result."""


def fit_layers(
    graph: onnx.ModelProto,
    layers: Sequence[Layer],
    ranges: Mapping[str, float],
    images: Images,
    progress: Progress = no_progress,
) -> dict[str, FittedLayer]:
    """Fits ``layers``, the only ones in INT8, and returns them by name.

    Args:
        graph: the FP32 graph.
        layers: in the graph's order.
        ranges: as for `snl_edge.export.qdq.to_int8`.
        images: ``uint8 [N, H, W, 3]``.
        progress: told of every layer.

    Raises:
        ExportError: a tensor has no range.
    """
    nodes = {node.name: node for node in graph.graph.node}
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    placement = place(graph, layers)
    outputs = [nodes[layer.node].output[0] for layer in layers]
    graph = upstream(graph, outputs)
    wanted = _mean_outputs(graph, outputs, images)
    fitted: dict[str, FittedLayer] = {}
    for done, layer in enumerate(layers, start=1):
        node, weight = nodes[layer.node], constants[layer.weight]
        model = insert_pairs(graph, graph, placement, ranges, fitted)
        read = next(other for other in model.graph.node if other.name == layer.node).input[0]
        convolution = Convolution.of(node, weight)
        mean, covariance = _inputs(model, read, convolution, images)
        rows = convolution.rows(weight)
        steps = steps_along(weight, layer.axis)
        levels = round_together(rows, covariance, convolution.row_steps(steps))
        values = convolution.from_rows(levels, weight.shape)
        bias = constants[node.input[2]]
        found = _convolve(node, restore(values, steps, layer.axis), bias, mean)
        moved = bias + wanted[node.output[0]] - found.mean(axis=(1, 2), dtype=np.float64)
        fitted[layer.name] = FittedLayer(values, steps, moved.astype(np.float32))
        progress(done, len(layers))
    return fitted


def round_together(
    weights: NDArray[np.float32], covariance: NDArray[np.float64], steps: NDArray[np.float32]
) -> NDArray[np.int8]:
    """INT8 levels whose product with the inputs differs least from that of ``weights``; `GPTQ`_ with sorted inputs.

    Args:
        weights: ``float32 [G, R, I]``: R outputs of I inputs, for each of G groups.
        covariance: of the inputs, ``float64 [G, I, I]``.
        steps: ``float32 [G, R]``.

    Returns:
        ``int8 [G, R, I]``.

    .. _GPTQ: https://arxiv.org/abs/2210.17323
    """
    variances = np.einsum("gii->gi", covariance)
    ridge = DAMPING * variances.mean(axis=1)
    damped = covariance + np.where(ridge > 0, ridge, 1.0)[:, None, None] * np.eye(covariance.shape[1])
    order = np.argsort(-variances, axis=1, kind="stable")  # those that matter most find most others to make up for them
    damped = np.take_along_axis(np.take_along_axis(damped, order[:, :, None], 1), order[:, None, :], 2)
    left = np.take_along_axis(weights.astype(np.float64), order[:, None, :], 2)
    spread = np.linalg.cholesky(np.linalg.inv(damped)).swapaxes(1, 2)  # [G, I, I], upper triangle
    levels = np.empty(left.shape, np.int8)
    inputs = left.shape[2]
    for start in range(0, inputs, BLOCK):
        stop = min(start + BLOCK, inputs)
        errors = np.empty((*left.shape[:2], stop - start))
        for index in range(start, stop):
            level = np.clip(np.rint(left[:, :, index] / steps), -LEVELS, LEVELS)
            levels[:, :, index] = level
            error = (left[:, :, index] - level * steps) / spread[:, index, index, None]
            left[:, :, index + 1 : stop] -= error[:, :, None] * spread[:, index, None, index + 1 : stop]
            errors[:, :, index - start] = error
        left[:, :, stop:] -= errors @ spread[:, start:stop, stop:]
    return np.take_along_axis(levels, np.argsort(order, axis=1)[:, None, :], 2)


@dataclass(frozen=True)
class Convolution:
    """A convolution as products of a matrix with what lies in its window; G groups, R outputs and I inputs of each."""

    transposed: bool
    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    """Above, left, below, right."""
    dilations: tuple[int, int]
    groups: int

    @staticmethod
    def of(node: onnx.NodeProto, weight: NDArray[np.float32]) -> Convolution:
        """The one of a Conv or ConvTranspose node with this ``weight``."""
        given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        rows, columns = weight.shape[2:]
        return Convolution(
            node.op_type == "ConvTranspose",
            (rows, columns),
            tuple(given.get("strides", (1, 1))),
            tuple(given.get("pads", (0, 0, 0, 0))),
            tuple(given.get("dilations", (1, 1))),
            given.get("group", 1),
        )

    def rows(self, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """The weight as matrices ``[G, R, I]``; each place of a transposed kernel is an output of its own."""
        if self.transposed:
            return np.moveaxis(weight, 0, -1).reshape(1, -1, weight.shape[0])
        return weight.reshape(self.groups, weight.shape[0] // self.groups, -1)

    def from_rows(self, rows: NDArray[np.int8], shape: tuple[int, ...]) -> NDArray[np.int8]:
        """The inverse of `rows` for a weight of this ``shape``."""
        if self.transposed:
            return np.ascontiguousarray(np.moveaxis(rows.reshape(*shape[1:], shape[0]), -1, 0))
        return rows.reshape(shape)

    def row_steps(self, steps: NDArray[np.float32]) -> NDArray[np.float32]:
        """The step ``[G, R]`` of every row from the steps ``[C]`` of the output channels."""
        if self.transposed:
            return np.repeat(steps, self.kernel[0] * self.kernel[1])[None]
        return steps.reshape(self.groups, -1)

    def windows(self, x: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """What the kernel sees of ``x [C, H, W]`` at up to `PLACES` places drawn at random, ``[G, I, P]``."""
        if self.transposed:
            flat = x.reshape(1, len(x), -1)
            return flat[:, :, _drawn(flat.shape[2], rng)]
        above, left, below, right = self.pads
        padded = np.pad(x, ((0, 0), (above, below), (left, right)))
        extent = tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))
        seen = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(1, 2))
        seen = seen[:, :: self.strides[0], :: self.strides[1], :: self.dilations[0], :: self.dilations[1]]
        rows, columns = np.divmod(_drawn(seen.shape[1] * seen.shape[2], rng), seen.shape[2])
        return np.moveaxis(seen[:, rows, columns], 1, -1).reshape(self.groups, -1, len(rows))


def _drawn(places: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return rng.permutation(places)[:PLACES]


def _mean_outputs(graph: onnx.ModelProto, names: Sequence[str], images: Images) -> dict[str, NDArray[np.float64]]:
    """The mean ``float64 [C]`` of every channel of the tensors ``[1, C, h, w]`` over images and places."""
    look = tensor_values(graph, names)
    means: dict[str, NDArray[np.float64]] = {}
    for image in images:
        for name, values in look(image[None]).items():
            mean = values[0].mean(axis=(1, 2), dtype=np.float64) / len(images)
            means[name] = means[name] + mean if name in means else mean
    return means


def _inputs(
    model: onnx.ModelProto, read: str, convolution: Convolution, images: Images
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Of the tensor ``read``: its mean over images ``[C, H, W]``, and the windows' covariance ``[G, I, I]``."""
    look = tensor_values(model, [read])
    rng = np.random.default_rng(0)
    total: NDArray[np.float64] | None = None
    around: NDArray[np.float32] | None = None
    first, second, count = np.zeros(()), np.zeros(()), 0
    for image in images:
        x = look(image[None])[read][0]
        total = x.astype(np.float64) if total is None else total + x
        seen = convolution.windows(x, rng)
        if around is None:
            around = np.asarray(seen.mean(axis=2, keepdims=True))
        seen = seen - around  # squares of large values that hardly vary would leave nothing of the variance
        first = first + seen.sum(axis=2, dtype=np.float64)
        second = second + seen @ seen.swapaxes(1, 2)
        count += seen.shape[2]
    assert total is not None
    assert around is not None
    mean = first / count
    covariance = second / count - mean[:, :, None] * mean[:, None, :]
    # What is left of inputs that never vary is rounding: a variance that no float32 can show keeps it from counting.
    floor = 1e-12 * np.square(around, dtype=np.float64).mean(axis=(1, 2))
    return (total / len(images)).astype(np.float32), covariance + floor[:, None, None] * np.eye(covariance.shape[1])


def _convolve(
    node: onnx.NodeProto, weight: NDArray[np.float32], bias: NDArray[np.float32], x: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What the convolution ``node`` makes of ``x [C, H, W]`` with these weights, ``[D, h, w]``.

    A convolution is linear: of the mean input it makes the mean output.
    """
    alone = onnx.NodeProto()
    alone.CopyFrom(node)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in (node.input[0], node.output[0])]
    values = [numpy_helper.from_array(value, name) for value, name in zip((weight, bias), node.input[1:], strict=True)]
    model = helper.make_model(helper.make_graph([alone], "convolution", ends[:1], ends[1:], values))
    model.ir_version, model.opset_import[0].version = 8, 18
    return np.asarray(device_session(model).run(None, {node.input[0]: x[None]})[0])[0]
