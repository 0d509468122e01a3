"""Tables of detection: of quality runs, recognition, many products, wrong training images and camera changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from snl_edge.benchmarks.results import Result
from snl_edge.benchmarks.tables import origin, table

from ..ablation.tables import CHOICE_PRODUCTS, NOTHING_YET
from ..result_files import find_result, require_result
from ..tables import cell

COLUMNS = {
    "image_auroc": "image AUROC",
    "image_ap": "AP",
    "image_f1_max": "F1-max",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "AP",
    "pixel_f1_max": "F1-max",
    "aupro": "AUPRO",
    "false_reject_rate": "false rejects",
    "escape_rate": "escapes",
}
"""Metrics of a quality result, and their headings."""
RECOGNITION_COLUMNS = {
    "accuracy": "recognised",
    "false_unknown_rate": "good called unknown",
    "left_out_unknown_rate": "left out: beyond the limit",
    "left_out_never_reject_rate": "left out: unknown at any score",
    "left_out_false_unknown_rate": "left out: others called unknown",
    "defective_accuracy": "defective recognised",
    "defective_unknown_rate": "defective beyond the limit",
    "defective_never_reject_rate": "defective unknown at any score",
}
"""Metrics of a recognition result, and their headings."""


def quality_table(results: Mapping[str, Result], name: str) -> str:
    """One row per product and the mean of the quality result ``name``, in percent; ``all``: the means of all.

    Raises:
        DataError: there is no such result.
    """
    if name == "all":
        return means_table(results)
    result = require_result(results, "quality", name)
    evaluation = result.figures["pytorch"]
    rows = [*evaluation["products"].items(), ("**mean**", evaluation["mean"])]
    body = [[product, *(cell(row[metric]) for metric in COLUMNS)] for product, row in rows]
    return table(["product", *COLUMNS.values()], body) + "\n" + _quality_source(result) + "\n"


def means_table(results: Mapping[str, Result]) -> str:
    """One row per quality result: its means in percent."""
    body = [
        [result.name, *(cell(mean_of(result)[metric]) for metric in COLUMNS)]
        for result in results.values()
        if result.kind == "quality"
    ]
    return table(["run", *COLUMNS.values()], body)


def agreement_table(results: Mapping[str, Result], name: str) -> str:
    """Differences from PyTorch of every way to run the model ``name``, and the sizes of its graphs.

    Raises:
        DataError: there is no such result.
    """
    titles = {
        "onnxruntime_fp32": ("FP32 graph, ONNX Runtime", "fp32"),
        "openvino_fp32": ("FP32 graph, OpenVINO in FP32", "fp32"),
        "fp16_rounded": ("FP16 graph, roundings of FP16 shown on a CPU", "fp16"),
    }
    result = require_result(results, "quality", name)
    rows = result.figures["agreement"]
    sizes = result.figures["bundle"]["graph_bytes"]
    images = next(iter(rows.values()))["images"]
    headings = [f"against PyTorch, {images} test images", "score differs by", "map by", "verdicts flipped", "graph"]
    body = [
        [
            title,
            f"{rows[way]['score_difference']:.1e}",
            f"{rows[way]['map_difference']:.1e}",
            str(rows[way]["flips"]),
            f"{sizes[precision] / 1e6:.1f} MB",
        ]
        for way, (title, precision) in titles.items()
    ]
    return table(headings, body) + "\n" + _quality_source(result) + "\n"


def recognition_table(results: Mapping[str, Result], name: str) -> str:
    """One row per product and all together of the recognition result ``name``, in percent.

    Raises:
        DataError: there is no such result.
    """
    result = require_result(results, "recognition", name)
    rows = [*result.figures["products"].items(), ("**all**", result.figures["overall"])]
    body = [[product, *(cell(row[metric]) for metric in RECOGNITION_COLUMNS)] for product, row in rows]
    note = (
        f"<sub>{result.settings['preset']} preset's teacher, {result.figures['good_test_images']} good and "
        f"{result.figures['defective_test_images']} defective test images, {origin(result)}</sub>"
    )
    return table(["product", *RECOGNITION_COLUMNS.values()], body) + "\n" + note + "\n"


def many_products_table(results: Mapping[str, Result], name: str) -> str:
    """One row per number of products of the many-products result ``name``.

    Raises:
        DataError: there is no such result.
    """
    result = require_result(results, "many_products", name)
    columns = {
        "accuracy": "good recognised",
        "good_good": "called good",
        "good_reject": "reject",
        "good_unknown": "unknown",
        "defective_reject": "defective: reject",
        "defective_unknown": "unknown",
    }
    body = [
        [
            count,
            *(cell(row[metric]) for metric in columns),
            f"{row['graph_bytes']['fp16'] / 1e6:.1f}",
            f"{row['milliseconds']:.1f}",
            f"{row['training_seconds']:.0f}",
        ]
        for count, row in result.figures.items()
    ]
    headings = ["products", *columns.values(), "FP16 graph, MB", "FP32, ms", "training, s"]
    settings = result.settings
    note = (
        f"<sub>{settings['model']['height']}×{settings['model']['width']} pixels, "
        f"{settings['training_images']} training images of each, {settings['training']['steps']} steps, "
        f"{settings['model']['memory']['centres']} patches of each; ONNX Runtime, one thread, "
        f"{result.machine['processor']}, {origin(result)}</sub>"
    )
    return table(headings, body) + "\n" + note + "\n"


def mean_of(result: Result) -> dict[str, float | None]:
    """The means over products of a quality result, as fractions."""
    return result.figures["pytorch"]["mean"]


def _quality_source(result: Result) -> str:
    """One line that says where a table comes from."""
    machine, training = result.machine, result.settings["training"]
    minutes = result.figures["training_seconds"] / 60
    return (
        f"<sub>{result.settings['preset']} preset, seed {training['seed']}, {training['steps']} steps of "
        f"{training['batch_size']}, {minutes:.0f} minutes of training on {machine['cores']} cores "
        f"({machine['processor']}, no GPU), {origin(result)}</sub>"
    )


PLANTED_COLUMNS = ("product", "planted", "named", "falsely named, clean")
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
        f"{origin(result)}</sub>"
    )
    return table([*PLANTED_COLUMNS, *(ATTAINABLE for _ in best), *escapes.values()], body) + "\n" + note + "\n"


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [
        str(row["planted"]),
        f"{row['named']} ({cell(row['named_rate'])} %)",
        f"{row['falsely_named']} of {row['images']} ({cell(row['falsely_named_rate'])} %)",
    ]


UNTOUCHED_COLUMNS = {
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
        [words, *(cell(figures[way]["evaluation"]["mean"][metric]) for metric in UNTOUCHED_COLUMNS)]
        for way, words in ways.items()
    ]
    return (
        table(headings, body)
        + "\n"
        + table(["untouched pictures", *UNTOUCHED_COLUMNS.values()], metrics)
        + "\n"
        + _robustness_source(found[1])
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


def _robustness_source(result: Result) -> str:
    training, model = result.settings["training"], result.settings["model"]
    ways = _ways(result)
    # A run that was there only had its thresholds set again: what that took tells nothing of training.
    minutes = [f"{words}: {result.figures[way]['seconds'] / 60:.0f} minutes of training" for way, words in ways.items()]
    told = f"{'; '.join(minutes)}; " if len(ways) > 1 else ""
    return (
        f"<sub>{result.settings['preset']} preset at {model['height']}×{model['width']}, {training['steps']} steps of "
        f"{training['batch_size']}, seed {training['seed']}; {told}"
        f"{result.machine['processor']}, {result.machine['cores']} cores, "
        f"{origin(result)}</sub>"
    )
