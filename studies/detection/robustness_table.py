"""The tables of a robustness result: verdicts under each change of the camera, and what detection costs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from snl_edge.benchmarks.results import Result

from ..ablation.tables import CHOICE_PRODUCTS, NOTHING_YET
from ..result_files import find_result
from ..tables import cell, table

METRICS = {
    "escape_rate": "escapes at the thresholds",
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "aupro": "AUPRO",
    "pixel_ap": "pixel AP",
}
THRESHOLDS = "copies, thresholds too"
WAYS = {"without": "no copies", "with": "copies", "thresholds": THRESHOLDS}


def robustness_table(results: Mapping[str, Result], name: str) -> str:
    """One row per change: good parts stopped and defective parts caught, in percent, without and with copies.

    The products that the changes' strengths were chosen on stand apart from the others.
    """
    found = find_result(results, "robustness", name)
    if found is None:
        return NOTHING_YET
    figures = found[1].figures
    headings = ["pictures changed by"]
    ways = _ways(found[1])
    for words in ways.values():
        headings += [f"{words}: good stopped, chosen on", "others", "caught"]
    body = [
        [change, *(text for way in ways for text in _figures(figures[way]["changes"][change]["products"]))]
        for change in figures[next(iter(ways))]["changes"]
    ]
    metrics = [
        [words, *(cell(figures[way]["evaluation"]["mean"][metric]) for metric in METRICS)]
        for way, words in ways.items()
    ]
    return (
        table(headings, body)
        + "\n"
        + table(["untouched pictures", *METRICS.values()], metrics)
        + "\n"
        + _source(found[1])
        + "\n"
    )


def _ways(result: Result) -> dict[str, str]:
    """The ways that were measured, and what they are called.

    In results from before `CameraConfig.thresholds`, copies always went into the thresholds.
    """
    called = dict(WAYS)
    if "thresholds" not in (result.settings["training"]["camera"] or {}):
        called["with"] = THRESHOLDS
    return {way: words for way, words in called.items() if way in result.figures}


def _figures(products: Mapping[str, Mapping[str, Any]]) -> tuple[str, str, str]:
    """Good parts stopped of the products chosen on and of the others, and defective parts caught of all."""
    others = products.keys() - CHOICE_PRODUCTS
    return (
        _rate(products, products.keys() & CHOICE_PRODUCTS, "falsely_stopped"),
        _rate(products, others, "falsely_stopped"),
        _rate(products, products.keys(), "caught"),
    )


def _rate(products: Mapping[str, Mapping[str, Any]], chosen: Collection[str], share: str) -> str:
    counted = [products[product][share] for product in chosen]
    total = sum(one["of"] for one in counted)
    return cell(sum(one["count"] for one in counted) / total if total else None)


def _source(result: Result) -> str:
    training, model = result.settings["training"], result.settings["model"]
    ways = _ways(result)
    # A run that was there only had its thresholds set anew: what that took tells nothing of training.
    minutes = [f"{words}: {result.figures[way]['seconds'] / 60:.0f} minutes of training" for way, words in ways.items()]
    told = f"{'; '.join(minutes)}; " if len(ways) > 1 else ""
    return (
        f"<sub>{result.settings['preset']} preset at {model['height']}×{model['width']}, {training['steps']} steps of "
        f"{training['batch_size']}, seed {training['seed']}; {told}"
        f"{result.machine['processor']}, {result.machine['cores']} cores, "
        f"{result.created[:10]}, revision {result.revision}; `{result.command}`</sub>"
    )
