"""Budgets: upper limits of counts of the fused graph and of the runtime. A test fails where one is exceeded.

Counts, not times, so that any machine can hold them. ``python -m studies.speed.budgets`` counts the `edge` preset
again and writes ``budgets.json``; the tests compare. A smaller figure is written, too, and is the new limit.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import typer

from snl_edge.atomic import write_text
from snl_edge.benchmarks.graph_counts import count_graph
from snl_edge.benchmarks.memory import allocated_per_frame
from snl_edge.model.presets import preset
from snl_edge.runtime.detector import Detector

from ..command import run_command
from ..random_models import write_random_bundle

FILE = Path(__file__).with_name("budgets.json")
PRESET = "edge"
COUNTED = (
    *("nodes", "transposes", "casts", "flops", "fp32_matrix_flops"),
    *("weight_bytes", "activation_bytes", "io_bytes"),
)
ALLOWED_BYTES = 16_384
"""Of Python objects for one frame: its verdict and views. Its map alone has 262,144 bytes."""


def count(folder: Path) -> dict[str, dict[str, Any]]:
    """Counts of both graphs of a bundle with random weights made in ``folder``, and bytes allocated per frame."""
    bundle = write_random_bundle(preset(PRESET), folder)
    counted = {p: count_graph(bundle.graph(p)) for p in bundle.manifest.graphs}
    figures: dict[str, dict[str, Any]] = {p: {name: own[name] for name in COUNTED} for p, own in counted.items()}
    frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    with Detector.load(folder, backend="onnxruntime", threads=1) as detector:
        figures["runtime"] = {"allocated_per_frame": allocated_per_frame(detector, [frame])["peak"]}
    return figures


def excesses(counted: dict[str, dict[str, Any]], budgets: dict[str, dict[str, Any]]) -> list[str]:
    """Every figure above its budget, in words."""
    return [
        f"{part} {name}: {counted[part][name]:,} above the budget of {allowed:,}"
        for part, own in budgets.items()
        for name, allowed in own.items()
        if counted[part][name] > allowed
    ]


def read_budgets() -> dict[str, dict[str, Any]]:
    """The committed budgets."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def budgets() -> None:
    """Counts, says what changed, and writes the budgets."""
    with tempfile.TemporaryDirectory() as temporary:
        counted = count(Path(temporary) / "bundle")
    counted["runtime"]["allocated_per_frame"] = ALLOWED_BYTES
    for part, own in (read_budgets() if FILE.is_file() else {}).items():
        for name, before in own.items():
            if before != counted[part][name]:
                typer.echo(f"{part} {name}: {before:,} becomes {counted[part][name]:,}")
    write_text(FILE, json.dumps(counted, indent=1) + "\n")
    typer.echo(f"wrote {FILE.name}")


if __name__ == "__main__":
    run_command(budgets)
