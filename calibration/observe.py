"""Running a fused graph and looking inside: embeddings of images, histograms of tensors, effects of one range."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from snl_edge.contract.graph import ANOMALY_MAP, IMAGES, SCORE
from snl_edge.data.loader import ImageStore
from snl_edge.data.samples import Sample
from snl_edge.errors import ExportError
from snl_edge.export.qdq import Placement, insert_pairs
from snl_edge.export.quantisation import LEVELS
from snl_edge.export.rounding import device_session

from .histogram import Histogram
from .ranges import Method
from .table import rounded

Progress = Callable[[int, int], None]
Images = NDArray[np.uint8]


def no_progress(done: int, total: int) -> None:
    """Tells nobody."""


def embed(
    graph: onnx.ModelProto, samples: Sequence[Sample], size: tuple[int, int], progress: Progress = no_progress
) -> NDArray[np.float64]:
    """Pooled teacher features ``float64 [N, C]``: what the graph recognises products by.

    Raises:
        DataError: an image cannot be read.
        ExportError: the graph recognises no products.
    """
    centred = [n for n in graph.graph.node if n.op_type == "Sub" and n.input[1].endswith("recognition.centre")]
    if not centred:
        raise ExportError("the graph has no product recognition", fix="export it again with this snl-edge")
    pooled = centred[0].input[0]
    look = tensor_values(graph, [pooled])
    parts: list[NDArray[np.float64]] = []
    for indices, images in ImageStore(samples, size, budget=0).batches(1):
        parts.append(look(images)[pooled].astype(np.float64))
        progress(indices.stop, len(samples))
    return np.concatenate(parts)


def observe(
    graph: onnx.ModelProto,
    tensors: Sequence[str],
    images: Iterable[Images],
    total: int,
    progress: Progress = no_progress,
) -> dict[str, Histogram]:
    """Histograms of ``tensors`` over ``images``, each ``uint8 [H, W, 3]``, one image in memory at a time."""
    look = tensor_values(graph, tensors)
    histograms = {name: Histogram() for name in tensors}
    for done, image in enumerate(images, start=1):
        for name, values in look(image[None]).items():
            histograms[name].add(values)
        progress(done, total)
    return histograms


def effect_of_ranges(
    graph: onnx.ModelProto,
    tensor: str,
    placement: Placement,
    ranges: Mapping[Method, float],
    images: Images,
    maps: NDArray,
) -> dict[Method, float]:
    """How far the map moves if ``tensor`` alone is quantised, with each of the named ``ranges``.

    Args:
        graph: the FP32 graph.
        tensor: what is quantised.
        placement: which of its readers see it quantised.
        ranges: ranges to try, by method.
        images: ``uint8 [N, H, W, 3]``.
        maps: of these by the graph itself, ``float32 [N, H, W]``.

    Returns:
        root mean square of the difference, on the calibrated scale.
    """
    model = insert_pairs(graph, graph, Placement((), {tensor: placement.readers[tensor]}), {tensor: 1.0})
    step = f"{tensor}.step"
    (constant,) = [one for one in model.graph.initializer if one.name == step]
    model.graph.initializer.remove(constant)
    model.graph.input.append(helper.make_tensor_value_info(step, TensorProto.FLOAT, []))
    session = device_session(model)
    errors: dict[Method, float] = {}
    tried: dict[float, float] = {}
    for name, magnitude in ranges.items():
        if magnitude not in tried:
            fed = {step: np.array(magnitude / LEVELS, np.float32)}
            found = (
                np.asarray(session.run([ANOMALY_MAP.name], {IMAGES.name: image[None], **fed})[0])[0] for image in images
            )
            squares = [float(np.mean(np.square(a - b))) for a, b in zip(found, maps, strict=True)]
            tried[magnitude] = rounded(float(np.sqrt(np.mean(squares))))
        errors[name] = tried[magnitude]
    return errors


def run_maps(graph: onnx.ModelProto, images: Images) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Maps ``float32 [N, H, W]`` and scores ``float32 [N]`` as a device computes them."""
    session = device_session(graph)
    results = [session.run([ANOMALY_MAP.name, SCORE.name], {IMAGES.name: image[None]}) for image in images]
    maps, scores = (np.concatenate([np.asarray(one) for one in part]) for part in zip(*results, strict=True))
    return maps, scores


def tensor_values(graph: onnx.ModelProto, tensors: Sequence[str]) -> Callable[[Images], dict[str, NDArray[np.float32]]]:
    """Computes the graph as far as its float ``tensors``; ``uint8 [B, H, W, 3]`` to their values."""
    session = device_session(upstream(graph, tensors))
    return lambda images: dict(
        zip(tensors, map(np.asarray, session.run(list(tensors), {IMAGES.name: images})), strict=True)
    )


def upstream(graph: onnx.ModelProto, tensors: Sequence[str]) -> onnx.ModelProto:
    """The part of the graph that computes its float ``tensors``, which are its outputs."""
    needed, nodes = set(tensors), []
    for node in reversed(graph.graph.node):  # they stand in topological order
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.append(node)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in tensors]
    constants = [constant for constant in graph.graph.initializer if constant.name in needed]
    part = helper.make_graph(nodes[::-1], graph.graph.name, graph.graph.input, ends, constants)
    return helper.make_model(part, opset_imports=graph.opset_import, ir_version=graph.ir_version)
