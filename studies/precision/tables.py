"""Figures and tables of what FP16 and INT8 lose against FP32, and of their sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snl_edge.benchmarks.results import Result
from snl_edge.benchmarks.tables import origin, table

from ..result_files import find_result, require_result
from ..tables import cell

FIGURES = (
    "image_auroc_drop",
    "pixel_auroc_drop",
    "worst_class_drop",
    "verdict_flips",
    "size_ratio",
    "engine_size_ratio",
    "unpacked_engine_size_ratio",
)
"""Of a precision: drops in points of 100, flips in percent of the images, sizes as shares of FP32's."""
WAYS = {"fp16": "fp16", "int8": "int8_onnxruntime"}
"""Where the headline comes from: FP16 with its roundings shown, INT8 as ONNX Runtime runs the shipped graph."""


def precision_figures(results: Mapping[str, Result], name: str) -> dict[str, dict[str, Any]]:
    """The headline figures of FP16 and INT8 from the result ``name``; nothing if it was not measured."""
    found = find_result(results, "int8", name)
    if found is None:
        return {}
    file, result = found
    return {
        precision: {**{figure: result.figures[way][figure] for figure in FIGURES}, "file": file}
        for precision, way in WAYS.items()
    }


def precision_table(results: Mapping[str, Result], name: str) -> str:
    """One row per product of the result ``name``: FP32's figures, and what FP16 and INT8 take away, in points.

    Raises:
        DataError: there is no such result.
    """
    result = require_result(results, "int8", name)
    figures = result.figures
    headings = ["product", "image AUROC", "FP16", "INT8", "pixel AUROC", "FP16", "INT8", "AUPRO", "FP16", "INT8"]
    body = []
    for product, exact in figures["fp32"]["products"].items():
        row = [product]
        for metric in ("image_auroc", "pixel_auroc", "aupro"):
            drops = [figures[way]["report"]["products"][product][metric] for way in WAYS.values()]
            row += [cell(exact[metric]), *map(_signed, drops)]
        body.append(row)
    row = ["**mean**"]
    for metric in ("image_auroc", "pixel_auroc", "aupro"):
        row += [
            cell(figures["fp32"]["mean"][metric]),
            *(_signed(figures[way][f"{metric}_drop"]) for way in WAYS.values()),
        ]
    body.append(row)
    spared = figures["int8"]["report"]["not_int8"]
    kept = f"{len(spared)} layers kept out of INT8" if spared else "no layer kept out of INT8"
    ways = [
        f"{title}: {figures[way]['verdict_flips']:.2f} % of {figures[way]['report']['images']} verdicts flip, "
        f"graph {figures[way]['size_ratio']:.2f} of FP32's size"
        for title, way in (("FP16", "fp16"), ("INT8 in ONNX Runtime", "int8_onnxruntime"))
    ]
    ways += [
        f"{title}: mean image AUROC {_signed(figures[way]['image_auroc_drop'])} points, "
        f"{figures[way]['verdict_flips']:.2f} % of verdicts flip"
        for title, way in (("BF16 in OpenVINO", "bf16_openvino"), ("INT8 in OpenVINO", "int8_openvino"))
        if way in figures  # a processor without these instructions cannot tell
    ]
    note = (
        f"<sub>FP32 in percent, then what is lost, in points (+ is a gain). {'; '.join(ways)}; {kept}; "
        f"{result.settings['calibration_images']} calibration images. {result.settings['preset']}, "
        f"{result.machine['processor']}, no GPU, {origin(result)}</sub>"
    )
    return table(headings, body) + "\n" + note + "\n"


def size_table(results: Mapping[str, Result], name: str) -> str:
    """Sizes of graphs and TensorRT-RTX engines by preset, of the result ``name``.

    Raises:
        DataError: there is no such result.
    """
    result = require_result(results, "engine_sizes", name)
    body = []
    for preset, sizes in result.figures["sizes"].items():
        parts = {
            "ONNX graph": {p: own["graph"] for p, own in sizes.items()},
            "engine": {p: own["engine"] for p, own in sizes.items()},
            "engine, unpacked": {p: own["engine_unpacked"] for p, own in sizes.items()},
            "of it kernel sources": {p: own["source_bytes"] for p, own in sizes.items()},
        }
        for title, own in parts.items():
            shown = [f"{size / 1e6:.1f} MB" for size in own.values()]
            if title == "of it kernel sources":
                shown = [f"{mb} ({sizes[p]['sources']})" for mb, p in zip(shown, own, strict=True)]
            body.append([f"`{preset}`", title, *shown, f"{own['int8'] / own['fp32']:.2f}"])
    note = (
        f"<sub>{result.settings['weights']} weights, {result.settings['products']} products, compute capability "
        f"{result.settings['compute_capability']}, TensorRT-RTX {result.versions['tensorrt-rtx-cu13']}, built without "
        f"a GPU; in brackets how many kernels. {origin(result)}</sub>"
    )
    return table(["model", "", "FP32", "FP16", "INT8", "INT8 / FP32"], body) + "\n" + note + "\n"


def memory_table(results: Mapping[str, Result], name: str) -> str:
    """Peak memory of calibrating by number of images.

    Raises:
        DataError: there is no such result.
    """
    result = require_result(results, "calibration_memory", name)
    peaks = result.figures["peak_mib"]
    row = ["peak memory, MiB", *(f"{peak:.0f}" for peak in peaks.values())]
    note = f"<sub>{origin(result)}</sub>"
    return table(["images", *peaks], [row]) + "\n" + note + "\n"


def _signed(drop: float | None) -> str:
    """A drop as the change it is: a loss is negative."""
    return "–" if drop is None else f"{-drop:+.2f}".replace("+0.00", "0.00").replace("-0.00", "0.00")
