"""The fused graph and the runtime stay within what they were: counted, never timed."""

from __future__ import annotations

from pathlib import Path

import pytest

from studies.speed.budgets import count, excesses, read_budgets


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> dict:
    return count(Path(tmp_path_factory.mktemp("budgets")) / "bundle")


def test_edge_preset_stays_within_its_budgets(counted: dict) -> None:
    assert not excesses(counted, read_budgets()), "if it must be: python -m studies.speed.budgets"


def test_every_figure_has_a_budget_and_an_excess_is_named(counted: dict) -> None:
    budgets = read_budgets()
    assert {part: set(own) for part, own in budgets.items()} == {part: set(own) for part, own in counted.items()}
    budgets["fp16"]["transposes"] = counted["fp16"]["transposes"] - 1
    (said,) = excesses(counted, budgets)
    assert said.startswith("fp16 transposes: ")
