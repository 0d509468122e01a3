"""Makes ``results/summary.json`` and the tables in README and docs from the result files.

``python -m snl_edge.benchmarks.summary`` writes them; ``--check`` fails if any is out of date.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from snl_edge.atomic import write_text
from snl_edge.errors import DataError

from .results import FOLDER, SUMMARY, Result, read_results

ROOT = FOLDER.parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"(<!-- figures: (?P<table>[\w-]+) -->\n)(?P<body>.*?)(<!-- end of figures -->)", re.DOTALL)
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
    "left_out_unknown_rate": "left out: called unknown",
    "left_out_false_unknown_rate": "left out: others called unknown",
    "defective_accuracy": "defective recognised",
    "defective_unknown_rate": "defective called unknown",
}
"""Metrics of a recognition result, and their headings."""


def main(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if something is out of date.")] = False,
) -> None:
    """Writes, or checks, everything that shows figures."""
    results = read_results()
    wanted = {FOLDER / SUMMARY: json.dumps(summarise(results), indent=1, sort_keys=True) + "\n"}
    wanted |= {page: fill(page, results) for page in PAGES}
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if check and stale:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        raise SystemExit(f"out of date: {names}. Run: python -m snl_edge.benchmarks.summary")
    for path in stale:
        write_text(path, wanted[path])
    typer.echo(
        f"{len(results)} result files; {'all pages are up to date' if not stale else f'{len(stale)} files written'}"
    )


def summarise(results: Mapping[str, Result]) -> dict[str, Any]:
    """The headline figures of every kind of result, in percent, with the file each came from."""
    quality = {
        result.name: {
            # A metric that no product defines is left out.
            **{metric: percent(value) for metric in COLUMNS if (value := mean_of(result)[metric]) is not None},
            "products": len(result.figures["pytorch"]["products"]),
            "seeds": [result.settings["training"]["seed"]],
            "file": name,
        }
        for name, result in results.items()
        if result.kind == "quality"
    }
    recognition = {
        result.name: {
            **{metric: percent(result.figures["overall"][metric]) for metric in RECOGNITION_COLUMNS},
            "products": len(result.figures["products"]),
            "file": name,
        }
        for name, result in results.items()
        if result.kind == "recognition"
    }
    return {"quality_runs": quality, "recognition": recognition}


def mean_of(result: Result) -> dict[str, float | None]:
    """The means over products of a quality result, as fractions."""
    return result.figures["pytorch"]["mean"]


def fill(page: Path, results: Mapping[str, Result]) -> str:
    """The text of ``page`` with every marked block made anew.

    Raises:
        DataError: a block asks for a table that does not exist, or its result file is missing.
    """

    def block(match: re.Match[str]) -> str:
        kind, _, name = match["table"].partition("-")
        if match["table"] == "quality-all":
            return f"{match[1]}{means_table(results)}{match[4]}"
        result = next((r for r in results.values() if r.kind == KINDS.get(kind, "quality") and r.name == name), None)
        if kind not in TABLES or result is None:
            raise DataError(f"{page} asks for figures {match['table']!r}", "there is no such table or result file")
        return f"{match[1]}{TABLES[kind](result)}{match[4]}"

    return BLOCK.sub(block, page.read_text(encoding="utf-8"))


def quality_table(result: Result) -> str:
    """One row per product and the mean, in percent."""
    evaluation = result.figures["pytorch"]
    rows = [*evaluation["products"].items(), ("**mean**", evaluation["mean"])]
    lines = [
        "| product | " + " | ".join(COLUMNS.values()) + " |",
        "|---|" + "---:|" * len(COLUMNS),
        *(f"| {name} | " + " | ".join(_cell(row[metric]) for metric in COLUMNS) + " |" for name, row in rows),
    ]
    return "\n".join(lines) + "\n\n" + source(result) + "\n"


def means_table(results: Mapping[str, Result]) -> str:
    """One row per quality result: its means in percent."""
    lines = ["| run | " + " | ".join(COLUMNS.values()) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for result in results.values():
        if result.kind == "quality":
            cells = " | ".join(_cell(mean_of(result)[metric]) for metric in COLUMNS)
            lines.append(f"| {result.name} | {cells} |")
    return "\n".join(lines) + "\n"


def agreement_table(result: Result) -> str:
    """Differences from PyTorch of every way to run the model, and the sizes of its graphs."""
    titles = {
        "onnxruntime_fp32": ("FP32 graph, ONNX Runtime", "fp32"),
        "openvino_fp32": ("FP32 graph, OpenVINO in FP32", "fp32"),
        "fp16_rounded": ("FP16 graph, roundings of FP16 shown on a CPU", "fp16"),
    }
    rows = result.figures["agreement"]
    sizes = result.figures["bundle"]["graph_bytes"]
    images = next(iter(rows.values()))["images"]
    lines = [
        f"| against PyTorch, {images} test images | score differs by | map by | verdicts flipped | graph |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {title} | {rows[name]['score_difference']:.1e} | {rows[name]['map_difference']:.1e} "
            f"| {rows[name]['flips']} | {sizes[precision] / 1e6:.1f} MB |"
            for name, (title, precision) in titles.items()
        ),
    ]
    return "\n".join(lines) + "\n\n" + source(result) + "\n"


def recognition_table(result: Result) -> str:
    """One row per product and all together, in percent."""
    rows = [*result.figures["products"].items(), ("**all**", result.figures["overall"])]
    columns = RECOGNITION_COLUMNS
    lines = [
        "| product | " + " | ".join(columns.values()) + " |",
        "|---|" + "---:|" * len(columns),
        *(f"| {name} | " + " | ".join(_cell(row[metric]) for metric in columns) + " |" for name, row in rows),
    ]
    note = (
        f"<sub>{result.settings['preset']} preset's teacher, {result.figures['good_test_images']} good and "
        f"{result.figures['defective_test_images']} defective test images, {result.created[:10]}, "
        f"revision {result.revision}; `{result.command}`</sub>"
    )
    return "\n".join(lines) + "\n\n" + note + "\n"


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


def _cell(fraction: float | None) -> str:
    return "–" if fraction is None else f"{percent(fraction):.1f}"


def percent(fraction: float) -> float:
    """A fraction in percent, two decimals."""
    return round(100 * fraction, 2)


TABLES: dict[str, Callable[[Result], str]] = {
    "quality": quality_table,
    "agreement": agreement_table,
    "recognition": recognition_table,
}
KINDS = {"recognition": "recognition"}
"""Kind of result that a table is made from, where it is not ``quality``."""

if __name__ == "__main__":
    typer.run(main)
