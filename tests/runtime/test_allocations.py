"""A steady stream of frames allocates no pixels: neither frame, batch nor map."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from contract_graph import contract_model, write_contract_bundle

from snl_edge.benchmarks.memory import allocated_per_frame
from snl_edge.contract.graph import Prediction
from snl_edge.errors import DataError
from snl_edge.runtime.bundle_writer import write_bundle
from snl_edge.runtime.detector import Detector
from snl_edge.runtime.manifest import BundleContent, InputSpec

SIZE = (160, 192)
MAP_BYTES = SIZE[0] * SIZE[1] * 4
LIMIT = 12_000
"""Bytes of Python objects for one frame: views, verdict, names; a tenth of a map."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("steady")
    said = write_contract_bundle(root / "small").manifest
    onnx.save(contract_model(size=SIZE), root / "graph.onnx")
    write_bundle(
        root / "line",
        {"fp32": root / "graph.onnx"},
        BundleContent(
            name="steady",
            input=InputSpec(height=SIZE[0], width=SIZE[1], max_batch=4),
            products=said.products,
            score_scale=said.score_scale,
        ),
    )
    return root / "line"


@pytest.fixture(scope="module", params=["onnxruntime", "openvino"])
def detector(request: pytest.FixtureRequest, folder: Path) -> Iterator[Detector]:
    pytest.importorskip(request.param)
    with Detector.load(folder, backend=request.param, threads=2) as loaded:
        yield loaded


def frames(count: int, size: tuple[int, int] = (480, 640)) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(count)]


@pytest.mark.parametrize("batch", [1, 4, 6])
def test_steady_state_allocates_no_pixels(detector: Detector, batch: int) -> None:
    for size in ((480, 640), SIZE):
        found = allocated_per_frame(detector, frames(batch, size))
        assert found["peak"] < LIMIT
        assert found["kept"] < LIMIT


def test_the_tracer_sees_a_map(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    run = detector.backend.infer
    monkeypatch.setattr(detector.backend, "infer", lambda images: Prediction(*(part.copy() for part in run(images))))
    assert allocated_per_frame(detector, frames(1))["peak"] > MAP_BYTES


def test_results_in_given_arrays_are_the_same(detector: Detector) -> None:
    some, out = frames(5), Prediction.empty(7, SIZE)
    fresh, reused = detector.detect(some), detector.detect(some, out=out)
    for one, other in zip(fresh, reused, strict=True):
        assert (one.kind, one.score, one.product) == (other.kind, other.score, other.product)
        np.testing.assert_array_equal(one.anomaly_map, other.anomaly_map)
        assert np.shares_memory(other.anomaly_map, out.anomaly_map)
        assert not np.shares_memory(one.anomaly_map, out.anomaly_map)


def test_given_arrays_must_fit(detector: Detector) -> None:
    with pytest.raises(DataError, match=r"out has room for float32 \[1, 160, 192\]"):
        detector.detect(frames(2), out=Prediction.empty(1, SIZE))
    with pytest.raises(DataError, match=r"out has room for float32 \[2, 8, 8\]"):
        detector.detect(frames(2), out=Prediction.empty(2, (8, 8)))
