"""The fused graph: its contract, its types, its agreement with PyTorch in every runtime, and what is refused."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import search_products
from onnx import TensorProto, helper, numpy_helper

from snl_edge.contract.graph import Prediction
from snl_edge.data.layouts import open_dataset
from snl_edge.errors import EngineError, ExportError
from snl_edge.export.engine import build_engine
from snl_edge.export.graphs import make_graphs
from snl_edge.export.onnx_graph import export_onnx, graph_metadata, read_graph, save_graph
from snl_edge.export.parity import measure_parity, parity_images, run_graph, run_pytorch
from snl_edge.export.precision import CONVOLUTIONS, to_fp16
from snl_edge.export.rounding import simulate_fp16
from snl_edge.image import fit_to_input, read_image
from snl_edge.model.config import CramConfig, MemoryConfig, SnlConfig, StudentConfig, TeacherConfig
from snl_edge.model.fused_graph import FusedGraph
from snl_edge.model.snl import Snl
from snl_edge.scoring.scale import ScoreScale
from snl_edge.training.checkpoint import load_model
from snl_edge.training.reference import load_reference

DELICATE = {"Softmax", "MatMul", "ReduceSum", "ReduceMax", "Sqrt", "Reciprocal", "Div", "Sub", "Pow"}


@pytest.fixture(scope="module")
def graphs(run) -> dict[str, onnx.ModelProto]:
    return make_graphs(run, "fp16")[1]


@pytest.fixture(scope="module")
def pictures(line) -> np.ndarray:
    """Test images of the line, good and defective."""
    return np.stack([fit_to_input(read_image(sample.path), (64, 64)) for sample in open_dataset(line).test])


def agrees(found: Prediction, expected: Prediction) -> None:
    np.testing.assert_allclose(found.anomaly_map, expected.anomaly_map, atol=1e-4)
    np.testing.assert_allclose(found.score, expected.score, atol=1e-4)
    np.testing.assert_array_equal(found.product, expected.product)
    np.testing.assert_allclose(found.product_distance, expected.product_distance, rtol=1e-3)


@pytest.fixture(scope="module")
def expected(run, pictures):
    model, checkpoint = load_model(run)
    return run_pytorch(FusedGraph(model, checkpoint.score_scale.gain).eval(), pictures)


def test_contract_of_inputs_and_outputs(graphs):
    for graph in graphs.values():
        session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
        (images,) = session.get_inputs()
        assert (images.name, images.type, images.shape) == ("images", "tensor(uint8)", ["batch", 64, 64, 3])
        outputs = {o.name: (o.type, o.shape) for o in session.get_outputs()}
        assert outputs == {
            "anomaly_map": ("tensor(float)", ["batch", 64, 64]),
            "score": ("tensor(float)", ["batch"]),
            "product": ("tensor(int32)", ["batch"]),
            "product_distance": ("tensor(float)", ["batch"]),
        }


def test_any_batch_gives_the_same_answers(graphs, pictures):
    session = onnxruntime.InferenceSession(graphs["fp32"].SerializeToString(), providers=["CPUExecutionProvider"])
    whole = session.run(None, {"images": pictures})
    for size in (1, 3):
        parts = [session.run(None, {"images": pictures[i : i + size]}) for i in range(0, len(pictures), size)]
        for index, output in enumerate(whole):
            found = np.concatenate([part[index] for part in parts])
            np.testing.assert_allclose(found, output, atol=1e-5, rtol=1e-4)


def test_fp32_agrees_with_pytorch_in_onnxruntime_and_openvino(graphs, pictures, expected, tmp_path):
    agrees(run_graph(graphs["fp32"], pictures), expected)
    pytest.importorskip("openvino")
    from snl_edge.runtime.openvino_backend import process_core

    path = save_graph(graphs["fp32"], tmp_path / "fp32.onnx")
    core = process_core()
    compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    result = compiled(pictures)
    agrees(Prediction(*(result[name] for name in Prediction._fields)), expected)


def test_fp16_scores_agree_and_flip_no_clear_verdict(graphs, pictures, expected):
    found = run_graph(graphs["fp16"], pictures)
    scores = found.score
    difference = np.abs(scores - expected.score)
    assert difference.max() < 5e-3
    assert difference.max() > 1e-6  # the simulation does round
    clear = np.abs(expected.score - 0.5) > 5e-3
    assert ((scores > 0.5) == (expected.score > 0.5))[clear].all()
    np.testing.assert_array_equal(found.product, expected.product)
    np.testing.assert_allclose(found.product_distance, expected.product_distance, rtol=2e-2, atol=2e-2)


def test_fp16_graph_types_are_explicit(graphs):
    typed = onnx.shape_inference.infer_shapes(graphs["fp16"], strict_mode=True, data_prop=True).graph
    types = {value.name: value.type.tensor_type.elem_type for value in typed.value_info}
    types |= {tensor.name: tensor.data_type for tensor in typed.initializer}
    dims = {tensor.name: list(tensor.dims) for tensor in typed.initializer}
    search = search_products(typed)
    for node in typed.node:
        kinds = {types[name] for name in node.input if name in types}
        if node.op_type in CONVOLUTIONS:
            assert kinds == {TensorProto.FLOAT16}, node.name
        elif node.op_type in DELICATE and node.name not in search:
            assert TensorProto.FLOAT16 not in kinds, node.name
    looked_up = {node.input[0] for node in typed.node if node.op_type == "Gather" and len(dims[node.input[0]]) > 1}
    (usual,) = [name for name in looked_up if dims[name] == [2, 2]]  # what good parts rarely exceed
    assert types[usual] == TensorProto.FLOAT
    looked_up.remove(usual)
    assert len(looked_up) == 5  # the search's directions, shift and keys, the centres and what is expected there
    assert {types[name] for name in looked_up} == {TensorProto.FLOAT16}
    assert graphs["fp16"].ByteSize() < 0.55 * graphs["fp32"].ByteSize()


def test_the_memory_searches_in_fp16_and_its_distances_are_fp32(graphs):
    typed = onnx.shape_inference.infer_shapes(graphs["fp16"], strict_mode=True, data_prop=True).graph
    types = {value.name: value.type.tensor_type.elem_type for value in typed.value_info}
    makers = {name: node for node in typed.node for name in node.output}
    places = Counter(types[node.input[0]] for node in typed.node if node.op_type == "TopK")
    assert places == {TensorProto.FLOAT16: 3, TensorProto.FLOAT: 1}  # of each descriptor; the nearest of the finalists
    assert len(search_products(typed)) == 6  # the projection, and the search itself
    looked_up = [node for node in typed.node if node.op_type == "Gather" and node.input[0].endswith("kept.fp16")]
    assert len(looked_up) == 3
    for centres in looked_up:
        (cast,) = [node for node in typed.node if centres.output[0] in node.input]
        (difference,) = [node for node in typed.node if cast.output[0] in node.input]
        assert (cast.op_type, difference.op_type) == ("Cast", "Sub")
        assert all(types[name] == TensorProto.FLOAT for name in difference.input)
        assert makers[difference.input[0]].op_type != "Cast"  # what was never rounded


def test_openvino_reads_bf16_for_fp16_and_leaves_what_is_delicate(graphs, pictures, expected, tmp_path):
    openvino = pytest.importorskip("openvino")
    from snl_edge.runtime.openvino_backend import OpenVinoBackend, emulates, half_as_bf16, process_core

    path = save_graph(graphs["fp16"], tmp_path / "fp16.onnx")
    model = process_core().read_model(path)
    half_as_bf16(model, search_alone=True)  # as of an INT8 graph, whose excluded layers are FP16
    narrow = [node for node in model.get_ordered_ops() if node.get_output_element_type(0) == openvino.Type.bf16]
    assert sum(node.get_type_name() == "MatMul" for node in narrow) == 6
    assert not any("Conv" in node.get_type_name() and node.get_type_name() != "Convert" for node in narrow)
    half_as_bf16(model)
    types = {
        node.get_friendly_name(): {value.get_element_type() for value in node.input_values()}
        for node in model.get_ordered_ops()
        if node.get_type_name() in ("Convolution", "GroupConvolution", "MatMul", "SoftMax", "ReduceMax")
    }
    convolutions = [kinds for name, kinds in types.items() if "conv" in name.lower()]
    assert len(convolutions) > 20
    assert all(kinds == {openvino.Type.bf16} for kinds in convolutions)
    others = [kinds for kinds in types.values() if openvino.Type.bf16 not in kinds]
    assert len(others) > 5
    assert all(openvino.Type.f16 not in kinds for kinds in types.values())
    if missing := emulates("bf16"):
        pytest.skip(missing)
    backend = OpenVinoBackend(path, "bf16", 1)
    scores = np.array([float(backend.infer(image[None]).score[0]) for image in pictures])
    apart = np.abs(scores / expected.score - 1)
    # BF16 keeps three digits. A hardly trained model has pictures that lie on the edge between two centres.
    assert apart.max() > 1e-4
    assert np.median(apart) < 0.02
    assert apart.max() < 0.1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"opt_batch": 16}, "make no profile"), ({"compute_capabilities": ("1.0",)}, "cannot build for")],
)
def test_what_no_engine_can_be_is_refused_before_a_bundle_is_replaced(run, tmp_path, wrong, says):
    from snl_edge.bundling.build import build

    options = {"flavour": "tensorrt_rtx", "compute_capabilities": ("8.9",), "max_batch": 8, **wrong}
    with pytest.raises(EngineError, match=says):
        build(run, tmp_path / "bundle", "fp16", **options)
    assert not list(tmp_path.iterdir())


def test_graph_carries_its_description(graphs, run):
    for precision, graph in graphs.items():
        metadata = graph_metadata(graph)
        assert metadata["precision"] == precision
        assert len(metadata["products"]) == 2
        assert metadata["calibration"]["raw_threshold"] == load_model(run)[1].score_scale.raw_threshold
        assert metadata["model"]["teacher"]["architecture"] == "tf_efficientnet_lite0"


def test_threshold_stands_at_one_half(run, line, expected):
    """Held-out good images set the threshold, so on the score scale their scores end at or below 0.5."""
    model, checkpoint = load_model(run)
    fused = FusedGraph(model, checkpoint.score_scale.gain).eval()
    raw = run_pytorch(FusedGraph(model, 1.0).eval(), load_reference(run)).score
    np.testing.assert_allclose(
        run_pytorch(fused, load_reference(run)).score,
        raw * 0.5 / checkpoint.score_scale.raw_threshold,
        rtol=2 * np.finfo(np.float32).eps,  # one factor here, two there
    )
    assert run_pytorch(fused, load_reference(run)).score.max() <= 0.5 + 1e-6


def test_recognition_stays_fp32_in_the_fp16_graph(graphs, run):
    weights = load_model(run)[0].recognition
    kept = {t.name: numpy_helper.to_array(t) for t in graphs["fp16"].graph.initializer if "recognition" in t.name}
    for name in ("prototypes", "limits", "transform"):
        (value,) = [value for key, value in kept.items() if key.endswith(name)]
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, getattr(weights, name).numpy())


def test_a_graph_that_takes_products_for_others_is_refused(graphs, run):
    model, checkpoint = load_model(run)
    images = parity_images(load_reference(run))
    reference = run_pytorch(FusedGraph(model, checkpoint.score_scale.gain).eval(), images)
    spoilt = onnx.ModelProto()
    spoilt.CopyFrom(graphs["fp32"])
    (limits,) = [t for t in spoilt.graph.initializer if t.name.endswith("recognition.limits")]
    limits.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(limits) * 1.01, limits.name))
    with pytest.raises(ExportError, match="fp32 graph disagrees with PyTorch.*product distance"):
        measure_parity("fp32", spoilt, images, reference)


def test_an_fp16_graph_is_refused_for_what_changes_not_for_a_distance_alone(graphs, run):
    model, checkpoint = load_model(run)
    images = parity_images(load_reference(run))
    reference = run_pytorch(FusedGraph(model, checkpoint.score_scale.gain).eval(), images)
    assert not measure_parity("fp16", graphs["fp16"], images, reference).doubt

    def with_limits(factor: float) -> onnx.ModelProto:
        spoilt = onnx.ModelProto()
        spoilt.CopyFrom(graphs["fp16"])
        (limits,) = [t for t in spoilt.graph.initializer if t.name.endswith("recognition.limits")]
        limits.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(limits) * np.float32(factor), limits.name))
        return spoilt

    parity = measure_parity("fp16", with_limits(0.9), images, reference)
    assert parity.doubt.startswith("product distances of the fp16 graph differ by up to 0.")
    with pytest.raises(ExportError, match="fp16 graph disagrees.*taken for another product, or for unknown"):
        measure_parity("fp16", with_limits(0.01), images, reference)
    with pytest.raises(ExportError, match="fp16 graph disagrees"):
        measure_parity("fp16", with_limits(np.nan), images, reference)


def test_a_graph_that_computes_something_else_is_refused(graphs, run):
    model, checkpoint = load_model(run)
    images = parity_images(load_reference(run))
    reference = run_pytorch(FusedGraph(model, checkpoint.score_scale.gain).eval(), images)
    spoilt = onnx.ModelProto()
    spoilt.CopyFrom(graphs["fp32"])
    weight = max(
        (t for t in spoilt.graph.initializer if t.data_type == TensorProto.FLOAT), key=lambda t: len(t.raw_data)
    )
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 1.05, weight.name))
    with pytest.raises(ExportError, match="fp32 graph disagrees with PyTorch"):
        measure_parity("fp32", spoilt, images, reference)


def small_graph(*nodes: onnx.NodeProto, constants: dict[str, np.ndarray]) -> onnx.ModelProto:
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 4, 4, 3])
    outputs = [
        helper.make_tensor_value_info("anomaly_map", TensorProto.FLOAT, ["batch", 4, 4]),
        helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch"]),
        helper.make_tensor_value_info("product", TensorProto.INT32, ["batch"]),
        helper.make_tensor_value_info("product_distance", TensorProto.FLOAT, ["batch"]),
    ]
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(list(nodes), "small", [images], outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def convolution_graph(weight: float) -> onnx.ModelProto:
    return small_graph(
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["nchw", "w"], ["features"], kernel_shape=[1, 1]),
        helper.make_node("Sigmoid", ["features"], ["gate"]),
        helper.make_node("Mul", ["features", "gate"], ["gated"]),
        helper.make_node("Mul", ["features", "gated"], ["distance"]),
        helper.make_node("ReduceSum", ["distance", "channel"], ["anomaly_map"], keepdims=0),
        helper.make_node("ReduceMax", ["anomaly_map", "pixels"], ["score"], keepdims=0),
        helper.make_node("Identity", ["score"], ["product_distance"]),
        helper.make_node("Cast", ["score"], ["product"], to=TensorProto.INT32),
        constants={
            "w": np.full((2, 3, 1, 1), weight, np.float32),
            "channel": np.array([1], np.int64),
            "pixels": np.array([1, 2], np.int64),
        },
    )


def test_gates_follow_convolutions_but_distances_do_not():
    half = to_fp16(convolution_graph(0.01))
    producers = {node.output[0]: node for node in half.graph.node}
    assert producers["gated"].input[:] == ["features", "gate"]  # read as FP16, no cast between
    assert producers["distance"].input[:] == ["features.fp32", "gated.fp32"]


def test_a_weight_too_large_for_fp16_is_refused():
    with pytest.raises(ExportError, match=r"weight w does not fit into FP16.*--precision fp32"):
        to_fp16(convolution_graph(1e6))


def test_simulated_rounding_is_that_of_fp16():
    half = to_fp16(convolution_graph(0.0123456))
    images = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3), dtype=np.uint8)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        simulate_fp16(half).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    simulated = session.run(["anomaly_map"], {"images": images})[0]
    weight = np.float16(0.0123456).astype(np.float32)
    features = (images.astype(np.float32).sum(-1) * weight).astype(np.float16).astype(np.float32)
    gate = (1 / (1 + np.exp(-features))).astype(np.float16).astype(np.float32)
    gated = (features * gate).astype(np.float16).astype(np.float32)
    np.testing.assert_allclose(simulated, 2 * features * gated, rtol=2e-3)


@pytest.mark.parametrize("content", [b"", b"not ONNX at all"])
def test_what_is_no_onnx_is_refused(tmp_path, content):
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ExportError, match=r"broken\.onnx"):
        read_graph(path)


def test_an_onnx_that_is_no_snl_graph_is_refused(tmp_path):
    node = helper.make_node("Relu", ["x"], ["y"])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in "xy"]
    path = tmp_path / "relu.onnx"
    onnx.save(helper.make_model(helper.make_graph([node], "g", values[:1], values[1:])), path)
    with pytest.raises(ExportError, match=r"relu\.onnx: this ONNX file is no SNL graph.*snl-edge export"):
        read_graph(path)


@pytest.mark.parametrize(
    ("architecture", "direction", "dimensions"),
    [("tf_efficientnet_lite0", "forward", None), ("resnet18", "reverse", 32), ("regnetx_002", "forward", None)],
)
def test_every_kind_of_model_becomes_an_fp16_engine(architecture, direction, dimensions, tmp_path):
    """Untrained weights: what counts is that graph, types and TensorRT fit each other."""
    pytest.importorskip("tensorrt_rtx", reason="needs TensorRT-RTX: pip install tensorrt-rtx-cu13")
    config = SnlConfig(
        height=64,
        width=96,
        teacher=TeacherConfig(architecture=architecture, standardise=True),
        student=StudentConfig(
            embedding=16, direction=direction, cram=CramConfig(centres=8, residual="mean", skip=True)
        ),
        memory=MemoryConfig(centres=64, dimensions=dimensions),
    )
    torch.manual_seed(0)
    model = Snl(config, pretrained=False).eval()
    channels = model.teacher.channels
    model.memory.set_centres(torch.randn(1, 1, 64, sum(channels[1:])), model.memory.owners)
    model.teacher.set_statistics([torch.zeros(c) for c in channels], [torch.full((c,), 0.5) for c in channels])
    score_scale = ScoreScale(raw_threshold=1.0, false_reject_budget=0.01, good_images=1, method="test")
    graph = export_onnx(model, score_scale, ("any",))
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    expected = run_pytorch(FusedGraph(model, score_scale.gain).eval(), images)
    measure_parity("fp32", graph, images, expected)
    half = to_fp16(graph)
    measure_parity("fp16", half, images, expected)
    record = build_engine(
        save_graph(half, tmp_path / "model.onnx"),
        tmp_path / "model.engine",
        precision="fp16",
        flavour="tensorrt_rtx",
        max_batch=2,
        compute_capabilities=["8.6"],
    )
    assert record.layers["convolution float16"] > 10
    assert "convolution float32" not in record.layers


def test_a_place_may_differ_as_fp16_may_where_patches_are_equally_near_and_a_map_may_not(graphs, pictures, expected):
    def moved(rows: int, by: float) -> Prediction:
        maps = expected.anomaly_map.copy()
        maps[1, :rows, :8] += by
        return expected._replace(anomaly_map=maps)

    parity = measure_parity("fp32", graphs["fp32"], pictures, moved(rows=16, by=2e-3))  # 128 of 4,096 pixels
    assert parity.map_share == pytest.approx(1 / 32)
    assert parity.map_difference == pytest.approx(2e-3, rel=0.1)
    for rows, by, words in ((64, 2e-3, "12.5%"), (16, 6e-3, "0.006"), (16, np.nan, "nan")):
        with pytest.raises(ExportError, match=words):
            measure_parity("fp32", graphs["fp32"], pictures, moved(rows, by))
