"""`snl-edge build`: from a trained run to a bundle with its graphs, and to the engine inside it."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from snl_edge import provenance
from snl_edge.atomic import scratch_folder
from snl_edge.errors import BundleError
from snl_edge.export.engine import build_bundle_engine
from snl_edge.outside.files import real_path
from snl_edge.progress import console, progress_bar
from snl_edge.runtime.bundle import ENGINES, Bundle
from snl_edge.runtime.bundle_writer import write_bundle
from snl_edge.runtime.engine_record import EngineRecord, FlavourName
from snl_edge.runtime.gpu import present_gpus
from snl_edge.runtime.ignored import region_pictures
from snl_edge.runtime.manifest import FILE as MANIFEST
from snl_edge.runtime.manifest import BundleContent, FrameSpec, InputSpec, Lineage, Precision, sha256_of
from snl_edge.runtime.signature import configured_trust
from snl_edge.runtime.tensorrt_flavour import load_flavour
from snl_edge.runtime.tuning import Tuning, tuning_of

from .engine_trial import engine_images, keep_or_remove
from .graphs import Evidence, Wanted, make_gated_graphs

if TYPE_CHECKING:
    import onnx

    from snl_edge.training.checkpoint import Checkpoint

NOTHING = Evidence()


DEFAULT_MAX_BATCH = 8


@dataclass(frozen=True)
class _Options:
    """How TensorRT builds; arguments as `build_bundle_engine`."""

    max_batch: int | None
    opt_batch: int | None
    flavour: FlavourName | None
    compute_capabilities: Sequence[str] | None
    workspace_bytes: int | None


def build(
    source: Path,
    out: Path | None,
    precision: Wanted,
    *,
    engine: bool = True,
    frame: FrameSpec | None = None,
    max_batch: int | None = None,
    opt_batch: int | None = None,
    flavour: FlavourName | None = None,
    compute_capabilities: Sequence[str] | None = None,
    workspace_bytes: int | None = None,
    evidence: Evidence = NOTHING,
) -> Path:
    """Makes a bundle out of the run folder ``source``, or takes the bundle ``source``; builds its engine.

    A run folder needs torch and onnx; a bundle needs neither, so a device can build its own engine. No graph enters
    a bundle, and no earlier bundle is replaced, before the accuracy gate has passed or was overruled.

    With ``frame``, the graphs take frames of that size and those colours alone and resize them on the device.

    With a GPU at hand, an INT8 engine is timed against an FP16 one, and judged on the images of ``evidence`` if
    there are any.

    Returns:
        the bundle's folder.

    Raises:
        EngineError: there is no TensorRT, or it refuses the graph.
        CheckpointError, ExportError, BundleError, OutputError, ConfigError, DataError: see the steps.
    """
    bundled = (source / MANIFEST).is_file()
    if engine:  # what cannot be built is said before minutes of work, and before a bundle with its engines is replaced
        installed = load_flavour(flavour)
        installed.capabilities(compute_capabilities, next(iter(present_gpus()), None))
        largest = max_batch or (Bundle.open(source).manifest.input.max_batch if bundled else DEFAULT_MAX_BATCH)
        installed.profiles(opt_batch, largest)
    if bundled:
        if out is not None and out != source:
            raise BundleError(f"{source} is a bundle already", "its engine is built inside it", "leave out --out")
        if not engine:
            raise BundleError(f"{source} is a bundle already", "without an engine there is nothing to build in it")
        bundle = Bundle.open(source)
        if frame is not None and frame != bundle.manifest.input.frame:
            raise BundleError(
                f"the graphs of {source} take {bundle.manifest.input.frame or 'frames of any size'}",
                "what they take was fixed when they were made",
                "build from the run folder, with --frame",
            )
        chosen = best_graph(bundle) if precision == "auto" else precision
    else:
        folder = out or source / "bundle"
        bundle, chosen = _bundle_from_run(source, folder, precision, max_batch or DEFAULT_MAX_BATCH, frame, evidence)
    if note := memory_of_frames(bundle.manifest.input, max_batch):
        console.print(note)
    if engine:
        options = _Options(max_batch, opt_batch, flavour, compute_capabilities, workspace_bytes)
        _build_engines(bundle, chosen, precision == "auto", options, evidence)
        if configured_trust().keys is not None:
            console.print(f"no signature covers what was built here: snl-edge sign {bundle.path} --key FILE")
    return bundle.path


def kept_tuning(earlier: Bundle, checkpoint: Checkpoint) -> Tuning:
    """What people changed of the thresholds in the bundle that a build replaces, as far as it holds for the new one.

    It holds for the same model with the same score scale, on which it was chosen. Either way it is said.
    """
    folder, manifest = earlier.path, earlier.manifest
    tuned = tuning_of(manifest)
    if not tuned:
        return tuned
    if manifest.score_scale == checkpoint.score_scale and manifest.weights_sha256 in (None, checkpoint.weights_sha256):
        console.print(f"thresholds set by hand are kept: {tuned} (`snl-edge threshold {folder} --reset` undoes them)")
        return tuned
    console.print(
        f"thresholds set by hand are not kept, as they were chosen for another model: {tuned}; "
        f"set them again with `snl-edge threshold {folder} VALUE --product NAME`"
    )
    return Tuning()


def lineage_of(run: Path, checkpoint: Checkpoint) -> Lineage:
    """Where a bundle comes from that is built here from the run folder ``run``.

    Raises:
        CheckpointError: the run's record of its images is damaged.
    """
    from snl_edge.training.config import image_list
    from snl_edge.training.image_record import read_run_images

    record = image_list(run)
    kept = record.is_file()
    return Lineage(
        images=len(read_run_images(run).images) if kept else checkpoint.training_images,
        trained_images=checkpoint.training_images,
        images_sha256=sha256_of(record) if kept else None,
        steps=checkpoint.training.steps,
        seed=checkpoint.training.seed,
        start_weights=checkpoint.training.start_weights,
        trained=checkpoint.created,
        revision=checkpoint.revision,
        host=platform.node(),
    )


def best_graph(bundle: Bundle) -> Precision:
    """The smallest graph of the bundle; none is in it that the gate did not let through."""
    return next(p for p in ("int8", "fp16", "fp32") if p in bundle.manifest.graphs)


def memory_of_frames(spec: InputSpec, max_batch: int | None) -> str:
    """What a batch of frames takes, in words; nothing where the host resizes."""
    if spec.frame is None:
        return ""
    batch = max_batch or spec.max_batch
    less = "; --max-batch 1 takes least" if batch > 1 else ""
    return (
        f"a frame of {spec.frame} is {spec.frame.bytes / 1e6:.1f} MB: the largest batch, of {batch}, takes "
        f"{batch * spec.frame.bytes / 1e6:.1f} MB on the host and as much on the GPU{less}"
    )


def _build_engines(bundle: Bundle, chosen: Precision, auto: bool, options: _Options, evidence: Evidence) -> None:
    present = present_gpus()
    images = (
        engine_images(bundle, evidence.dataset.with_bits(bundle.manifest.input.bits))
        if present and evidence.dataset is not None
        else None
    )
    record = _build_engine(bundle, chosen, options)
    if not present or record.gpu is None:
        if chosen == "int8":
            console.print(
                "no GPU here has run this engine: whether INT8 is faster than FP16 on yours is unproven; "
                f"`snl-edge build {bundle.path} --precision auto` on the device measures it"
            )
        return
    rival = None
    if chosen == "int8" and "fp16" in bundle.manifest.graphs:
        rival = _build_engine(bundle, "fp16", options)
    keep_or_remove(bundle, record, rival, auto=auto, images=images, force=evidence.force)


def _build_engine(bundle: Bundle, precision: Precision, options: _Options) -> EngineRecord:
    # TensorRT-RTX times no kernels while building, so it has nothing to cache.
    timings = None if load_flavour(options.flavour).is_rtx else bundle.path / ENGINES / "timing.cache"
    with progress_bar(f"building the {precision} engine") as report:
        record = build_bundle_engine(
            bundle,
            precision=precision,
            flavour=options.flavour,
            max_batch=options.max_batch,
            opt_batch=options.opt_batch,
            compute_capabilities=options.compute_capabilities,
            timing_cache=timings,
            workspace_bytes=options.workspace_bytes,
            progress=report,
        )
    size = bundle.engine_path(record).stat().st_size / 1e6
    console.print(
        f"engine {record.file}: {record.flavour} {record.version}, compute capability "
        f"{', '.join(record.compute_capabilities)}, batch 1 to {record.max_batch}, {size:.1f} MB"
    )
    return record


def _bundle_from_run(
    run: Path, folder: Path, wanted: Wanted, max_batch: int, frame: FrameSpec | None, evidence: Evidence
) -> tuple[Bundle, Precision]:
    from snl_edge.export.onnx_graph import graph_metadata, save_graph
    from snl_edge.training.ignored import regions_of

    made = make_gated_graphs(run, wanted, evidence)
    checkpoint = made.checkpoint
    graphs: dict[Precision, onnx.ModelProto] = {name: own for name, own in made.graphs.items() if name != "bf16"}
    parity: dict[Precision, dict[str, JsonValue]] = {
        record.precision: record.model_dump(exclude={"precision"}) for record in made.parity
    }
    if frame is not None:
        from snl_edge.export.frame_parity import add_fronts

        graphs, frames = add_fronts(run, graphs, frame)
        for name, record in frames.items():
            parity.setdefault(name, {})["frame"] = record.model_dump()
    ignored, pictures = region_pictures(regions_of(run))
    with scratch_folder() as temporary:
        files: dict[Precision, Path] = {
            name: save_graph(graph, temporary / f"{name}.onnx") for name, graph in graphs.items()
        }
        if "bf16" in made.graphs:
            files["bf16"] = files["fp16"]
        content = BundleContent.checked(
            name=real_path(run).name,
            input=InputSpec(
                height=checkpoint.model.height,
                width=checkpoint.model.width,
                max_batch=max_batch,
                frame=frame,
                bits=checkpoint.training.bits,
            ),
            products=checkpoint.products,
            reject_limits=graph_metadata(made.graphs["fp32"]).get("reject_limits", {}),
            score_scale=checkpoint.score_scale,
            product_thresholds=checkpoint.score_scale.product_thresholds,
            score_scales=made.score_scales,
            parity=parity,
            gates={name: report.model_dump(mode="json") for name, report in made.gates.items()},
            scores_vouch_for_maps=True,
            versions=provenance.versions(),
            reference=checkpoint.reference,
            doubts=(*checkpoint.doubts, *made.doubts),
            ignored=ignored,
            weights_sha256=checkpoint.weights_sha256,
            held_out=tuple(sha256_of(sample.path) for sample in made.gate_images),
            lineage=lineage_of(run, checkpoint),
        )
        bundle = write_bundle(
            folder,
            files,
            content,
            attachments={**pictures, **({"calibration.json": made.table.text()} if made.table else {})},
            kept_tuning=lambda earlier: kept_tuning(earlier, checkpoint),
        )
    console.print(f"bundle {folder}: {', '.join(made.graphs)} graphs")
    return bundle, made.best if wanted == "auto" else wanted
