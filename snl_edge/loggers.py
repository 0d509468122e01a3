"""Losses and figures for TensorBoard and MLflow, where somebody asks for them (``--log``); by default for neither.

A logger that is not available is refused before any work. One that fails later, a server that has gone, is said in one
line and left: hours of training are worth more than their curve, which the run folder has anyway.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from .arguments import require_choice, require_texts
from .errors import ConfigError
from .extras import require
from .progress import console

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from tensorboard.summary import Writer

LoggerName = Literal["tensorboard", "mlflow"]
EXPERIMENT = "snl-edge"
"""Of MLflow, where ``MLFLOW_EXPERIMENT_NAME`` names no other."""
LONGEST_PARAMETER = 500
"""Characters of a value; MLflow takes no longer ones everywhere."""


class Logger(Protocol):
    """One place that values go to."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Writes numbers that are numbers; the first call opens what there is to open."""
        ...

    def close(self, *, whole: bool) -> None:
        """Ends it; ``whole`` says whether the work was finished."""
        ...


class Loggers:
    """All that were asked for; with none of them every call does nothing."""

    def __init__(self, loggers: Mapping[str, Logger]) -> None:
        self._loggers = dict(loggers)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Hands values to each; one that fails is told of and asked no more."""
        finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
        for name, logger in list(self._loggers.items()):
            try:
                logger.write(step, finite)
            except Exception as error:  # whatever a client raises
                self._left(name, error)

    def close(self, *, whole: bool) -> None:
        """Ends each."""
        for name, logger in list(self._loggers.items()):
            try:
                logger.close(whole=whole)
            except Exception as error:
                self._left(name, error)

    def _left(self, name: str, error: Exception) -> None:
        del self._loggers[name]
        first_line = str(error).strip().partition("\n")[0] or "it does not say why"
        console.print(f"{name} gets no more values: {type(error).__name__}: {first_line}", markup=False)


def open_loggers(
    names: Sequence[str], folder: Path, title: str, settings: Mapping[str, object], tags: Mapping[str, str]
) -> Loggers:
    """The loggers named; nothing is written before the first values.

    Args:
        names: of `LoggerName`.
        folder: TensorBoard's files go into ``tensorboard`` below it.
        title: of the run, for MLflow.
        settings: what the values follow from, for MLflow; nested mappings become dotted names.
        tags: by which a run is found again, for MLflow.

    Raises:
        ConfigError: there is no such logger, or its package is not installed.
    """
    found: dict[str, Logger] = {}
    for name in names:
        if name == "tensorboard":
            require("logging to TensorBoard", "tensorboard", extra="tensorboard")
            found[name] = TensorBoardLogger(folder / "tensorboard" / time.strftime("%Y%m%d-%H%M%S"))
        elif name == "mlflow":
            require("logging to MLflow", "mlflow", extra="mlflow")
            found[name] = MlflowLogger(title, settings, tags)
        else:
            raise ConfigError(f"there is no logger {name!r}", fix=f"choose of {', '.join(get_args(LoggerName))}")
    return Loggers(found)


@contextmanager
def logging_to(
    names: Sequence[LoggerName], folder: Path, title: str, settings: Mapping[str, object]
) -> Iterator[Loggers]:
    """The loggers named, ended with the work inside; arguments as `open_loggers`."""
    loggers = open_loggers(names, folder, title, settings, {"snl_edge.folder": str(folder)})
    whole = False
    try:
        yield loggers
        whole = True
    finally:
        loggers.close(whole=whole)


def logger_names(names: object) -> tuple[LoggerName, ...]:
    """Which loggers a caller names: several, or one as plain text.

    Raises:
        ConfigError: one does not exist.
    """
    for name in (named := require_texts(names, "log")):
        require_choice(name, "log", get_args(LoggerName))
    return named  # pyright: ignore[reportReturnType]


class TensorBoardLogger:
    """Scalars in a folder of their own: ``tensorboard --logdir RUN``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Writer | None = None

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Writes and flushes."""
        if self._writer is None:
            from tensorboard.summary import Writer

            self._writer = Writer(str(self._folder))
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self, *, whole: bool) -> None:
        """Closes the file."""
        if self._writer is not None:
            self._writer.close()


class MlflowLogger:
    """A run of MLflow, at the server or in the file that ``MLFLOW_TRACKING_URI`` names."""

    def __init__(self, title: str, settings: Mapping[str, object], tags: Mapping[str, str]) -> None:
        self._title, self._settings, self._tags = title, settings, tags
        self._client: MlflowClient | None = None
        self._run = ""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Begins the run with its settings, if need be, and writes."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(re.sub(r"[^\w .:/-]", "_", name), value, now, step) for name, value in values.items()]
        self._begun().log_batch(self._run, metrics=metrics)

    def _begun(self) -> MlflowClient:
        if self._client is None:
            # By itself it tries for minutes, and the work waits: what somebody set is kept.
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
            from mlflow import MlflowClient
            from mlflow.entities import Param

            client = MlflowClient()
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
            known = client.get_experiment_by_name(name)
            experiment = known.experiment_id if known is not None else client.create_experiment(name)
            self._run = client.create_run(experiment, tags=dict(self._tags), run_name=self._title).info.run_id
            said = [Param(key, str(value)[:LONGEST_PARAMETER]) for key, value in _flat(self._settings)]
            client.log_batch(self._run, params=said)
            self._client = client
        return self._client

    def close(self, *, whole: bool) -> None:
        """Ends the run as finished or killed."""
        if self._client is not None:
            self._client.set_terminated(self._run, "FINISHED" if whole else "KILLED")


def _flat(settings: Mapping[str, object], prefix: str = "") -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", value))
    return found
