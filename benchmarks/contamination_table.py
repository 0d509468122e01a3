"""The table of what training does about defective parts among its images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .results import Result, require_result
from .tables import cell, table

HEADINGS = ("product", "planted", "named", "falsely named", "escapes, clean", "with planted")


def contamination_table(results: Mapping[str, Result], name: str) -> str:
    """One row per product and three means of the contamination result ``name``; rates in percent.

    Raises:
        DataError: there is no such result.
    """
    result = require_result(results, "contamination", name)
    trusted = "trusted_escape_rate" in result.figures["all"]
    rows = list(result.figures["products"].items())
    means = {"all": "**mean**", "chosen_on": "the rule was chosen on", "others": "the others"}
    rows += [(title, result.figures[key]) for key, title in means.items() if key in result.figures]
    headings = [*HEADINGS, *(["with planted, all used (`--trust`)"] if trusted else [])]
    body = [[product, *_cells(own), *([cell(own["trusted_escape_rate"])] if trusted else [])] for product, own in rows]
    training = result.settings["training"]
    size = f"{result.settings['model']['height']}×{result.settings['model']['width']}"
    note = (
        f"<sub>{result.settings['preset']} preset, {size}, {training['steps']} steps of {training['batch_size']}, seed "
        f"{training['seed']}, {result.created[:10]}, revision {result.revision}; `{result.command}`</sub>"
    )
    return table(headings, body) + "\n" + note + "\n"


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [
        str(row["planted"]),
        f"{row['named']} ({cell(row['named_rate'])} %)",
        f"{row['falsely_named']} of {row['images']} ({cell(row['falsely_named_rate'])} %)",
        cell(row["clean_escape_rate"]),
        cell(row["planted_escape_rate"]),
    ]
