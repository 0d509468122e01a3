"""The way of one model, for Python and for the command line: data set, run, evaluation, bundle.

These functions stand at the top of the package, as :func:`snl_edge.train` and so on; ``snl-edge train`` and its kin
call them. Progress and messages go to stderr; ``snl_edge.progress.console.quiet = True`` keeps them off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from snl_edge.errors import ConfigError
from snl_edge.extras import GRAPHS, TRAINING, require

if TYPE_CHECKING:
    from snl_edge.bundling.graphs import Wanted
    from snl_edge.data.layouts import LayoutName
    from snl_edge.data.samples import Dataset
    from snl_edge.evaluation.results import Evaluation
    from snl_edge.evaluation.robustness import Robustness
    from snl_edge.loggers import LoggerName, Loggers
    from snl_edge.model.config import SnlConfig
    from snl_edge.runtime.bundle import Bundle
    from snl_edge.runtime.engine_record import FlavourName
    from snl_edge.runtime.manifest import FrameSpec
    from snl_edge.training.config import TrainingConfig
    from snl_edge.training.run import Run


def train(
    data: Path | str | Dataset,
    out: Path | str,
    *,
    model: SnlConfig | str | None = None,
    settings: Sequence[str] = (),
    training: TrainingConfig | None = None,
    cluster: str | None = None,
    ignore: Path | str | None = None,
    resume: bool = False,
    replace: bool = False,
    start_from: Path | str | None = None,
    review: Path | str | None = None,
    log: Sequence[LoggerName] = (),
) -> Run:
    """Learns what good parts look like, and writes a run folder.

    The same seed, images and machine give the same model. No defect and no test image is ever looked at. Needs the
    ``train`` extra.

    Example:
        ```python
        from snl_edge import TrainingConfig, train

        run = train("parts/", "runs/line3", training=TrainingConfig(steps=600))
        print(run.products, run.checkpoint.doubts)
        ```

    Args:
        data: a data set, or the folder or table that :func:`open_dataset` understands.
        out: the run folder.
        model: a preset's name (``edge``, ``balanced``, ``accurate``) or a whole configuration. If not given: that of
            ``start_from``, else ``edge``.
        settings: changes of it, as ``height=512`` or ``student.cram.centres=32``.
        training: steps, batch size, seed and the rest; the defaults of :class:`TrainingConfig` if not given.
        cluster: nobody sorted ``data``: how many products to find in it, or ``auto``.
        ignore: folder of regions that do not count, ``PRODUCT.png`` (not black) or ``PRODUCT.json`` (polygons).
        resume: go on with the interrupted run in ``out``.
        replace: train again where ``out`` holds a run, which stays valid until the new one is finished.
        start_from: a finished run whose student is trained on; ``data`` needs its images, too, or they are forgotten.
        review: the run's ``review/suspicious.csv`` with verdicts of a person.
        log: where losses go, too: ``tensorboard`` (``out/tensorboard``), ``mlflow``, or both.

    Raises:
        ConfigError: a setting cannot work, or packages are missing: the message names the extra.
        DataError: an image, the review or too small a product cannot be used; nothing has been written then.
        CheckpointError: the teacher's weights, or the run in ``start_from``, is not available.
        OutputError: ``out`` cannot be written, or holds a run that may not be replaced.
    """
    require("training", *TRAINING, *(["sklearn"] if cluster else []), extra="train")
    from snl_edge.training.config import TrainingConfig
    from snl_edge.training.loop import train as run_training
    from snl_edge.training.run import Run

    training = training or TrainingConfig()
    started = None if start_from is None else Path(start_from)
    config = configured(model, settings, started)
    dataset = opened(data).with_bits(training.bits)
    if cluster is not None:
        from snl_edge.training.cluster import cluster_products

        dataset = cluster_products(dataset, config, cluster, training.batch_size)
    ignored = None
    if ignore is not None:
        from snl_edge.data.regions import read_regions

        ignored = read_regions(Path(ignore), dataset, config.size)
    folder = Path(out)
    said = {"model": config.model_dump(), "training": training.model_dump(), "products": list(dataset.products)}
    with logging_to(log, folder, f"train {folder.name}", said) as loggers:
        checkpoint = run_training(
            config,
            training,
            dataset,
            folder,
            resume=resume,
            ignored=ignored,
            replace=replace,
            start_from=started,
            review=None if review is None else Path(review),
            log=loggers.write,
        )
    return Run(folder, checkpoint)


def configured(model: SnlConfig | str | None, settings: Sequence[str], start_from: Path | None) -> SnlConfig:
    """What to train; arguments as `train`, which has it looked at before the data.

    Raises:
        ConfigError: a setting does not exist or cannot work.
        CheckpointError: ``start_from`` holds no run.
    """
    from snl_edge.model.config import SnlConfig, override
    from snl_edge.model.presets import preset
    from snl_edge.training.checkpoint import read_checkpoint

    if model is None and start_from is not None and not settings:
        return read_checkpoint(start_from).model
    return override(model if isinstance(model, SnlConfig) else preset("edge" if model is None else model), settings)


def load_run(path: Path | str) -> Run:
    """A finished run, its weights checked against their hash. Needs the ``train`` extra.

    Example:
        ```python
        from snl_edge import load_run

        run = load_run("runs/line3")
        snl = run.model(device="cuda")  # a torch module
        ```

    Raises:
        ConfigError: packages are missing.
        CheckpointError: there is no run, or it is damaged or from another version.
    """
    require("a run", *TRAINING, extra="train")
    from snl_edge.training.checkpoint import verify_checkpoint
    from snl_edge.training.run import Run

    return Run(Path(path), verify_checkpoint(Path(path)))


@contextmanager
def logging_to(
    names: Sequence[LoggerName], folder: Path, title: str, settings: Mapping[str, object]
) -> Iterator[Loggers]:
    """The loggers named, ended with the work inside; arguments as `open_loggers`."""
    from snl_edge.loggers import open_loggers

    loggers = open_loggers(names, folder, title, settings, {"snl_edge.folder": str(folder)})
    whole = False
    try:
        yield loggers
        whole = True
    finally:
        loggers.close(whole=whole)


def _metrics(evaluation: Evaluation) -> dict[str, float]:
    """Of each product, and the means; fractions."""
    from snl_edge.evaluation.results import METRICS

    found = {f"mean/{name}": value for name, value in evaluation.mean.items()}
    for product, result in evaluation.products.items():
        found |= {f"{product}/{name}": getattr(result, name) for name in METRICS}
        found[f"{product}/escape_rate"] = result.at_threshold.escape_rate
        found[f"{product}/false_reject_rate"] = result.at_threshold.false_reject_rate
    return found


@dataclass(frozen=True)
class Evaluated:
    """What :func:`evaluate` found and wrote."""

    evaluation: Evaluation
    """Verdicts and metrics of every product."""
    robustness: Robustness | None
    """How verdicts move when the camera changes; None where nobody asked."""
    page: Path | None
    """The report; None where none was asked for."""
    metrics: Path | None
    """Its figures as JSON, beside the page."""


def evaluate(
    model: Path | str,
    data: Path | str | Dataset,
    *,
    report: Path | str | None = None,
    backend: str = "auto",
    threshold: float | None = None,
    robustness: bool = False,
    log: Sequence[LoggerName] = (),
) -> Evaluated:
    """Measures a run folder or a bundle on the test images of ``data``; only pixel metrics need masks.

    A run folder needs the ``train`` extra, a bundle nothing but the base install.

    Example:
        ```python
        from snl_edge import evaluate

        found = evaluate("runs/line3", "parts/", report="runs/line3/report")
        for product, result in found.evaluation.products.items():
            print(product, result.image_auroc, found.evaluation.outcome(product).escaped)
        ```

    Args:
        model: run folder, or bundle.
        data: a data set with a labelled test set, or its folder or table.
        report: folder for the page and ``metrics.json``; none is written if not given.
        backend: of a bundle: ``auto``, ``tensorrt``, ``tensorrt_rtx``, ``openvino`` or ``onnxruntime``.
        threshold: for all products, instead of the model's own.
        robustness: also under other light, focus, noise, JPEG, turn and shift: 14 times as long.
        log: where metrics of each product, and their means, go, too: ``tensorboard`` (below ``report``), ``mlflow``.

    Raises:
        DataError: there is no test set, the model learned none of its products, or an image or mask cannot be used.
        BundleError, BackendError, CheckpointError: the model cannot be loaded.
        ConfigError: the threshold cannot be one, packages are missing, or TensorBoard has no report's folder.
        OutputError: the report cannot be written.
    """
    folder = Path(model)
    require_for_run(folder)
    from snl_edge.evaluation.report import write_report
    from snl_edge.evaluation.run import evaluate_model, robustness_of_model

    dataset = opened(data, trains=False)
    if "tensorboard" in log and report is None:
        raise ConfigError("TensorBoard's files have no place", "no report is written", "give the report's folder")
    place = folder if report is None else Path(report)
    with logging_to(
        log, place, f"evaluate {folder.name}", {"model": str(folder), "data": str(dataset.root)}
    ) as loggers:
        evaluation, provenance = evaluate_model(folder, dataset, backend=backend, threshold=threshold)
        loggers.write(0, _metrics(evaluation))
        moved = robustness_of_model(folder, dataset, backend=backend, threshold=threshold) if robustness else None
    page = metrics = None
    if report is not None:
        page, metrics = write_report(
            evaluation,
            Path(report),
            title=f"{folder.name} on {dataset.root.name}",
            provenance=provenance,
            robustness=None if moved is None else moved.for_report(),
        )
    return Evaluated(evaluation, moved, page, metrics)


def build(
    source: Path | str,
    out: Path | str | None = None,
    precision: Wanted = "fp16",
    *,
    data: Path | str | Dataset | None = None,
    calibration: Path | str | None = None,
    force: bool = False,
    engine: bool = True,
    frame: FrameSpec | None = None,
    max_batch: int | None = None,
    opt_batch: int | None = None,
    flavour: FlavourName | None = None,
    compute_capabilities: Sequence[str] | None = None,
    workspace_bytes: int | None = None,
) -> Bundle:
    """Makes the bundle that a device needs out of a run folder, or builds the engine inside a bundle.

    A run folder needs the ``train`` extra; a bundle needs TensorRT alone, so that a device builds its own engine. No
    graph enters a bundle, and no earlier bundle is replaced, before the accuracy gate has passed or was overruled.

    Example:
        ```python
        from snl_edge import Detector, build

        bundle = build("runs/line3", precision="auto", data="parts/", engine=False)
        with Detector.load(bundle.path) as detector:
            print(detector.backend_reason)
        ```

    Args:
        source: run folder, or bundle.
        out: the bundle's folder; ``source/bundle`` if not given.
        precision: ``fp32``, ``fp16``, ``int8``, or ``auto``: the best that passes the accuracy gate.
        data: images for INT8, thresholds and gate: the training set, best with a labelled test set.
        calibration: table of ranges; the run's own, or a new one, if not given.
        force: ship what fails the gate; the manifest says so.
        engine: build a TensorRT engine; without one the bundle runs on OpenVINO and ONNX Runtime.
        frame: a camera's size and order of colours, where the graphs are to take its frames alone.
        max_batch: largest batch; 8, or what the bundle says.
        opt_batch: batch that kernels are tuned for beside 1.
        flavour: ``tensorrt`` or ``tensorrt_rtx``, where both are installed.
        compute_capabilities: target GPUs, as ``["8.6"]`` (TensorRT-RTX), without a GPU here.
        workspace_bytes: limit of TensorRT's scratch memory while building.

    Returns:
        the bundle, opened and checked.

    Raises:
        EngineError: there is no TensorRT, or it refuses the graph.
        ExportError: a graph cannot be made, disagrees with PyTorch, or fails the gate.
        BundleError, CheckpointError, DataError, OutputError: ``source``, ``data`` or ``out`` cannot be used.
        ConfigError: settings that do not go together, or packages are missing.
    """
    folder = Path(source)
    require_for_run(folder)
    from snl_edge.bundling.build import build as run_build
    from snl_edge.bundling.graphs import PRECISIONS, Evidence

    if precision not in PRECISIONS:
        raise ConfigError(f"no bundle is built in {precision!r}", fix=f"choose of {', '.join(PRECISIONS)}")
    if calibration is not None and precision in ("fp32", "fp16"):
        raise ConfigError(
            f"{precision} needs no table of ranges",
            "INT8 alone has ranges",
            "leave out the table, or build int8 or auto",
        )
    from snl_edge.runtime.bundle import Bundle

    built = run_build(
        folder,
        None if out is None else Path(out),
        precision,
        engine=engine,
        frame=frame,
        max_batch=max_batch,
        opt_batch=opt_batch,
        flavour=flavour,
        compute_capabilities=compute_capabilities,
        workspace_bytes=workspace_bytes,
        evidence=Evidence(
            None if data is None else opened(data), None if calibration is None else Path(calibration), force
        ),
    )
    return Bundle.open(built)


def opened(
    data: Path | str | Dataset,
    layout: Literal["auto"] | LayoutName = "auto",
    products: Sequence[str] | None = None,
    *,
    trains: bool = True,
) -> Dataset:
    """The data set in ``data``; of one that is opened here it is said how it was read. Arguments: `open_dataset`."""
    from snl_edge.data.layouts import open_dataset
    from snl_edge.data.samples import Dataset
    from snl_edge.progress import console

    if isinstance(data, Dataset):
        return data
    dataset = open_dataset(Path(data), layout, products, trains=trains)
    for finding in dataset.findings:
        console.print(f"{'doubt' if finding.doubtful else data}: {finding.text}", markup=False, highlight=False)
    return dataset


def require_for_run(path: Path) -> None:
    """Refuses a run folder where torch is missing; a bundle does not need it.

    Raises:
        ConfigError: the extra to install.
    """
    from snl_edge.contract.run_folder import CHECKPOINT

    if (path / CHECKPOINT).exists():
        require(f"the run folder {path}", "safetensors", *GRAPHS, extra="train")
