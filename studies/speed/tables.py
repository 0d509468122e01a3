"""Speed for README and docs: beside peers on the CPU, on real machines, and what a device downloads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snl_edge.benchmarks.latency import CONFIDENCE
from snl_edge.benchmarks.report import markdown_table, measured
from snl_edge.benchmarks.results import Result
from snl_edge.benchmarks.tables import origin, table
from snl_edge.errors import DataError

from ..result_files import find_result, require_result

TITLES = {
    "snl_openvino_fp32": "**ours**, OpenVINO",
    "snl_openvino_bf16": "**ours**, BF16, OpenVINO",
    "snl_openvino_int8": "**ours**, INT8, OpenVINO",
    "snl_onnxruntime_fp32": "**ours**, ONNX Runtime",
    "snl_onnxruntime_int8": "**ours**, INT8, ONNX Runtime",
    "openvino_bf16_graph": "our graph, OpenVINO as it comes (not offered: it rounds distances to BF16, too)",
    "pytorch_eager": "our model, PyTorch eager",
    "pytorch_compile": "our model, torch.compile",
    "efficientad_s": "anomalib EfficientAD-S",
    "anomalib_rd_resnet18": "anomalib Reverse Distillation, ResNet-18",
    "anomalib_rd_wide_resnet50_2": "anomalib Reverse Distillation, WideResNet-50-2",
    "anomavision_padim_resnet18": "AnomaVision PaDiM, ResNet-18",
}
WAYS = {
    "openvino_fp32": "OpenVINO, FP32",
    "openvino_bf16": "OpenVINO, BF16",
    "openvino_int8": "OpenVINO, INT8",
    "onnxruntime_fp32": "ONNX Runtime, FP32",
    "onnxruntime_int8": "ONNX Runtime, INT8",
}
TITLES |= {f"teacher_{way}": f"its bare teacher, {words}" for way, words in WAYS.items()}
RUNTIMES = {
    "_openvino": ", OpenVINO as it comes",
    "_openvino_f32": ", OpenVINO in FP32",
    "_onnxruntime": ", ONNX Runtime",
}
GROUPS = {
    "edge": "`edge` preset",
    "resnet18": "ResNet-18",
    "wide_resnet50_2": "WideResNet-50-2 (`accurate`)",
}
AWAITS = "Rows of a Jetson and of a dGPU await a run there. One command makes them: `snl-edge bench BUNDLE`."
AWAITS_SPEED = "Awaits a run on a quiet machine: `python -m studies.speed.beside_peers --name {}`."
BACKBONES = ("resnet18", "wide_resnet50_2")


def speed_headlines(results: Mapping[str, Result], name: str) -> dict[str, Any]:
    """The ratios one looks at first; of two backbones the worse. Empty where nothing has been measured."""
    found = find_result(results, "speed", name)
    if found is None:
        return {}
    file, result = found
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
        # Files of before it stood beside us know nothing of the teacher alone.
        "of_teacher": {
            group: {way: ratio["ratio"] for way, ratio in own["of_teacher"].items()}
            for group, own in groups.items()
            if "of_teacher" in own
        },
        "file": file,
    }


def speed_table(results: Mapping[str, Result], name: str) -> str:
    """One row per contender and group: median milliseconds, and our best one's time as a share of it."""
    found = find_result(results, "speed", name)
    if found is None:
        return AWAITS_SPEED.format(name) + "\n"
    _, result = found
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
    headings = ["", "ms", "ours / this", f"{CONFIDENCE} % interval"]
    return table(headings, body) + "\n" + _source(result) + "\n"


def ratios_table(results: Mapping[str, Result], name: str) -> str:
    """What our time is of the peers' times, in short: one row per peer, one column per group."""
    found = find_result(results, "speed", name)
    if found is None:
        return AWAITS_SPEED.format(name) + "\n"
    _, result = found
    groups = result.figures["groups"]
    rows = {
        "anomalib Reverse Distillation, OpenVINO as it comes": "anomalib_rd_{}_openvino",
        "the same in FP32": "anomalib_rd_{}_openvino_f32",
        "anomalib EfficientAD-S, OpenVINO as it comes": "efficientad_s_openvino",
        "AnomaVision PaDiM on ResNet-18, OpenVINO as it comes": "anomavision_padim_resnet18_openvino",
        "PyTorch eager, our own model": "pytorch_eager",
    }
    body = [
        [label, *(_share(groups[group]["ratios"].get(peer.format(group))) for group in groups)]
        for label, peer in rows.items()
    ]
    headings = ["our time as a share of that of …", *(GROUPS[group] for group in groups)]
    return table(headings, body) + "\n" + _source(result) + "\n"


