"""A map comes to the host only where somebody wants it, and what is left out is never missed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract_graph import contract_images, write_contract_bundle
from journals import until
from lines import light, line_config, records, run_to_end, running, write_parts

from snl_edge.contract.graph import Scores
from snl_edge.errors import EngineError
from snl_edge.runtime.detector import Detector
from snl_edge.stream.pipeline.inference import Engine
from snl_edge.stream.pipeline.screen import _MAP_EVERY_S
from studies.small_bundle import write_small_bundle


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_bundle(tmp_path_factory.mktemp("bundles") / "small", 64).path


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_inspect_gives_the_scores_and_the_wanted_maps(tmp_path: Path, backend: str) -> None:
    bundle = write_contract_bundle(tmp_path / "line", max_batch=3, scores_vouch_for_maps=True)
    images = contract_images(3)
    with Detector.load(bundle.path, backend=backend, precision="fp32", threads=1) as first, first.another() as detector:
        expected = first.predict(images)
        scores, maps = detector.inspect(images, lambda scores: np.flatnonzero(scores.score >= scores.score.max()))
        detector.inspect(contract_images(3, seed=1), lambda scores: [])
    for found, before in zip(scores, expected.scores, strict=True):
        np.testing.assert_array_equal(found, before)
    (row,) = maps
    assert row == expected.score.argmax()
    np.testing.assert_array_equal(maps[row], expected.anomaly_map[row])


def test_every_map_is_looked_at_where_scores_do_not_vouch_for_them(tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line", max_batch=2)
    with Detector.load(bundle.path, backend="onnxruntime", threads=1) as detector:
        _, maps = detector.inspect(contract_images(2), lambda scores: [])
        assert sorted(maps) == [0, 1]
        honest = detector.backend.run

        def hidden(images: np.ndarray) -> Scores:
            scores = honest(images)
            detector.backend.maps([0])[0][0, 0] = np.nan  # a maximum may pass over it
            return scores

        detector.backend.run = hidden  # pyright: ignore[reportAttributeAccessIssue]
        with pytest.raises(EngineError, match="no finite number"):
            detector.inspect(contract_images(2), lambda scores: [])


def _with_maps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many maps each batch brought, as the line runs."""
    brought: list[int] = []
    wanted = Engine._wanted

    def count(engine: Engine, batch: Any, scores: Scores) -> list[int]:
        rows = wanted(engine, batch, scores)
        brought.append(len(rows))
        return rows

    monkeypatch.setattr(Engine, "_wanted", count)
    return brought


def test_good_parts_of_a_fast_line_come_without_maps_and_rejects_with_theirs(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought = _with_maps(monkeypatch)
    monkeypatch.setattr("snl_edge.stream.pipeline.screen._MAP_EVERY_S", 60.0)
    spots = (3, 17)
    write_parts(tmp_path / "parts", 20, spots)
    line = run_to_end(line_config(small, tmp_path))
    found = sorted(records(line), key=lambda record: record.sequence)
    assert [record.verdict for record in found] == ["reject" if n in spots else "good" for n in range(20)]
    assert sum(brought) == 3  # the first good part for the screen, and the rejects
    for record in found:
        if record.verdict == "reject":
            assert record.blobs
            assert record.image
            assert record.heatmap
    latest = line.latest("camera")
    assert latest is not None
    assert latest.entry.record.sequence == 17  # the newest of which there is a map
    assert latest.anomaly_map is not None


def test_pixels_that_do_not_count_need_every_map(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    brought = _with_maps(monkeypatch)
    monkeypatch.setattr("snl_edge.stream.pipeline.screen._MAP_EVERY_S", 60.0)
    write_parts(tmp_path / "parts", 6, (2,))
    everything_but_a_corner = {"ignore": [{"x": 0, "y": 0, "width": 1, "height": 0.9}]}
    line = run_to_end(line_config(small, tmp_path, camera=everything_but_a_corner))
    assert sum(brought) == 6
    assert {record.verdict for record in records(line)} == {"good"}


def test_a_slow_line_shows_every_part_with_its_map(small: Path, tmp_path: Path) -> None:
    write_parts(tmp_path / "parts", 3)
    camera = {"trigger": {"type": "software"}}
    with running(line_config(small, tmp_path, camera=camera)) as line:
        until(lambda: light(line, "camera camera") == "ok", 15)
        for number in range(3):
            line.trigger("camera", str(number), None)
            until(lambda number=number: line.recorder.committed == number + 1, 15)
            latest = line.latest("camera")
            assert latest is not None
            assert latest.entry.record.part == str(number)
            assert latest.anomaly_map is not None
            time.sleep(1.5 * _MAP_EVERY_S)
