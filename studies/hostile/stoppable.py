"""Commands that write something, what they need, and whether what they left is whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
from safetensors import safe_open

from snl_edge.atomic import write_text
from snl_edge.bundling.build import build
from snl_edge.calibration.table import read_table
from snl_edge.data.layouts import open_dataset
from snl_edge.data.synthetic import write_synthetic_line
from snl_edge.infer.lines import LINE as LINE_OF
from snl_edge.infer.lines import Run
from snl_edge.infer.verdict_file import RUN as INFER_RUN
from snl_edge.infer.verdict_file import VERDICTS
from snl_edge.model.config import override
from snl_edge.model.presets import preset
from snl_edge.runtime.bundle import Bundle
from snl_edge.runtime.manifest import sha256_of
from snl_edge.training import resume
from snl_edge.training.checkpoint import verify_checkpoint
from snl_edge.training.config import TrainingConfig
from snl_edge.training.loop import train

SIDE, STEPS = 64, 20
LINE, RUN = "line", "run"
BUNDLE = f"{RUN}/bundle"
GRAPH, OUT = "snl.onnx", "out"
PRODUCTS = ("gear", "wood")
NOTE = f"{BUNDLE}/note.txt"
"""A user's own file in the bundle, which a build keeps."""
_EARLIER = "earlier.json"
"""In the prepared folder: what lay there before a command ran."""
_STEPS, _BATCH, _THRESHOLD = STEPS + 5, 3, 0.51
"""What tells a command's new result from the earlier one."""


@dataclass(frozen=True)
class Scenario:
    """One command.

    Attributes:
        name: of the command.
        arguments: behind ``snl-edge``, to be run in a folder of `prepare`.
        state: what is there after it: ``old``, ``resumable`` or ``new``; raises where it is not whole.
        resume: more arguments, to go on from what is resumable.
    """

    name: str
    arguments: tuple[str, ...]
    state: Callable[[Path], str]
    resume: tuple[str, ...] = ()


def prepare(folder: Path) -> Path:
    """Draws a small line, trains on it, builds, and leaves a result of each command in ``folder``."""
    line, run = folder / LINE, folder / RUN
    write_synthetic_line(line, seed=1, train=12, good=2, defective=3, products=list(PRODUCTS))
    config = override(preset("edge"), [f"height={SIDE}", f"width={SIDE}"])
    train(config, TrainingConfig(steps=STEPS, batch_size=4), open_dataset(line), run)
    build(run, None, "fp16", engine=False)
    (folder / NOTE).write_text("kept\n", encoding="utf-8")
    (folder / GRAPH).write_bytes((run / "bundle" / "fp32.onnx").read_bytes())
    earlier = {"weights": verify_checkpoint(run).weights, "graph": sha256_of(folder / GRAPH)}
    write_text(folder / _EARLIER, json.dumps(earlier))
    return folder


def _earlier(folder: Path) -> dict[str, str]:
    return json.loads((folder / _EARLIER).read_text(encoding="utf-8"))


def _trained(folder: Path) -> str:
    run = folder / RUN
    if verify_checkpoint(run).weights != _earlier(folder)["weights"]:
        return "new"
    Bundle.open(folder / BUNDLE)  # still of this run's model
    if not (run / resume.FILE).exists():
        return "old"
    with safe_open(run / resume.FILE, framework="pt") as file:
        for tensor in file.keys():  # noqa: SIM118  no dictionary
            file.get_tensor(tensor)
    return "resumable"


def _exported(folder: Path) -> str:
    onnx.checker.check_model(folder / GRAPH, full_check=True)
    return "old" if sha256_of(folder / GRAPH) == _earlier(folder)["graph"] else "new"


def _calibrated(folder: Path) -> str:
    table = folder / RUN / "calibration.json"
    if not table.exists():
        return "old"
    read_table(table)
    return "new"


def _built(folder: Path) -> str:
    if (folder / NOTE).read_text(encoding="utf-8") != "kept\n":
        raise ValueError(f"{NOTE} is not what it was")
    return "new" if Bundle.open(folder / BUNDLE).manifest.input.max_batch == _BATCH else "old"


def _threshold_set(folder: Path) -> str:
    return "new" if Bundle.open(folder / BUNDLE).manifest.threshold_for(PRODUCTS[0]) == _THRESHOLD else "old"


def _inferred(folder: Path) -> str:
    run, lines = folder / OUT / INFER_RUN, folder / OUT / VERDICTS
    if not run.exists():
        return "old"
    if (summary := Run.model_validate_json(run.read_bytes()).summary) is None:
        return "resumable"
    told = [LINE_OF.validate_json(text) for text in lines.read_bytes().splitlines()]
    if len(told) != summary.pictures:
        raise ValueError(f"{VERDICTS} has {len(told)} lines of {summary.pictures} pictures")
    return "new"


SCENARIOS = (
    Scenario(
        "train",
        ("train", LINE, "--out", RUN, "--replace", "--size", str(SIDE), "--steps", str(_STEPS), "--batch-size", "4"),
        _trained,
    ),
    Scenario("export", ("export", RUN, "--out", GRAPH, "--precision", "fp16"), _exported),
    Scenario("calibrate", ("calibrate", LINE, "--model", RUN, "--images", "4"), _calibrated),
    Scenario("build", ("build", RUN, "--onnx-only", "--max-batch", str(_BATCH)), _built),
    Scenario("infer", ("infer", LINE, "--bundle", BUNDLE, "--out", OUT, "--resume"), _inferred),
    Scenario(
        "threshold", ("threshold", BUNDLE, str(_THRESHOLD), "--product", PRODUCTS[0], "--confirm"), _threshold_set
    ),
)
