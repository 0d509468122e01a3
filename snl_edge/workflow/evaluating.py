"""`evaluate`: a run folder or a bundle, measured on a labelled test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from snl_edge.arguments import optional_path, require_choice, require_path, require_switch
from snl_edge.contract.run_folder import CHECKPOINT
from snl_edge.errors import ConfigError
from snl_edge.loggers import logger_names, logging_to
from snl_edge.runtime.arguments import require_threshold
from snl_edge.runtime.backend import BackendName

from .datasets import opened
from .needs import require_for_run

if TYPE_CHECKING:
    from snl_edge.data.samples import Dataset
    from snl_edge.evaluation.results import Evaluation
    from snl_edge.evaluation.robustness import Robustness
    from snl_edge.loggers import LoggerName


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
    log: Sequence[LoggerName] | LoggerName = (),
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
        OutputError: the report cannot be written, which is found out before anything is measured.
    """
    folder, written = require_path(model, "model"), optional_path(report, "report")
    robustness, places = require_switch(robustness, "robustness"), logger_names(log)
    backend = require_choice(backend, "backend", ("auto", *get_args(BackendName)))
    if threshold is not None:
        threshold = require_threshold(threshold)
    if backend != "auto" and (folder / CHECKPOINT).is_file():
        raise ConfigError(
            f"backend {backend} cannot run {folder}",
            "it is a run folder, which PyTorch evaluates",
            "leave the backend out, or build a bundle and give that",
        )
    require_for_run(folder)
    from snl_edge.evaluation.report import require_report_place, write_report
    from snl_edge.evaluation.run import evaluate_model, robustness_of_model

    if "tensorboard" in places and written is None:
        raise ConfigError("TensorBoard's files have no place", "no report is written", "give the report's folder")
    if written is not None:
        require_report_place(written)
    dataset = opened(data, trains=False)
    with logging_to(
        places, written or folder, f"evaluate {folder.name}", {"model": str(folder), "data": str(dataset.root)}
    ) as loggers:
        evaluation, provenance = evaluate_model(folder, dataset, backend=backend, threshold=threshold)
        loggers.write(0, _metrics(evaluation))
        moved = robustness_of_model(folder, dataset, backend=backend, threshold=threshold) if robustness else None
    page = metrics = None
    if written is not None:
        page, metrics = write_report(
            evaluation,
            written,
            title=f"{folder.name} on {dataset.root.name}",
            provenance=provenance,
            robustness=None if moved is None else moved.for_report(),
        )
    return Evaluated(evaluation, moved, page, metrics)


def _metrics(evaluation: Evaluation) -> dict[str, float]:
    """Of each product, and the means; fractions."""
    from snl_edge.evaluation.results import METRICS

    found = {f"mean/{name}": value for name, value in evaluation.mean.items()}
    for product, result in evaluation.products.items():
        found |= {f"{product}/{name}": getattr(result, name) for name in METRICS}
        found[f"{product}/escape_rate"] = result.at_threshold.escape_rate
        found[f"{product}/false_reject_rate"] = result.at_threshold.false_reject_rate
    return found
