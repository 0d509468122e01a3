"""Speed for README and docs: beside peers on the CPU, on real machines, and what a device downloads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snl_edge.errors import DataError

from .intervals import CONFIDENCE
from .report import markdown_table, measured
from .results import Result
from .tables import table

TITLES = {
    "snl_openvino_fp32": "**ours**, OpenVINO",
    "snl_openvino_int8": "**ours**, INT8, OpenVINO",
    "snl_onnxruntime_fp32": "**ours**, ONNX Runtime",
    "snl_onnxruntime_int8": "**ours**, INT8, ONNX Runtime",
    "openvino_bf16_graph": "our graph, OpenVINO in BF16 (not offered: scores differ by more than the gate allows)",
    "pytorch_eager": "our model, PyTorch eager",
    "pytorch_compile": "our model, torch.compile",
    "efficientad_s": "anomalib EfficientAD-S",
    "anomalib_rd_resnet18": "anomalib Reverse Distillation, ResNet-18",
    "anomalib_rd_wide_resnet50_2": "anomalib Reverse Distillation, WideResNet-50-2",
    "anomavision_padim_resnet18": "AnomaVision PaDiM, ResNet-18",
}
RUNTIMES = {
    "_openvino": ", OpenVINO as it comes",
    "_openvino_f32": ", OpenVINO in FP32",
    "_onnxruntime": ", ONNX Runtime",
}
GROUPS = {
    "edge": "`edge` preset",
    "resnet18": "ResNet-18 (`balanced`)",
    "wide_resnet50_2": "WideResNet-50-2 (`accurate`)",
}
AWAITS = "Rows of a Jetson and of a dGPU await a run there. One command makes them: `snl-edge bench BUNDLE`."
BACKBONES = ("resnet18", "wide_resnet50_2")


def speed_result(results: Mapping[str, Result], name: str) -> tuple[str, Result]:
    """File and content of the speed result called ``name``.

    Raises:
        DataError: there is none.
    """
    for file, result in results.items():
        if result.kind == "speed" and result.name == name:
            return file, result
    raise DataError(
        f"there is no speed result {name!r}",
        fix=f"run python -m snl_edge.benchmarks.speed --name {name}, or take it off",
    )


def speed_headlines(results: Mapping[str, Result], name: str) -> dict[str, Any]:
    """The ratios one looks at first; of two backbones the worse. Empty where nothing has been measured."""
    if not any(result.kind == "speed" and result.name == name for result in results.values()):
        return {}
    file, result = speed_result(results, name)
    groups = result.figures["groups"]
    ratio = lambda group, peer: groups[group]["ratios"][peer]["ratio"]  # noqa: E731
    backbones = {
        backbone: {
            "vs_anomalib_rd_openvino": ratio(backbone, f"anomalib_rd_{backbone}_openvino"),
            "vs_anomalib_rd_openvino_f32": ratio(backbone, f"anomalib_rd_{backbone}_openvino_f32"),
            "vs_pytorch_eager": ratio(backbone, "pytorch_eager"),
        }
        for backbone in BACKBONES
        if backbone in groups
    }
    worst = lambda what: max((own[what] for own in backbones.values()), default=None)  # noqa: E731
    edge = groups.get("edge")
    return {
        "vs_anomalib_rd_openvino": worst("vs_anomalib_rd_openvino"),
        "vs_pytorch_eager": worst("vs_pytorch_eager"),
        "vs_efficientad_s": ratio("edge", "efficientad_s_openvino") if edge else None,
        "e2e_ratio": edge["end_to_end"]["fitted_ratio"] if edge else None,
        "e2e_ratio_with_resize": edge["end_to_end"]["ratio"] if edge else None,
        "backbones": backbones,
        "file": file,
    }


def speed_table(results: Mapping[str, Result], name: str) -> str:
    """One row per contender and group: median milliseconds, and our best one's time as a share of it.

    Raises:
        DataError: there is no such result.
    """
    _, result = speed_result(results, name)
    body = []
    for group, figures in result.figures["groups"].items():
        for contender, ways in figures["milliseconds"].items():
            own = ways.get("fitted") or ways["graph"]
            ratio = figures["ratios"].get(contender)
            body.append(
                [
                    f"{GROUPS[group]}: {title(contender)}",
                    f"{own['median']:.1f}",
                    "1" if ratio is None else f"{ratio['ratio']:.2f}",
                    _interval(ratio),
                ]
            )
        body += [[f"{GROUPS[group]}: {title(n)}", "failed", "–", "–"] for n in figures["failed"]]
    settings = result.settings
    note = (
        f"<sub>256×256, one image at a time, {settings['threads']} threads, {settings['rounds']} interleaved rounds, "
        f"{result.machine['processor']}, {result.created[:10]}, revision {result.revision}; `{result.command}`"
        + "".join(f"; {warning}" for warning in result.figures["noise"]["warnings"])
        + "</sub>"
    )
    headings = ["", "ms", "ours / this", f"{CONFIDENCE} % interval"]
    return table(headings, body) + "\n" + note + "\n"


def title(contender: str) -> str:
    """A contender's name for people."""
    if contender in TITLES:
        return TITLES[contender]
    for ending in sorted(RUNTIMES, key=len, reverse=True):
        if contender.endswith(ending):
            return TITLES[contender.removesuffix(ending)] + RUNTIMES[ending]
    return contender


def machines_table(results: Mapping[str, Result], name: str) -> str:
    """Bench results of real machines; ``name`` is ``all`` or that of a bundle."""
    chosen = [r for r in results.values() if r.kind == "bench" and name in ("all", r.name)]
    has_gpu = any((result.system or {}).get("gpus") for result in chosen)
    text = markdown_table(list(measured(chosen))) if chosen else ""
    return "\n".join(part for part in (text, "" if has_gpu else AWAITS + "\n") if part)


def install_table(results: Mapping[str, Result], name: str) -> str:
    """Megabytes of wheels of each kind of install.

    Raises:
        DataError: it has not been measured.
    """
    result = next((r for r in results.values() if r.kind == "edge_install" and r.name == name), None)
    if result is None:
        raise DataError(f"there is no install result {name!r}", fix="run python -m snl_edge.benchmarks.edge_install")
    body = [
        [f"`snl-edge{extra}`", f"{own['bytes'] / 1e6:.0f} MB", ", ".join(_largest(own["wheels"]))]
        for install, extra in result.settings["installs"].items()
        for own in [result.figures[install]]
    ]
    where = f"Python {result.versions['python']}, {result.machine['system']}, {result.created[:10]}"
    note = f"<sub>{where}; `{result.command}`</sub>"
    return table(["install", "wheels", "the largest"], body) + "\n" + note + "\n"


def _largest(wheels: Mapping[str, int]) -> list[str]:
    return [f"{name.replace('_', '-')} {size / 1e6:.0f}" for name, size in list(wheels.items())[:3]]


def _interval(ratio: dict[str, Any] | None) -> str:
    if ratio is None or ratio["interval"] is None:
        return "–"
    return f"{ratio['interval'][0]:.2f} to {ratio['interval'][1]:.2f}"
