"""The INT8 graph: what is INT8 and what is not, that it computes what it says, and that TensorRT takes it."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import onnxsim
import pytest
import torch
from conftest import search_products
from onnx import TensorProto, numpy_helper

from snl_edge.calibration.measure import CalibrationConfig, calibrate_ranges
from snl_edge.contract.graph import Prediction
from snl_edge.data.layouts import open_dataset
from snl_edge.errors import ExportError
from snl_edge.export.engine import build_engine
from snl_edge.export.frame import with_frame
from snl_edge.export.graphs import make_graphs
from snl_edge.export.int8_memory import with_int8_memory
from snl_edge.export.onnx_graph import graph_metadata, network_sha256, save_graph, with_score_scale
from snl_edge.export.qdq import find_layers, insert_pairs, place, to_int8
from snl_edge.export.quantisation import quantise, restore
from snl_edge.export.rounding import device_session
from snl_edge.image import fit_to_input, read_image
from snl_edge.model.config import MemoryConfig
from snl_edge.model.memory_bank import MemoryBank
from snl_edge.runtime.manifest import FrameSpec

DELICATE = {
    "Softmax",
    "ReduceSum",
    "ReduceMax",
    "Sqrt",
    "Reciprocal",
    "Div",
    "Sub",
    "ReduceMean",
    "ArgMin",
    "AveragePool",
}


@pytest.fixture(scope="module")
def made(run):
    return make_graphs(run, "fp16")


@pytest.fixture(scope="module")
def graph(made) -> onnx.ModelProto:
    return made[1]["fp32"]


@pytest.fixture(scope="module")
def ranges(graph, line) -> dict[str, float]:
    return calibrate_ranges(graph, open_dataset(line).train, CalibrationConfig(images=8)).ranges


@pytest.fixture(scope="module")
def int8(graph, ranges) -> onnx.ModelProto:
    return to_int8(graph, ranges)


@pytest.fixture(scope="module")
def pictures(line) -> np.ndarray:
    return np.stack([fit_to_input(read_image(sample.path), (64, 64)) for sample in open_dataset(line).test])


def producers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {name: node for node in model.graph.node for name in node.output}


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def scores(session: onnxruntime.InferenceSession, images: np.ndarray) -> np.ndarray:
    return np.concatenate([np.asarray(session.run(["score"], {"images": image[None]})[0]) for image in images])


def test_every_convolution_is_int8_but_the_assignment_and_what_is_delicate_is_not(int8):
    made_by, values = producers(int8), constants(int8)
    counts = {"int8": 0, "float16": 0}
    for node in int8.graph.node:
        restored = [name in made_by and made_by[name].op_type == "DequantizeLinear" for name in node.input]
        if node.op_type in ("Conv", "ConvTranspose"):
            counts["int8" if restored[:2] == [True, True] else "float16"] += 1
            assert restored[:2] == [True, True] or "assignment" in node.input[1]
            if restored[0]:  # a float bias of the same type
                assert values[node.input[2]].dtype == np.float32
        elif node.op_type in DELICATE:
            assert not any(restored), node.name
    assert counts == {"int8": 65, "float16": 1}
    typed = onnx.shape_inference.infer_shapes(int8, strict_mode=True, data_prop=True).graph
    types = {value.name: value.type.tensor_type.elem_type for value in typed.value_info}
    for node in int8.graph.node:
        if node.op_type in DELICATE | {"MatMul", "Pow", "Exp"} and node.name not in search_products(int8.graph):
            assert all(types.get(name, TensorProto.FLOAT) != TensorProto.FLOAT16 for name in node.input), node.name


def test_pairs_are_symmetric_per_tensor_for_activations_and_per_channel_for_weights(int8):
    made_by, values = producers(int8), constants(int8)
    for node in int8.graph.node:
        if node.op_type == "QuantizeLinear":
            assert values[node.input[1]].shape == ()
            assert values[node.input[1]] > 0
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero = values[node.input[2]]
            assert zero.dtype == np.int8
            assert not zero.any()
        if node.op_type in ("Conv", "ConvTranspose", "MatMul") and node.input[1] in made_by:
            restoring = made_by[node.input[1]]
            if restoring.op_type != "DequantizeLinear":
                continue
            weight, steps = (values[name] for name in restoring.input[:2])
            axis = onnx.helper.get_attribute_value(restoring.attribute[0])
            assert axis == (0 if node.op_type == "Conv" else 1)
            assert steps.shape == (weight.shape[axis],)
            assert weight.dtype == np.int8
            assert weight.min() >= -127


def test_of_a_residual_addition_the_skipping_input_is_quantised(int8, graph):
    made_by = producers(int8)
    additions = [n for n in int8.graph.node if n.op_type == "Add" and any(".restored" in name for name in n.input)]
    assert len(additions) == 10  # six of the teacher, one of the bottleneck, three of the decoder
    for node in additions:
        assert {made_by[name].op_type for name in node.input} == {"DequantizeLinear", "Conv"}


def test_layers_kept_out_of_int8_are_fp16(graph, ranges):
    excluded = ["teacher.backbone.conv_stem", "student.decode_fine.enlarge"]
    model = to_int8(graph, ranges, excluded)
    layers, values = {layer.name: layer for layer in find_layers(graph)}, constants(model)
    for node in model.graph.node:
        for name in excluded:
            if node.name == layers[name].node:
                assert values[node.input[1]].dtype == np.float16
    assert graph_metadata(model)["not_int8"] == sorted(excluded)
    with pytest.raises(ExportError, match="no layer 'student.nothing'"):
        to_int8(graph, ranges, ["student.nothing"])


def test_a_tensor_without_range_is_named(graph, ranges):
    with pytest.raises(ExportError, match=r"tensor hardtanh has no range.*snl-edge calibrate"):
        to_int8(graph, {name: value for name, value in ranges.items() if name != "hardtanh"})


def test_onnxruntime_computes_the_same_with_and_without_its_optimisations(int8, pictures):
    """Its INT8 kernels, its float path, and what a device computes: FP16 pairs once gave three different answers."""
    level = onnxruntime.GraphOptimizationLevel
    found = []
    for optimisation in (level.ORT_DISABLE_ALL, level.ORT_ENABLE_BASIC, level.ORT_ENABLE_ALL):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = optimisation
        options.log_severity_level = 3
        found.append(scores(onnxruntime.InferenceSession(int8.SerializeToString(), options), pictures))
    device = scores(device_session(int8), pictures)
    for one in found:
        np.testing.assert_allclose(one, device, rtol=0.05)  # a step of INT8 here and there


def test_int8_is_near_fp32_and_a_clipped_range_is_not(graph, int8, ranges, pictures):
    exact = scores(device_session(graph), pictures)
    assert np.abs(scores(device_session(int8), pictures) / exact - 1).max() < 0.25
    clipped = to_int8(graph, {name: value / 20 for name, value in ranges.items()})
    assert np.abs(scores(device_session(clipped), pictures) / exact - 1).max() > 0.5


def test_a_quantised_convolution_is_integer_arithmetic(graph, ranges, pictures):
    """The first layer alone in INT8, against sums of integers in NumPy."""
    stem = find_layers(graph)[0]
    model = insert_pairs(graph, graph, place(graph, [stem]), ranges)
    node = next(n for n in model.graph.node if n.name == stem.node)
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in (stem.input, node.output[0])
    )
    pixels, found = (
        np.asarray(v) for v in device_session(model).run([stem.input, node.output[0]], {"images": pictures[:1]})
    )
    values = constants(graph)
    weight, steps = quantise(values[stem.weight], axis=0)
    step = np.float32(ranges[stem.input] / 127)
    integers = np.clip(np.rint(pixels / step), -127, 127).astype(np.int64)[0]
    padded = np.pad(integers, ((0, 0), (0, 1), (0, 1)))  # as the graph pads on the right and below
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2]
    sums = np.einsum("cyxij,ocij->oyx", windows, weight.astype(np.int64))
    expected = sums * (step * steps)[:, None, None] + values[node.input[2]][:, None, None]
    np.testing.assert_allclose(found[0], expected, atol=1e-4)


def test_the_gain_is_no_part_of_the_networks_identity(made, graph):
    checkpoint = made[0]
    other = checkpoint.score_scale.model_copy(update={"raw_threshold": 3.0})
    changed = with_score_scale(graph, other)
    assert network_sha256(changed) == network_sha256(graph)
    image = np.zeros((1, 64, 64, 3), np.uint8)
    before, after = (
        Prediction(*map(np.asarray, device_session(model).run(Prediction._fields, {"images": image})))
        for model in (graph, changed)
    )
    ratio = other.gain / checkpoint.score_scale.gain
    np.testing.assert_allclose(after.anomaly_map, ratio * before.anomaly_map, rtol=1e-5)
    np.testing.assert_allclose(after.score, ratio * before.score, rtol=1e-5)
    spoilt = onnx.ModelProto()
    spoilt.CopyFrom(graph)
    weight = next(t for t in spoilt.graph.initializer if t.name.endswith("head_fine.weight"))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 2, weight.name))
    assert network_sha256(spoilt) != network_sha256(graph)


def test_the_memory_is_stored_in_int8(int8, graph):
    values = constants(int8)
    name = "model.memory.kept"
    centres = constants(graph)[name]  # [N · K, C]
    assert values[f"{name}.int8"].dtype == np.int8
    assert values[f"{name}.step"].shape == (len(centres),)  # of each centre
    assert not any(other.startswith(name) and value.dtype == np.float16 for other, value in values.items())
    restored = restore(values[f"{name}.int8"], values[f"{name}.step"], axis=0)
    assert np.all(np.abs(restored - centres) <= 0.501 * values[f"{name}.step"][:, None])


class Remembering(torch.nn.Module):
    """A memory alone, under the name that it has in a model."""

    def __init__(self, memory: MemoryBank) -> None:
        super().__init__()
        self.memory = memory

    def forward(self, fine, middle, coarse, product):
        return self.memory([fine, middle, coarse], product).distances[0]


@pytest.mark.parametrize(
    "settings", [{}, {"shared": True}, {"dimensions": 8}, {"search": 16}, {"shared": True, "search": 8, "finalists": 4}]
)
def test_int8_centres_give_the_distances_to_themselves(settings):
    torch.manual_seed(0)
    memory = MemoryBank([3, 8, 8], MemoryConfig(centres=16, **settings), 3).eval()
    memory.set_centres(5 * torch.randn(1, *memory.owners.shape, 16), memory.owners)
    features = [torch.randn(2, channels, side, side) for channels, side in ((3, 16), (8, 8), (8, 4))]
    product = torch.tensor([2, 0], dtype=torch.int32)
    program = torch.onnx.export(Remembering(memory).eval(), (*features, product), dynamo=True, opset_version=18)
    exported, _ = onnxsim.simplify(program.model_proto)
    model = with_int8_memory(exported)
    values = constants(model)
    (stored,) = [value for value in values.values() if value.dtype == np.int8 and value.any()]
    steps = next(value for key, value in values.items() if key.endswith("memory.kept.step"))
    memory.kept.copy_(torch.from_numpy(restore(stored, steps, axis=0)))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    fed = dict(zip([one.name for one in session.get_inputs()], [f.numpy() for f in [*features, product]], strict=True))
    np.testing.assert_allclose(session.run(None, fed)[0], memory(features, product).distances[0].numpy(), atol=1e-4)


def test_tensorrt_rtx_builds_the_int8_engine_without_a_gpu(graph, int8, tmp_path):
    pytest.importorskip("tensorrt_rtx", reason="needs TensorRT-RTX: pip install tensorrt-rtx-cu13")
    sizes, layers = {}, {}
    for name, model in (("fp32", graph), ("int8", int8)):
        engine = tmp_path / f"{name}.engine"
        record = build_engine(
            save_graph(model, tmp_path / f"{name}.onnx"),
            engine,
            precision=name,
            flavour="tensorrt_rtx",
            max_batch=2,
            compute_capabilities=["8.6"],
        )
        sizes[name], layers[name] = engine.stat().st_size, record.layers
    assert layers["int8"]["convolution int8"] == 62
    assert layers["int8"]["deconvolution int8"] == 3
    assert layers["int8"]["convolution float16"] == 1  # CRAM's assignment
    assert layers["int8"]["matrix multiply float16"] == 6  # the memory's search, twice for each descriptor
    assert layers["int8"]["matrix multiply float32"] == layers["fp32"]["matrix multiply float32"] - 6
    # In so small a model much of it is the search's keys, which stay FP16.
    assert sizes["int8"] <= 0.55 * sizes["fp32"]


def test_typed_graphs_that_resize_the_cameras_frame_become_engines(made, int8, tmp_path):
    pytest.importorskip("tensorrt_rtx", reason="needs TensorRT-RTX: pip install tensorrt-rtx-cu13")
    frame = FrameSpec(height=256, width=320, colours="bgr")
    for precision, typed in (("fp16", made[1]["fp16"]), ("int8", int8)):
        record = build_engine(
            save_graph(with_frame(typed, frame), tmp_path / f"{precision}.onnx"),
            tmp_path / f"{precision}.engine",
            precision=precision,
            flavour="tensorrt_rtx",
            max_batch=2,
            compute_capabilities=["8.6"],
        )
        assert record.layers[f"convolution {'float16' if precision == 'fp16' else 'int8'}"] >= 50
