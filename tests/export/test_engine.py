"""Building engines with the real TensorRT-RTX builder, which needs no GPU."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Literal

import onnx
import pytest
from contract_graph import contract_model, write_contract_bundle, write_contract_graph
from onnx import TensorProto, helper

from snl_edge.errors import EngineError, OutputError
from snl_edge.runtime.engine_record import read_engine, read_record, side_file
from snl_edge.runtime.gpu import present_gpus
from snl_edge.runtime.tensorrt_flavour import load_flavour

pytest.importorskip("tensorrt_rtx")
from snl_edge.export.engine import build_bundle_engine, build_engine


def _build(graph: Path, precision: Literal["fp32", "fp16"] = "fp32", **options):
    target = graph.parent / "engines" / f"{graph.stem}.engine"
    defaults = {"max_batch": 4, "flavour": "tensorrt_rtx", "compute_capabilities": ("8.6", "8.9")}
    return build_engine(graph, target, precision=precision, **{**defaults, **options}), target


def _save(model: onnx.ModelProto, folder: Path) -> Path:
    onnx.save(model, folder / "graph.onnx")
    return folder / "graph.onnx"


@pytest.mark.parametrize(("precision", "kind"), [("fp32", "float32"), ("fp16", "float16")])
def test_engine_is_built_and_described(tmp_path: Path, precision: Literal["fp32", "fp16"], kind: str) -> None:
    graph = write_contract_graph(tmp_path / "graph.onnx", precision)
    record, engine = _build(graph, precision)
    assert record.layers == {f"convolution {kind}": 2}
    assert record.compute_capabilities == ("8.6", "8.9")
    assert [(own.min, own.opt, own.max) for own in record.profiles] == [(1, 1, 4)]
    assert record.onnx_sha256 == hashlib.sha256(graph.read_bytes()).hexdigest()
    assert record.version == load_flavour("tensorrt_rtx").version
    assert read_record(side_file(engine)) == record
    content = read_engine(engine, record)
    assert record.packed
    assert engine.stat().st_size < len(content)
    assert gzip.decompress(engine.read_bytes()) == content
    assert sorted(path.name for path in engine.parent.iterdir()) == ["graph.engine", "graph.json"]


def test_bundle_gets_its_engine(tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line", max_batch=6)
    steps: list[tuple[int, int, str]] = []
    record = build_bundle_engine(
        bundle,
        precision="fp16",
        flavour="tensorrt_rtx",
        compute_capabilities=("8.9",),
        progress=lambda done, total, phase: steps.append((done, total, phase)),
    )
    assert record.file == "tensorrt_rtx-fp16-sm89.engine"
    assert record.max_batch == 6
    assert record.onnx_sha256 == bundle.graph_sha256("fp16")
    assert bundle.engines() == [record]
    assert steps
    assert steps[-1][0] == steps[-1][1]


@pytest.mark.skipif(bool(present_gpus()), reason="with a GPU the engine is for that one")
def test_without_gpu_the_engine_is_for_all_listed_from_ampere_on(tmp_path: Path) -> None:
    record, _ = _build(write_contract_graph(tmp_path / "graph.onnx"), compute_capabilities=None)
    assert {"8.6", "8.9", "12.0"} <= set(record.compute_capabilities)
    assert "7.5" not in record.compute_capabilities
    assert record.gpu is None


def test_building_needs_neither_torch_nor_onnx(tmp_path: Path) -> None:
    write_contract_bundle(tmp_path / "line")
    program = """
import sys
for name in ("torch", "timm", "onnx", "onnxsim", "safetensors", "matplotlib", "openvino", "onnxruntime"):
    sys.modules[name] = None
from pathlib import Path
from snl_edge.export.engine import build_bundle_engine
from snl_edge.runtime.bundle import Bundle
bundle = Bundle.open(Path(sys.argv[1]))
build_bundle_engine(bundle, precision="fp32", flavour="tensorrt_rtx", compute_capabilities=("8.6",))
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "line")], check=True, timeout=60)
    assert (tmp_path / "line" / "engines" / "tensorrt_rtx-fp32-sm86.engine").stat().st_size > 0