def teacher_table(results: Mapping[str, Result], name: str) -> str:
    """What the whole graph takes as a multiple of its teacher alone, by backend and precision: one column per group."""
    found = find_result(results, "speed", name)
    if found is None or not all("of_teacher" in own for own in found[1].figures["groups"].values()):
        return AWAITS_SPEED.format(name) + "\n"
    _, result = found
    groups = result.figures["groups"]
    body = []
    for way, words in WAYS.items():
        cells = [words]
        for own in groups.values():
            ratio = own["of_teacher"].get(f"snl_{way}")
            if ratio is None:
                cells += ["–", "–"]
                continue
            alone = own["milliseconds"][f"teacher_{way}"]["graph"]["median"]
            cells += [f"{alone:.1f}", f"{ratio['ratio']:.2f}"]
        body.append(cells)
    headings = [
        "",
        *(text for group in groups for text in (f"{GROUPS[group]}: teacher, ms", "whole graph, times that")),
    ]
    return table(headings, body) + "\n" + _source(result) + "\n"


TRAINING = {
    "snl": "ours",
    "snl_cached": "ours, teacher's features cached (what training does on a CPU)",
    "anomalib_rd": "anomalib Reverse Distillation",
}


def training_headlines(results: Mapping[str, Result]) -> dict[str, Any]:
    """Our training's images per second over those of anomalib's Reverse Distillation, by backbone."""
    return {
        result.name: {
            "vs_anomalib_rd": result.figures["speedup"]["snl"]["median"],
            "vs_anomalib_rd_cached": result.figures["speedup"]["snl_cached"]["median"],
            "file": file,
        }
        for file, result in results.items()
        if result.kind == "training_speed"
    }


def training_speed_table(results: Mapping[str, Result], backbone: str) -> str:
    """Images per second of a training step, and how many times the peer's that is.

    Raises:
        DataError: it has not been measured.
    """
    result = require_result(results, "training_speed", backbone)
    settings, figures = result.settings, result.figures
    range_of = lambda own, digits: f"{own['lowest']:.{digits}f} to {own['highest']:.{digits}f}"  # noqa: E731
    body = []
    for name, own in figures["images_per_second"].items():
        times = figures["speedup"].get(name)
        body.append(
            [
                TRAINING[name],
                f"{own['median']:.1f}",
                range_of(own, 1),
                f"{times['median']:.1f}" if times else "1",
                range_of(times, 1) if times else "–",
            ]
        )
    note = (
        f"<sub>{GROUPS[backbone]}, {settings['height']}×{settings['width']}, batches of {settings['batch_size']}, "
        f"{settings['threads']} threads, {settings['rounds']} interleaved rounds, {result.machine['processor']}, "
        f"{origin(result)}</sub>\n"
    )
    headings = ["a training step of", "images/s", "rounds", "times anomalib's", "rounds"]
    return table(headings, body) + "\n" + note


def _share(ratio: dict[str, Any] | None) -> str:
    return "–" if ratio is None else f"{ratio['ratio']:.2f}"


def _source(result: Result) -> str:
    settings, noise = result.settings, result.figures["noise"]["warnings"]
    return (
        f"<sub>256×256, one image at a time, {settings['threads']} threads, {settings['rounds']} interleaved rounds, "
        f"{result.machine['processor']}, {origin(result)}" + "".join(f"; {warning}" for warning in noise) + "</sub>"
    )


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
    found = find_result(results, "edge_install", name)
    if found is None:
        raise DataError(f"there is no install result {name!r}", fix="run python -m studies.speed.edge_install")
    result = found[1]
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
