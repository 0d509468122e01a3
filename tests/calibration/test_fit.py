"""Fitted weights and biases: better than rounding to the nearest, and means that are those of FP32."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from snl_edge.calibration import fit
from snl_edge.calibration.fit import Convolution, fit_layers, round_together
from snl_edge.calibration.observe import observe, tensor_values
from snl_edge.data.layouts import open_dataset
from snl_edge.export.graphs import make_graphs
from snl_edge.export.qdq import find_layers, insert_pairs, place
from snl_edge.image import fit_to_input, read_image


def correlated(inputs: int, seed: int) -> np.ndarray:
    """Few causes move all inputs."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(inputs, inputs // 4)) @ rng.normal(size=(inputs // 4, 4000))
    return mixed + 0.1 * rng.normal(size=mixed.shape)


@pytest.mark.parametrize("inputs", [16, 300])  # within a block, and over several
def test_errors_of_weights_that_are_rounded_together_cancel(inputs):
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(2, 8, inputs)).astype(np.float32)
    x = np.stack([correlated(inputs, seed) for seed in (2, 3)])
    steps = (np.abs(weights).max(axis=2) / 127).astype(np.float32)
    levels = round_together(weights, x @ x.swapaxes(1, 2) / x.shape[2], steps)
    nearest = np.rint(weights / steps[:, :, None])
    together, alone = (
        float(np.sqrt(np.mean(np.square((weights - rounded * steps[:, :, None]) @ x)))) for rounded in (levels, nearest)
    )
    assert together < 0.5 * alone
    assert np.abs(levels - nearest).max() <= 20  # each stays near its weight


def test_inputs_that_vary_alone_or_never_are_rounded_to_the_nearest():
    weights = np.random.default_rng(0).normal(size=(1, 4, 8)).astype(np.float32)
    steps = (np.abs(weights).max(axis=2) / 127).astype(np.float32)
    nearest = np.rint(weights / steps[:, :, None])
    for variances in (np.arange(8), np.zeros(8)):
        np.testing.assert_array_equal(round_together(weights, np.diag(variances.astype(float))[None], steps), nearest)


@pytest.mark.parametrize(
    ("kind", "shape", "channels", "attributes"),
    [
        ("Conv", (6, 4, 3, 3), 4, {"strides": [2, 2], "pads": [0, 0, 1, 1]}),
        ("Conv", (8, 1, 5, 5), 8, {"group": 8, "pads": [2, 2, 2, 2]}),
        ("Conv", (6, 4, 3, 3), 8, {"group": 2, "dilations": [2, 2], "pads": [2, 2, 2, 2]}),
        ("ConvTranspose", (4, 6, 2, 2), 4, {"strides": [2, 2]}),
    ],
)
def test_rows_times_windows_are_the_convolution(kind, shape, channels, attributes, monkeypatch):
    rng = np.random.default_rng(0)
    weight, x = (rng.normal(size=size).astype(np.float32) for size in (shape, (channels, 11, 9)))
    node = helper.make_node(kind, ["x", "w", "b"], ["y"], **attributes)
    convolution = Convolution.of(node, weight)
    rows = convolution.rows(weight)
    np.testing.assert_array_equal(convolution.from_rows(rows, weight.shape), weight)
    outputs = 6 if kind == "ConvTranspose" else shape[0]
    found = fit._convolve(node, weight, np.zeros(outputs, np.float32), x)
    monkeypatch.setattr(fit, "_drawn", lambda places, rng: np.arange(places))
    product = rows @ convolution.windows(x, rng)  # [G, R, P]
    if kind == "ConvTranspose":
        product = product.reshape(6, 2, 2, 11, 9).transpose(0, 3, 1, 4, 2)
    np.testing.assert_allclose(product.reshape(found.shape), found, atol=1e-4)


def test_every_channel_of_every_layer_has_the_mean_that_fp32_gives_it(run, line):
    graph = make_graphs(run, "fp32")[1]["fp32"]
    samples = open_dataset(line).train
    layers = [
        layer
        for layer in find_layers(graph)
        if layer.name.startswith(("teacher.backbone.conv_stem", "teacher.backbone.blocks.0", "student.decode_fine"))
    ]
    images = np.stack([fit_to_input(read_image(sample.path), (64, 64)) for sample in samples[::4]])
    histograms = observe(graph, list(place(graph, find_layers(graph)).readers), images, len(images))
    ranges = {name: histogram.largest for name, histogram in histograms.items()}
    fitted = fit_layers(graph, layers, ranges, images)
    assert set(fitted) == {layer.name for layer in layers}
    nodes = {node.name: node for node in graph.graph.node}
    outputs = [nodes[layer.node].output[0] for layer in layers]

    def means(model: onnx.ModelProto) -> list[np.ndarray]:
        look = tensor_values(model, outputs)
        every = [look(image[None]) for image in images]
        return [np.mean([one[name][0].mean(axis=(1, 2)) for one in every], axis=0) for name in outputs]

    exact = means(graph)
    plain, mended = (means(insert_pairs(graph, graph, place(graph, layers), ranges, which)) for which in ({}, fitted))
    for before, after, wanted in zip(plain, mended, exact, strict=True):
        assert np.abs(after - wanted).max() < 1e-3 * max(1.0, np.abs(wanted).max())
        assert np.abs(after - wanted).max() < np.abs(before - wanted).max()
    again = fit_layers(graph, layers[:2], ranges, images)
    assert all(np.array_equal(again[name].values, fitted[name].values) for name in again)