def test_transpose_of_uint8_is_refused_with_node_and_reason(tmp_path: Path) -> None:
    model = contract_model()
    cast, transpose = model.graph.node[0], model.graph.node[1]
    transpose.name = "to_planes"
    transpose.input[0], transpose.output[0] = "images", "bytes"
    cast.input[0], cast.output[0] = "bytes", "planes"
    del model.graph.node[:2]
    model.graph.node.insert(0, cast)
    model.graph.node.insert(0, transpose)
    onnx.checker.check_model(model, full_check=True)
    says = r"refuses .*graph\.onnx: Transpose node 'to_planes': .*UInt8 but must have type.*Export the model again"
    with pytest.raises(EngineError, match=says) as caught:
        _build(_save(model, tmp_path))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "engines").exists()


def test_clash_of_types_is_refused_with_node_and_reason(tmp_path: Path) -> None:
    model = contract_model("fp16")
    entry = next(node for node in model.graph.node if node.output[0] == "entry")
    first = next(node for node in model.graph.node if node.name == "first_conv")
    first.input[0] = entry.input[0]
    model.graph.node.remove(entry)
    says = r"Conv node 'first_conv': .*`input` type is Float but `kernel` is of type Half\. Export the model again"
    with pytest.raises(EngineError, match=says):
        _build(_save(model, tmp_path), "fp16")


def test_unknown_operator_is_refused_with_node_and_reason(tmp_path: Path) -> None:
    model = contract_model()
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    relu.op_type, relu.name, relu.domain = "Frobnicate", "odd_one", "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(EngineError, match=r"Frobnicate node 'odd_one': .*OpenVINO or ONNX Runtime"):
        _build(_save(model, tmp_path))


def test_graph_with_other_inputs_is_no_snl_graph(tmp_path: Path) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "other", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    with pytest.raises(EngineError, match=r"graph\.onnx is no SNL graph: .*x float of rank 2, y float of rank 2"):
        _build(_save(model, tmp_path))


def test_fixed_batch_is_no_snl_graph(tmp_path: Path) -> None:
    model = contract_model()
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(EngineError, match=r"its images are \[1, 24, 40, 3\]"):
        _build(_save(model, tmp_path))


@pytest.mark.parametrize(("graph", "asked"), [("fp32", "fp16"), ("fp16", "fp32")])
def test_precision_is_checked_against_the_graph(
    tmp_path: Path, graph: Literal["fp32", "fp16"], asked: Literal["fp32", "fp16"]
) -> None:
    with pytest.raises(EngineError, match=rf"is no {asked} graph: it has 2 × convolution"):
        _build(write_contract_graph(tmp_path / "graph.onnx", graph), asked)


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_file_that_is_no_onnx_is_refused(tmp_path: Path, content: bytes | None) -> None:
    graph = tmp_path / "graph.onnx"
    whole = contract_model().SerializeToString()
    graph.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(EngineError, match=r"graph\.onnx is no (ONNX|SNL) graph") as caught:
        _build(graph)
    assert "\n" not in str(caught.value)


def test_missing_graph_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"cannot read .*none\.onnx: No such file"):
        _build(tmp_path / "none.onnx")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"compute_capabilities": ("8.7",)}, r"cannot build for compute capability 8\.7: it lists 7\.5"),
        ({"max_batch": 0}, "make no profile"),
        ({"opt_batch": 8}, "make no profile"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, options: dict, says: str) -> None:
    with pytest.raises(EngineError, match=says):
        _build(write_contract_graph(tmp_path / "graph.onnx"), **options)


def test_timing_cache_is_refused_where_it_has_no_use(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no use for a timing cache"):
        _build(write_contract_graph(tmp_path / "graph.onnx"), timing_cache=tmp_path / "timings")


def test_workspace_can_be_limited(tmp_path: Path) -> None:
    record, _ = _build(write_contract_graph(tmp_path / "graph.onnx"), workspace_bytes=256 << 20)
    assert record.layers


def test_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "engines").write_text("in the way")
    with pytest.raises(OutputError, match=r"cannot write .*graph\.engine"):
        _build(write_contract_graph(tmp_path / "graph.onnx"))
