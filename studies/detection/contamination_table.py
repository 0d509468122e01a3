"""The table of what training does about defective parts among its images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snl_edge.benchmarks.results import Result

from ..result_files import require_result
from ..tables import cell, table

HEADINGS = ("product", "planted", "named", "falsely named, clean")
ATTAINABLE = "named by the best fence that names 2 % falsely"
ESCAPES = {
    "clean_escape_rate": "escapes, clean",
    "planted_escape_rate": "escapes, planted",
    "trusted_escape_rate": "escapes, planted and used (`--trust`)",
}


def contamination_table(results: Mapping[str, Result], name: str) -> str:
    """One row per product and three means of the contamination result ``name``; rates in percent.

    Raises:
        DataError: there is no such result.
    """
    result = require_result(results, "contamination", name)
    figures, training = result.figures, result.settings["training"]
    escapes = {rate: title for rate, title in ESCAPES.items() if rate in figures["all"]}
    rows = list(figures["products"].items())
    means = {"all": "**mean**", "chosen_on": "the rule was chosen on", "others": "the others"}
    rows += [(title, figures[key]) for key, title in means.items() if key in figures]
    best = ["attainable_rate"] if "attainable_rate" in figures["all"] else []
    body = [[product, *_cells(own), *(cell(own[rate]) for rate in (*best, *escapes))] for product, own in rows]
    size = f"{result.settings['model']['height']}×{result.settings['model']['width']}"
    note = (
        f"<sub>{result.settings['preset']} preset, {size}, {training['steps']} steps of {training['batch_size']}, "
        f"seed {result.settings['seed']}, "
        f"{result.created[:10]}, revision {result.revision}; `{result.command}`</sub>"
    )
    return table([*HEADINGS, *(ATTAINABLE for _ in best), *escapes.values()], body) + "\n" + note + "\n"


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [
        str(row["planted"]),
        f"{row['named']} ({cell(row['named_rate'])} %)",
        f"{row['falsely_named']} of {row['images']} ({cell(row['falsely_named_rate'])} %)",
    ]
