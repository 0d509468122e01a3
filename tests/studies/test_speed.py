"""Side by side with peers: workers, ratios, tables; the figures themselves are measured elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from contract_graph import HEIGHT, WIDTH, write_contract_bundle, write_contract_graph

from snl_edge.benchmarks.contender import Contender
from snl_edge.benchmarks.detector_subject import DetectorSpec
from snl_edge.errors import BundleError, ConfigError, ExportError, SnlEdgeError
from studies.result_files import read_results, save_result
from studies.speed.beside_peers import choose_groups, group_figures, make_specs, teacher_specs
from studies.speed.edge_install import summarise_wheels
from studies.speed.graph_subject import GraphSpec
from studies.speed.tables import (
    install_table,
    machines_table,
    ratios_table,
    speed_headlines,
    speed_table,
    teacher_table,
)
from studies.speed.teacher_graph import write_teacher_graph


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_a_graph_runs_in_a_process_of_its_own(tmp_path: Path, runtime: str) -> None:
    pytest.importorskip(runtime)
    graph = write_contract_graph(tmp_path / "graph.onnx")
    spec = GraphSpec(graph=graph, runtime=runtime, threads=1, size=(HEIGHT, WIDTH))  # pyright: ignore[reportArgumentType]
    with Contender("a peer", spec, threads=1) as contender:
        taken = contender.ask("calls", batch=1, seconds=0.01)["seconds"]["graph"]
        assert len(taken) >= 5
        assert min(taken) > 0
        with pytest.raises(SnlEdgeError, match="a peer failed.*no attribute 'sing'"):
            contender.ask("sing")
        contender.ask("calls", batch=1, seconds=0)  # goes on


def test_what_a_worker_raises_arrives_as_it_was(tmp_path: Path) -> None:
    spec = DetectorSpec(bundle=tmp_path, backend="onnxruntime", precision="fp32", frame=(8, 8), threads=1)
    with pytest.raises(BundleError, match="no bundle.*manifest"):
        Contender("ours", spec, threads=1)


def test_a_worker_that_dies_is_named(tmp_path: Path) -> None:
    write_contract_bundle(tmp_path / "line")
    spec = DetectorSpec(bundle=tmp_path / "line", backend="onnxruntime", precision="fp32", frame=(8, 8), threads=1)
    with Contender("ours", spec, threads=1) as contender:
        contender._process.kill()
        contender._process.wait()
        with pytest.raises(SnlEdgeError, match="process of ours ended: signal 9"):
            contender.ask("memory")


def test_contenders_share_threads_and_ours_runs_through_the_detector(tmp_path: Path) -> None:
    write_contract_bundle(tmp_path / "line")
    peers = {"efficientad_s": tmp_path / "peer.onnx"}
    specs = make_specs("edge", tmp_path / "line", peers, threads=2, frame=(480, 640), compiled=True)
    assert {type(spec) for name, spec in specs.items() if name.startswith("snl_")} == {DetectorSpec}
    assert {spec.threads for spec in specs.values()} == {2}
    assert {"pytorch_eager", "pytorch_compile", "efficientad_s_openvino", "efficientad_s_onnxruntime"} <= set(specs)
    with pytest.raises(ConfigError, match="no group 'tank'"):
        choose_groups("edge,tank")


def test_our_teacher_stands_beside_us_as_it_is_in_the_whole_graph(bundle: Path, tmp_path: Path) -> None:
    ours = {n: s for n, s in make_specs("edge", bundle, {}, 1, (64, 64), False).items() if n.startswith("snl_")}
    teachers = teacher_specs(ours, tmp_path / "teacher")
    assert {name.removeprefix("teacher_") for name in teachers} == {name.removeprefix("snl_") for name in ours}
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(tmp_path / "teacher" / "fp32.onnx")
    assert [level.shape[2:] for level in session.run(None, {"images": image})] == [(16, 16), (8, 8), (4, 4)]
    with pytest.raises(ExportError, match="does not show its teacher"):
        write_teacher_graph(write_contract_graph(tmp_path / "graph.onnx"), tmp_path / "none.onnx")


def group(rng: np.random.Generator, peers: dict[str, float]) -> dict:
    slowness = rng.uniform(1, 2, 7)
    ways = {"snl_openvino_fp32": {"fitted": list(10 * slowness), "detector": list(11 * slowness)}}
    ways["snl_openvino_fp32"]["backend"] = list(9 * slowness)
    ways["teacher_openvino_fp32"] = {"graph": list(6 * slowness)}
    ways["snl_onnxruntime_fp32"] = {"fitted": list(20 * slowness)}
    ways |= {name: {"graph": list(ms * slowness)} for name, ms in peers.items()}
    figures = group_figures(ways)
    return figures | {
        "end_to_end": {"batch": 4, "ratio": 0.95, "fitted_ratio": 0.99},
        "failed": {"pytorch_compile": "no"},
    }


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rd = lambda b, ms: {f"anomalib_rd_{b}_openvino": ms, f"anomalib_rd_{b}_openvino_f32": 2 * ms}  # noqa: E731
    groups = {
        "edge": group(rng, {"efficientad_s_openvino": 100.0, "pytorch_eager": 40.0}),
        "resnet18": group(rng, {**rd("resnet18", 25.0), "pytorch_eager": 50.0}),
        "wide_resnet50_2": group(rng, {**rd("wide_resnet50_2", 40.0), "pytorch_eager": 30.0}),
    }
    quiet = {"warnings": ["a fixed piece of work varied by 12 %"]}
    save_result(
        "speed",
        "cpu",
        settings={"threads": 2, "rounds": 7},
        figures={"groups": groups, "noise": quiet},
        folder=tmp_path,
    )
    return tmp_path


def test_headlines_take_the_worse_backbone(saved: Path) -> None:
    found = speed_headlines(read_results(saved), "cpu")
    assert found["vs_anomalib_rd_openvino"] == pytest.approx(0.4)
    assert found["vs_pytorch_eager"] == pytest.approx(0.3333, abs=1e-3)
    assert found["vs_efficientad_s"] == pytest.approx(0.1)
    assert (found["e2e_ratio"], found["e2e_ratio_with_resize"]) == (0.99, 0.95)
    assert found["backbones"]["wide_resnet50_2"]["vs_anomalib_rd_openvino"] == pytest.approx(0.25)
    assert speed_headlines({}, "cpu") == {}


def test_the_table_names_contenders_failures_and_noise(saved: Path) -> None:
    text = speed_table(read_results(saved), "cpu")
    assert "ResNet-18: anomalib Reverse Distillation, ResNet-18, OpenVINO as it comes" in text
    assert "| 0.40 | 0.40 to 0.40 |" in text
    assert "torch.compile | failed |" in text
    assert "varied by 12 %" in text
    beside = teacher_table(read_results(saved), "cpu")
    assert "| OpenVINO, FP32 | " in beside
    assert beside.count("| 1.50 |") == 3  # the backend's time over the teacher's
    short = ratios_table(read_results(saved), "cpu")
    assert "| anomalib EfficientAD-S, OpenVINO as it comes | 0.10 | – | – |" in short
    assert "| the same in FP32 | – | 0.20 | 0.12 |" in short


def test_what_nobody_measured_is_awaited() -> None:
    for show in (speed_table, ratios_table, teacher_table):
        assert "Awaits a run" in show({}, "cpu")
        assert "beside_peers --name cpu" in show({}, "cpu")
    assert machines_table({}, "all").strip().endswith("`snl-edge bench BUNDLE`.")


def test_an_edge_install_with_torch_is_refused(tmp_path: Path) -> None:
    figures = {"base": summarise_wheels({"numpy": 10_000_000, "opencv_python_headless": 60_000_000})}
    assert list(figures["base"]["wheels"]) == ["opencv_python_headless", "numpy"]
    save_result("edge_install", "edge", settings={"installs": {"base": ""}}, figures=figures, folder=tmp_path)
    assert "| `snl-edge` | 70 MB | opencv-python-headless 60, numpy 10 |" in install_table(
        read_results(tmp_path), "edge"
    )
    with pytest.raises(ConfigError, match="brings torch"):
        summarise_wheels({"torch": 1, "numpy": 2})
