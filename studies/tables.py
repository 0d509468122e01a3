"""Tables of single quality runs, and what all tables are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from snl_edge.benchmarks.results import Result

from .result_files import require_result

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
    return table(["product", *COLUMNS.values()], body) + "\n" + source(result) + "\n"


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
    return table(headings, body) + "\n" + source(result) + "\n"


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
        f"{result.figures['defective_test_images']} defective test images, {result.created[:10]}, "
        f"revision {result.revision}; `{result.command}`</sub>"
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
        f"{result.machine['processor']}, {result.created[:10]}, revision {result.revision}; `{result.command}`</sub>"
    )
    return table(headings, body) + "\n" + note + "\n"


def mean_of(result: Result) -> dict[str, float | None]:
    """The means over products of a quality result, as fractions."""
    return result.figures["pytorch"]["mean"]


def source(result: Result) -> str:
    """One line that says where a table comes from."""
    machine, training = result.machine, result.settings["training"]
    minutes = result.figures["training_seconds"] / 60
    return (
        f"<sub>{result.settings['preset']} preset, seed {training['seed']}, {training['steps']} steps of "
        f"{training['batch_size']}, {minutes:.0f} minutes of training on {machine['cores']} cores "
        f"({machine['processor']}, no GPU), {result.created[:10]}, "
        f"revision {result.revision}; `{result.command}`</sub>"
    )


def table(headings: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = ["| " + " | ".join(headings) + " |", "|---|" + "---:|" * (len(headings) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in body)]) + "\n"


def cell(fraction: float | None) -> str:
    """A fraction in percent, one decimal; a dash where it is not defined."""
    return "–" if fraction is None else f"{percent(fraction):.1f}"


def percent(fraction: float) -> float:
    """A fraction in percent, two decimals."""
    return round(100 * fraction, 2)
