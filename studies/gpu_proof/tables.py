"""What a GPU proof found, for README and docs; where there is none yet, a line that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from snl_edge.benchmarks.results import Result
from snl_edge.benchmarks.tables import table
from snl_edge.errors import DataError

from .outcome import DRY_RUN, KIND

AWAITS = "Awaits a run on a GPU ([how](gpu-proof.md#how)).\n"
HEADINGS = (
    *("preset", "precision", "score differs by", "products changed", "batch 1 p50", "p99", "engine alone"),
    *("images/s, 1 in flight", "best images/s", "of the engine's"),
)


PRECISIONS = ("fp16", "int8", "fp32")


def gpu_table(results: Mapping[str, Result], name: str) -> str:
    """One row per preset and way to run it, for every machine (``all``) or for that of this name.

    Raises:
        DataError: a result is a dry run, which shows nothing of a GPU.
    """
    chosen = [result for result in results.values() if result.kind == KIND and name in ("all", result.name)]
    if not chosen:
        return AWAITS
    return "\n".join(_one(result) for result in chosen)


def _one(result: Result) -> str:
    found, stood_in = result.figures, result.settings["stood_in"]
    if "driver" in stood_in or result.name == DRY_RUN:
        raise DataError("this GPU result is a dry run", "no GPU gave it", "remove it")
    rows = []
    if not stood_in:  # a stand-in for TensorRT proves the runtime around it; its figures are nobody's
        rows += [_row(found, p, precision) for p in result.settings["presets"] for precision in PRECISIONS]
    rows += [
        [f"`{line['preset']}`", f"PyTorch, {line['what']}", "–", "–", _ms(line["p50"]), _ms(line["p99"]), *4 * ["–"]]
        for line in found.get("pytorch", [])
        if line["batch"] == 1 and "error" not in line
    ]
    gpu = found["gpu"][-1]
    targets = [line["target"] for line in found.get("target", []) if "error" not in line]
    without = "TensorRT-RTX did not run; the runtime was tried with a stand-in for it"
    ran = f"TensorRT-RTX ran, built for {targets[0]}" if targets and not stood_in else without
    failed = [f"{line['step']} (exit {line['exit']})" for line in found.get("step", []) if line["exit"] != 0]
    note = (
        f"<sub>{gpu['name']}, compute capability {gpu['compute_capability']}; {ran}; GPU tests: "
        f"{found['gpu_tests'] or 'not run'}; "
        f"{'failed or cut short: ' + ', '.join(failed) + '; ' if failed else ''}{result.created[:10]}, "
        f"revision {result.revision}</sub>\n"
    )
    return table(list(HEADINGS), [row for row in rows if row]) + "\n" + note


def _row(found: Mapping[str, Any], preset: str, precision: str) -> list[str]:
    """Empty if this engine was never built."""
    mine = {
        kind: [
            line
            for line in found.get(kind, [])
            if line.get("preset") == preset and precision in (line.get("precision"), line.get("what"))
        ]
        for kind in ("parity", "latency", "throughput", "engine")
    }
    if not any(mine.values()):
        return []
    errors = [line["error"] for lines in mine.values() for line in lines if "error" in line]
    if errors:
        return [f"`{preset}`", precision, f"failed: {errors[0][:120]}", *(len(HEADINGS) - 3) * ["–"]]
    parity, latency = _first(mine["parity"]), _first(mine["latency"], batch=1)
    alone = _first(mine["throughput"], batch=1, in_flight=1)
    best = max(mine["throughput"], key=lambda line: line["images_per_s"], default=None)
    return [
        f"`{preset}`",
        precision,
        f"{parity['score']:.1e}" if parity else "–",
        str(parity["products_changed"]) if parity else "–",
        *([_ms(latency["p50"]), _ms(latency["p99"]), _ms(latency["engine_p50"])] if latency else 3 * ["–"]),
        f"{alone['images_per_s']:.0f}" if alone else "–",
        f"{best['images_per_s']:.0f} (batch {best['batch']}, {best['in_flight']} in flight)" if best else "–",
        f"{100 * best['of_engine']:.0f} %" if best else "–",
    ]


def _first(lines: Sequence[dict[str, Any]], **wanted: object) -> dict[str, Any] | None:
    return next((line for line in lines if all(line.get(name) == value for name, value in wanted.items())), None)


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g} ms"
