"""The table of backends, the choice among them, and what is said where one is missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from contract_graph import contract_images, write_contract_bundle

from snl_edge.errors import BackendError, BundleError, ConfigError, EngineError
from snl_edge.runtime.backend import BACKENDS, backend_kind
from snl_edge.runtime.bundle import Bundle
from snl_edge.runtime.bundle_writer import write_bundle
from snl_edge.runtime.detector import Detector
from snl_edge.runtime.gpu import Gpu, gpu, present_gpus
from snl_edge.runtime.manifest import BundleContent
from snl_edge.runtime.tensorrt_flavour import UNFIT, load_flavour

without_gpu = pytest.mark.skipif(bool(present_gpus()), reason="there is a GPU")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backends") / "line"
    write_contract_bundle(folder)
    return folder


def _bundle_of(graph: Path, folder: Path) -> Path:
    made = write_contract_bundle(folder / "made").manifest
    said = BundleContent(name="x", input=made.input, products=made.products, score_scale=made.score_scale)
    return write_bundle(folder / "line", {"fp32": graph}, said).path


def test_every_row_says_what_it_found() -> None:
    for kind in BACKENDS:
        found = kind.probe()
        assert found.reason
        assert "\n" not in found.reason
        assert kind.install
    assert backend_kind("onnxruntime").probe().available


@without_gpu
@pytest.mark.parametrize("name", ["tensorrt", "tensorrt_rtx"])
def test_gpu_backend_without_gpu_is_refused_not_replaced(folder: Path, name: str) -> None:
    with pytest.raises(BackendError, match=rf"backend {name} is not available: there is no NVIDIA GPU.*pip install"):
        Detector.load(folder, backend=name)


@without_gpu
def test_driver_missing_is_an_error_with_a_remedy() -> None:
    with pytest.raises(EngineError, match=r"no NVIDIA GPU.*driver"):
        gpu(0)


@pytest.mark.parametrize("present", [False, True])
def test_auto_says_what_it_took_and_why_not_the_faster(
    present: bool, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    for address, vendor, kind in (("01:00.0", "0x10de" if present else "0x1002", "0x030200"), ("02:00.0", "?", "?")):
        (tmp_path / address).mkdir()
        (tmp_path / address / "vendor").write_text(f"{vendor}\n")
        (tmp_path / address / "class").write_text(f"{kind}\n")
    monkeypatch.setattr("snl_edge.runtime.gpu.present_gpus", tuple)
    monkeypatch.setattr("snl_edge.runtime.gpu._DEVICE_TREE", tmp_path / "compatible")
    monkeypatch.setattr("snl_edge.runtime.gpu._PCI", tmp_path)
    with Detector.load(folder) as detector:
        assert detector.backend.name == "openvino"
        assert detector.backend_reason.startswith("OpenVINO 20")
        # Where a GPU is there and not used, why; else there is nothing to tell.
        assert ("; not TensorRT: " in detector.backend_reason) == present
        assert ("; not TensorRT-RTX: " in detector.backend_reason) == present
        assert present or detector.backend_reason == detector.backend.description
        assert "fp32" in detector.backend.description


def test_auto_computes_on_a_cpu_in_what_passed_the_gate_there(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    made = Bundle.open(folder)
    graph = made.graph("fp32")
    lacking = {"bf16": "", "int8": ""}
    monkeypatch.setattr("snl_edge.runtime.openvino_backend.emulates", lambda precision: lacking.get(precision, ""))

    def taken(passed: dict[str, list[str]]) -> str:
        bundle = write_bundle(
            tmp_path / "line",
            {"fp32": graph, "bf16": graph, "int8": graph},
            BundleContent.checked(
                name="x",
                input=made.manifest.input,
                products=made.manifest.products,
                score_scale=made.manifest.score_scale,
                gates={gate: {"failures": failures} for gate, failures in passed.items()},
            ),
        )
        assert set(bundle.manifest.graphs.values()) == {"fp32.onnx"}  # what is shared is stored once
        with Detector.load(bundle.path) as detector:
            return detector.backend.precision

    assert taken({}) == "fp32"
    assert taken({"int8": []}) == "fp32"  # as TensorRT computes it
    assert taken({"openvino_bf16": [], "openvino_int8": ["3 of 9 verdicts flip"]}) == "bf16"
    assert taken({"openvino_bf16": [], "openvino_int8": []}) == "int8"
    lacking["int8"] = "no VNNI instructions here"
    assert taken({"openvino_bf16": [], "openvino_int8": []}) == "bf16"
    lacking["bf16"] = "no BF16 instructions here"
    assert taken({"openvino_bf16": [], "openvino_int8": []}) == "fp32"
    with Detector.load(tmp_path / "line", backend="openvino", precision="bf16") as detector:
        assert "bf16 computed in fp32 (no BF16 instructions here)" in detector.backend.description
    with pytest.raises(BackendError, match="onnxruntime has nothing to run: ONNX Runtime does not compute in bf16"):
        Detector.load(tmp_path / "line", backend="onnxruntime", precision="bf16")


def test_auto_goes_on_where_openvino_is_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with Detector.load(folder) as detector:
        assert detector.backend.name == "onnxruntime"
        assert "; not OpenVINO: import openvino failed" in detector.backend_reason


def test_asked_for_and_missing_names_the_remedy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BackendError, match=r'openvino is not available.*pip install "snl-edge\[openvino\]"'):
        Detector.load(folder, backend="openvino")


def test_what_does_not_exist_is_refused(folder: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"unknown backend 'cuda'.*auto, tensorrt, tensorrt_rtx, openvino, onnxruntime"
    ):
        Detector.load(folder, backend="cuda")
    with pytest.raises(ConfigError, match=r"unknown precision 'fp8'.*auto, fp32, fp16, bf16, int8"):
        Detector.load(folder, backend="onnxruntime", precision="fp8")
    with pytest.raises(BundleError, match="no int8 graph"):
        Detector.load(folder, backend="onnxruntime", precision="int8")
    with pytest.raises(ConfigError, match="0 threads"):
        Detector.load(folder, backend="onnxruntime", threads=0)


@pytest.mark.parametrize(("backend", "title"), [("onnxruntime", "ONNX Runtime"), ("openvino", "OpenVINO")])
def test_graph_that_cannot_be_read_is_named(tmp_path: Path, backend: str, title: str) -> None:
    pytest.importorskip(backend)
    graph = tmp_path / "graph.onnx"
    graph.write_bytes(b"no graph at all")
    folder = _bundle_of(graph, tmp_path)
    with pytest.raises(EngineError, match=rf"{title} refuses {folder}/fp32\.onnx") as caught:
        Detector.load(folder, backend=backend)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_a_choice(folder: Path, backend: str, threads: int) -> None:
    pytest.importorskip(backend)
    with Detector.load(folder, backend=backend, threads=threads) as detector:
        assert detector.predict(contract_images(1)).score.shape == (1,)


def test_engine_of_another_version_or_gpu_does_not_fit(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    from snl_edge.export.engine import build_bundle_engine
    from snl_edge.runtime.bundle import Bundle

    bundle = write_contract_bundle(tmp_path / "line")
    record = build_bundle_engine(bundle, precision="fp16", flavour="tensorrt_rtx", compute_capabilities=("8.6", "8.9"))
    flavour = load_flavour("tensorrt_rtx")
    ampere, turing = (Gpu(0, name, cc, 8 << 30) for name, cc in (("RTX A2000", "8.6"), ("T4", "7.5")))
    assert flavour.misfit(record, ampere) is None
    assert flavour.misfit(record, turing) == "it was built for compute capability 8.6, 8.9, and T4 has 7.5"
    side = bundle.engine_path(record).with_suffix(".json")
    side.write_text(json.dumps({**record.model_dump(mode="json"), "version": "1.0.0"}))
    (edited,) = Bundle.open(tmp_path / "line").engines()
    reason = flavour.misfit(edited, ampere)
    assert reason == f"it was built with TensorRT-RTX 1.0.0, and {flavour.version} is installed"
    classic = record.model_copy(update={"flavour": "tensorrt"})
    assert str(flavour.misfit(classic, ampere)).startswith("it was built with TensorRT, and this is TensorRT-RTX")


def test_versions_known_to_be_wrong_have_a_reason() -> None:
    assert {unfit.version for unfit in UNFIT} >= {"10.2", "11.1"}
    assert all(unfit.reason for unfit in UNFIT)


def test_flavour_that_is_missing_says_what_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    from snl_edge.runtime import tensorrt_flavour

    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    tensorrt_flavour._import.cache_clear()
    try:
        with pytest.raises(EngineError, match=r"import tensorrt failed.*import tensorrt_rtx failed") as caught:
            load_flavour()
    finally:
        tensorrt_flavour._import.cache_clear()
    assert "JetPack" in str(caught.value)
    assert 'pip install "snl-edge[rtx]"' in str(caught.value)
