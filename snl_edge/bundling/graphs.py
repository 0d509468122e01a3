"""From a run folder to the graphs of a bundle: exported, compared with PyTorch, and let through the accuracy gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from snl_edge.data.samples import Dataset, Sample
from snl_edge.errors import ConfigError, EngineError, ExportError
from snl_edge.progress import console
from snl_edge.runtime.backend import backend_kind
from snl_edge.runtime.manifest import OPENVINO_GATES, GateName, Precision
from snl_edge.scoring.scale import ScoreScale

from .gate import GateReport

if TYPE_CHECKING:
    import onnx

    from snl_edge.calibration.table import CalibrationTable
    from snl_edge.export.parity import Parity
    from snl_edge.training.checkpoint import Checkpoint

    from .qualification import Qualified, Qualifier

Wanted = Literal["fp32", "fp16", "int8", "auto"]
PRECISIONS: tuple[Wanted, ...] = get_args(Wanted)


@dataclass(frozen=True)
class Evidence:
    """What INT8 and the gate go by, beside the run itself."""

    dataset: Dataset | None = None
    """Good images for ranges and thresholds; a labelled test set, if it has one, for the gate."""
    table: Path | None = None
    """Calibration table; the run's own if not given."""
    force: bool = False
    """Ship what fails the gate, and say so in the manifest."""


@dataclass
class Graphs:
    """The graphs of a bundle and all that was measured of them."""

    checkpoint: Checkpoint
    graphs: dict[Precision, onnx.ModelProto]
    parity: list[Parity]
    score_scales: dict[Precision, ScoreScale] = field(default_factory=dict)
    gates: dict[GateName, GateReport] = field(default_factory=dict)
    table: CalibrationTable | None = None
    gate_images: Sequence[Sample] = ()
    """Good images that nothing was fitted to, where there is evidence: engines are judged on them."""

    @property
    def doubts(self) -> tuple[str, ...]:
        """What is to be said of the graphs that may ship, a line each."""
        return tuple(record.doubt for record in self.parity if record.doubt and record.precision in self.graphs)

    @property
    def best(self) -> Precision:
        """The smallest that may ship."""
        # Only graphs that passed the gate, or were forced through it, are here.
        return "int8" if "int8" in self.graphs else "fp16" if "fp16" in self.graphs else "fp32"


def make_gated_graphs(run: Path, wanted: Wanted, evidence: Evidence) -> Graphs:
    """The graphs that a bundle of ``wanted`` precision holds, each past the gate; INT8 and auto bring FP16 along.

    What auto cannot have it does without, and says so: FP32 is always there.

    Raises:
        CheckpointError, ExportError: the run cannot be read, a graph that is wanted cannot be made, disagrees or fails
            the gate.
        ConfigError, DataError: what INT8 needs is missing or does not fit.
    """
    if wanted in ("int8", "auto") and evidence.dataset is None:
        raise ConfigError(
            f"--precision {wanted} needs images",
            "ranges, thresholds and the accuracy gate are measured on them",
            "add --data with the folder the model was trained on, best with a labelled test set",
        )
    from snl_edge.calibration.measure import check_products
    from snl_edge.export.graphs import make_graphs
    from snl_edge.training.image_record import find_images

    from .gate_images import gate_images
    from .qualification import Qualifier

    refused: list[str] | None = None if wanted == "fp16" else []
    checkpoint, graphs, parity = make_graphs(run, "fp32" if wanted == "fp32" else "fp16", refused)
    for reason in refused or ():
        console.print(f"no FP16: {reason}")
    made = Graphs(checkpoint, {"fp32": graphs["fp32"]}, parity)
    if wanted == "fp32":
        return made
    held_out: Sequence[Sample] = ()
    learned: Sequence[Sample] = ()
    test: Sequence[Sample] = ()
    good: Sequence[Sample] = reference_samples(run)
    if evidence.dataset is not None:
        dataset = evidence.dataset.with_bits(checkpoint.training.bits)
        found = find_images(run, dataset)
        check_products(found.dataset.train, checkpoint.products)
        learned, held_out = found.of("trained"), found.of("held_out")
        good, test = found.of("gate"), dataset.test
        made.gate_images = good
    qualifier = Qualifier(graphs["fp32"], checkpoint.score_scale, gate_images(test, good), held_out)
    if "fp16" in graphs:
        _add_fp16(made, graphs["fp16"], wanted, evidence, qualifier)
    if wanted == "fp16":
        return made
    try:
        _add_int8(made, run, wanted, evidence, learned, qualifier)
    except ExportError as error:
        if wanted == "int8":
            raise
        console.print(f"no INT8: {error}; {made.best} is the best that passes")
    return made


