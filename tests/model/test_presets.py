from __future__ import annotations

import pytest

from snl_edge.errors import DataError
from snl_edge.model.config import override
from snl_edge.model.presets import PRESETS
from snl_edge.training.config import TrainingConfig
from studies.ablation.rows import ROWS
from studies.result_files import read_results
from studies.speed.presets import MEASURED, count_parameters, presets_table


@pytest.mark.parametrize("name", MEASURED)
def test_the_row_that_a_presets_quality_is_taken_from_has_its_settings(name: str) -> None:
    model, _ = ROWS[MEASURED[name]].configure(PRESETS["edge"], TrainingConfig())
    assert model == PRESETS[name]


def test_weights_and_kept_patches_are_counted() -> None:
    small = override(PRESETS["edge"], ["height=64", "width=64", "memory.centres=16"])
    counted = count_parameters(small)
    assert counted["memory_of_a_product"] == 3 * 16 * 152
    assert counted["teacher"] == count_parameters(override(small, ["student.embedding=32"]))["teacher"]
    assert counted["student"] > count_parameters(override(small, ["student.cram=null"]))["student"]


def test_a_preset_that_was_not_measured_says_so() -> None:
    with pytest.raises(DataError, match="no presets result"):
        presets_table({}, "cpu")
    table = presets_table(read_results(), "cpu")
    assert "| `edge` (default) |" in table
    (row,) = (line for line in table.splitlines() if "`accurate`" in line)
    assert row.count("not measured") == 3
