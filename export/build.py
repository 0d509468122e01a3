"""`snl-edge build`: from a trained run to a bundle with its graphs, and to the engine inside it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from snl_edge import provenance
from snl_edge.errors import BundleError
from snl_edge.progress import console, progress_bar
from snl_edge.runtime.bundle import ENGINES, Bundle
from snl_edge.runtime.bundle_writer import write_bundle
from snl_edge.runtime.engine_record import FlavourName
from snl_edge.runtime.manifest import FILE as MANIFEST
from snl_edge.runtime.manifest import InputSpec
from snl_edge.runtime.manifest import Precision as ManifestPrecision
from snl_edge.runtime.tensorrt_flavour import load_flavour

from .engine import build_bundle_engine

if TYPE_CHECKING:
    import onnx

    from snl_edge.training.checkpoint import Checkpoint

    from .parity import Parity

Precision = Literal["fp32", "fp16"]


def build(
    source: Path,
    out: Path | None,
    precision: Precision,
    *,
    engine: bool = True,
    max_batch: int | None = None,
    flavour: FlavourName | None = None,
    compute_capabilities: Sequence[str] | None = None,
    workspace_bytes: int | None = None,
) -> Path:
    """Makes a bundle out of the run folder ``source``, or takes the bundle ``source``; builds its engine.

    A run folder needs torch and onnx; a bundle needs neither, so a device can build its own engine.

    Returns:
        the bundle's folder.

    Raises:
        EngineError: there is no TensorRT, or it refuses the graph.
        CheckpointError, ExportError, BundleError, OutputError: see the steps.
    """
    if engine:
        load_flavour(flavour)  # no TensorRT: say so before minutes of work
    if (source / MANIFEST).is_file():
        if out is not None and out != source:
            raise BundleError(f"{source} is a bundle already", "its engine is built inside it", "leave out --out")
        if not engine:
            raise BundleError(f"{source} is a bundle already", "without an engine there is nothing to build in it")
        bundle = Bundle.open(source)
    else:
        bundle = _bundle_from_run(source, out or source / "bundle", precision, max_batch or 8)
    if engine:
        # TensorRT-RTX times no kernels while building, so it has nothing to cache.
        timings = None if load_flavour(flavour).is_rtx else bundle.path / ENGINES / "timing.cache"
        with progress_bar("building the engine") as report:
            record = build_bundle_engine(
                bundle,
                precision=precision,
                flavour=flavour,
                max_batch=max_batch,
                compute_capabilities=compute_capabilities,
                timing_cache=timings,
                workspace_bytes=workspace_bytes,
                progress=report,
            )
        size = bundle.engine_path(record).stat().st_size / 1e6
        console.print(
            f"engine {record.file}: {record.flavour} {record.version}, compute capability "
            f"{', '.join(record.compute_capabilities)}, batch 1 to {record.profile.max}, {size:.1f} MB"
        )
    return bundle.path


def make_graphs(run: Path, precision: Precision) -> tuple[Checkpoint, dict[Precision, onnx.ModelProto], list[Parity]]:
    """Exports the run's model and checks every graph against PyTorch; FP32 always, FP16 if asked for.

    Raises:
        CheckpointError, ExportError: the run cannot be read, or a graph cannot be made or disagrees.
    """
    from snl_edge.training.checkpoint import load_model
    from snl_edge.training.reference import load_reference

    from .fused_graph import FusedGraph
    from .onnx_graph import export_onnx
    from .parity import measure_parity, parity_images, run_pytorch
    from .precision import to_fp16

    model, checkpoint = load_model(run)
    images = parity_images(load_reference(run))
    with console.status("exporting the fused graph"):
        graphs: dict[Precision, onnx.ModelProto] = {
            "fp32": export_onnx(model, checkpoint.calibration, checkpoint.products)
        }
        if precision == "fp16":
            graphs["fp16"] = to_fp16(graphs["fp32"])
    with console.status("comparing every graph with PyTorch"):
        expected = run_pytorch(FusedGraph(model, checkpoint.calibration.gain).eval(), images)
        parity = [measure_parity(name, graph, images, expected) for name, graph in graphs.items()]
    for record in parity:
        console.print(record.summary())
    return checkpoint, graphs, parity


def _bundle_from_run(run: Path, folder: Path, precision: Precision, max_batch: int) -> Bundle:
    from .onnx_graph import save_graph

    checkpoint, graphs, parity = make_graphs(run, precision)
    with tempfile.TemporaryDirectory() as temporary:
        files: dict[ManifestPrecision, Path] = {
            name: save_graph(graph, Path(temporary) / f"{name}.onnx") for name, graph in graphs.items()
        }
        bundle = write_bundle(
            folder,
            files,
            name=run.resolve().name,
            input=InputSpec(height=checkpoint.model.height, width=checkpoint.model.width, max_batch=max_batch),
            products=checkpoint.products,
            calibration=checkpoint.calibration,
            product_thresholds=checkpoint.calibration.product_thresholds,
            parity={record.precision: record.model_dump(exclude={"precision"}) for record in parity},
            versions=provenance.versions(),
            reference=checkpoint.reference,
        )
    console.print(f"bundle {folder}: {', '.join(graphs)} graphs")
    return bundle