def _add_fp16(made: Graphs, graph: onnx.ModelProto, wanted: Wanted, evidence: Evidence, qualifier: Qualifier) -> None:
    half = qualifier.qualify(graph, "fp16")
    console.print(half.report.summary())
    if wanted == "fp16":
        _admit(made, "fp16", half, evidence.force, "build with --precision fp32, or ship it anyway with --force")
    elif half.report.passed:
        _admit(made, "fp16", half, False, "")
    else:
        made.gates["fp16"] = half.report
    if "fp16" in made.graphs:
        _judge_on_openvino(made, qualifier, half, "bf16")


def _add_int8(
    made: Graphs, run: Path, wanted: Wanted, evidence: Evidence, learned: Sequence[Sample], qualifier: Qualifier
) -> None:
    from snl_edge.calibration.measure import table_for
    from snl_edge.calibration.sensitivity import write_sensitivity

    graph = made.graphs["fp32"]
    table, images = table_for(graph, run, evidence.table, learned)
    qualified, sensitivity = qualifier.qualify_int8(table, images)
    if sensitivity is not None:
        write_sensitivity(sensitivity, run)
        console.print(f"sensitivity of each layer: {run / 'sensitivity.png'}")
    console.print(qualified.report.summary())
    if qualified.report.passed or wanted == "int8":
        fix = "calibrate on more and other images, use --precision auto or fp16, or ship it anyway with --force"
        _admit(made, "int8", qualified, evidence.force, fix)
        made.table = table
        _judge_on_openvino(made, qualifier, qualified, "int8")
    else:
        made.gates["int8"] = qualified.report
        console.print(f"no INT8: {'; '.join(qualified.report.failures)}; {made.best} is the best that passes")


def _judge_on_openvino(
    made: Graphs, qualifier: Qualifier, qualified: Qualified, precision: Literal["bf16", "int8"]
) -> None:
    """Whether OpenVINO may run it by itself on a CPU; a machine that cannot tell leaves that open, which means no."""
    found = backend_kind("openvino").probe()
    missing = "" if found.available else found.reason
    if not missing:
        from snl_edge.runtime.openvino_backend import emulates

        missing = emulates(precision)
    if missing:
        console.print(f"{precision} in OpenVINO is not judged ({missing}): CPUs will not take it by themselves")
        return
    try:
        judged = qualifier.qualify_on_openvino(qualified, precision)
    except EngineError as error:
        console.print(f"{precision} in OpenVINO is not judged ({error}): CPUs will not take it by themselves")
        return
    console.print(judged.report.summary())
    made.gates[OPENVINO_GATES[precision]] = judged.report
    if precision == "bf16" and judged.report.passed:
        made.graphs["bf16"], made.score_scales["bf16"] = judged.graph, judged.score_scale


def _admit(made: Graphs, precision: Literal["fp16", "int8"], qualified: Qualified, force: bool, fix: str) -> None:
    report = qualified.report.model_copy(update={"forced": force and not qualified.report.passed})
    report.require(fix)
    if report.forced:
        console.print(f"{precision} fails the gate and is shipped by force; the manifest says so", style="bold")
    made.graphs[precision] = qualified.graph
    made.score_scales[precision] = qualified.score_scale
    made.gates[precision] = report


def reference_samples(run: Path) -> list[Sample]:
    """The reference images that every run keeps, one per product."""
    from snl_edge.image_files import list_images
    from snl_edge.training.reference import FOLDER

    return [Sample(path, path.stem, "good") for path in list_images(run / FOLDER)]
