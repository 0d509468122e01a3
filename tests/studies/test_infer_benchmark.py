"""The benchmark of `infer` on a few small pictures: what it measures stands in its table."""

from __future__ import annotations

from pathlib import Path

import pytest
from contract_graph import write_contract_bundle

from snl_edge.errors import DataError
from studies.result_files import read_results
from studies.speed.infer import WAYS, infer_table, measure, shares


def test_every_way_is_measured_and_told(tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line").path
    measure(
        name="small", pictures=8, side=64, rounds=3, bundle=bundle, backend="onnxruntime", results=tmp_path / "results"
    )
    results = read_results(tmp_path / "results")
    (result,) = results.values()
    assert set(result.figures["ways"]) == set(WAYS)
    assert all(len(own["rounds"]) == 3 and own["median"] > 0 for own in result.figures["ways"].values())
    told = infer_table(results, "small")
    assert all(words in told for words in WAYS.values())
    assert "8 JPEG pictures of 64x64" in told
    with pytest.raises(DataError, match="no infer result 'other'"):
        infer_table(results, "other")


def test_shares_are_of_what_decoding_and_engine_allow() -> None:
    rates = {"decode": 50.0, "prepare": 40.0, "engine": 40.0, "infer": 19.0, "overlays": 10.0, "elsewhere": 38.0}
    found = shares({way: {"rounds": [rate]} for way, rate in rates.items()})
    assert found == {"elsewhere": [0.95], "same_cores": [0.95], "slower": [0.475], "overlays_same_cores": [0.5]}
