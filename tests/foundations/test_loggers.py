"""TensorBoard and MLflow themselves read back what `train` and `evaluate` gave them; neither can stop the work."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import snl_edge
from snl_edge.errors import ConfigError
from snl_edge.loggers import Loggers, open_loggers

pytest.importorskip("tensorboard", reason='TensorBoard is not installed: pip install "snl-edge[tensorboard]"')
mlflow = pytest.importorskip("mlflow", reason='MLflow is not installed: pip install "snl-edge[mlflow]"')


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> mlflow.MlflowClient:
    """A database of MLflow's in the test's folder."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")  # a test asks nothing of a network
    return mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")


def read_tensorboard(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (written,) = (folder / "tensorboard").iterdir()
    events = EventAccumulator(str(written))
    events.Reload()
    return {
        name: [(event.step, event.tensor_proto.float_val[0]) for event in events.Tensors(name)]
        for name in events.Tags()["tensors"]
    }


def runs(store: mlflow.MlflowClient) -> dict[str, mlflow.entities.Run]:
    experiment = store.get_experiment_by_name("snl-edge")
    assert experiment is not None
    return {run.info.run_name: run for run in store.search_runs([experiment.experiment_id])}


def test_losses_and_metrics_go_to_both(line: Path, tmp_path: Path, store: mlflow.MlflowClient) -> None:
    both = ("tensorboard", "mlflow")
    small = ("height=64", "width=64", "student.embedding=32", "student.cram.centres=8", "memory.centres=64")
    product = next(path for path in sorted(line.iterdir()) if path.is_dir())
    short = snl_edge.TrainingConfig(steps=11, batch_size=2, camera=None, device="cpu")
    run = snl_edge.train(product, tmp_path / "run", settings=small, training=short, log=both)
    losses = read_tensorboard(run.path)
    assert [step for step, _ in losses["loss/total"]] == [1, 11]
    assert all(math.isfinite(value) and value > 0 for _, value in losses["loss/total"])
    assert set(losses) == {"loss/total", "loss/spatial", "learning_rate"}

    found = snl_edge.evaluate(run.path, product, report=tmp_path / "report", log=both)
    (name, result), *_ = found.evaluation.products.items()
    metrics = read_tensorboard(tmp_path / "report")
    assert metrics[f"{name}/image_auroc"] == [(0, pytest.approx(result.image_auroc))]

    trained, evaluated = (runs(store)[f"{verb} run"] for verb in ("train", "evaluate"))
    assert trained.info.status == evaluated.info.status == "FINISHED"
    assert trained.data.metrics["loss/total"] == pytest.approx(losses["loss/total"][-1][1])
    assert trained.data.params["training.steps"] == "11"
    assert trained.data.params["model.teacher.architecture"] == run.checkpoint.model.teacher.architecture
    assert evaluated.data.metrics["mean/image_auroc"] == pytest.approx(result.image_auroc)


def test_what_fails_is_told_once_and_left(capsys: pytest.CaptureFixture[str]) -> None:
    class Gone:
        def write(self, step: int, values: object) -> None:
            raise ConnectionError("the server has gone\nand more")

        def close(self, *, whole: bool) -> None:
            raise AssertionError("it is asked no more")

    class Kept:
        def __init__(self) -> None:
            self.got: list[tuple[int, object]] = []
            self.whole: bool | None = None

        def write(self, step: int, values: object) -> None:
            self.got.append((step, values))

        def close(self, *, whole: bool) -> None:
            self.whole = whole

    kept = Kept()
    loggers = Loggers({"mlflow": Gone(), "tensorboard": kept})
    for step in (1, 2):
        loggers.write(step, {"loss": 0.5, "none": math.nan})
    loggers.close(whole=False)
    assert (kept.got, kept.whole) == ([(1, {"loss": 0.5}), (2, {"loss": 0.5})], False)
    told = capsys.readouterr().err
    assert told.count("mlflow gets no more values: ConnectionError: the server has gone") == 1
    assert "and more" not in told


def test_what_cannot_be_had_is_refused_before_any_work(
    tmp_path: Path, run: Path, line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="there is no logger 'wandb'"):
        open_loggers(["wandb"], tmp_path, "", {}, {})
    with pytest.raises(ConfigError, match="TensorBoard's files have no place"):
        snl_edge.evaluate(run, line, log=("tensorboard",))
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'logging to MLflow needs mlflow.*"snl-edge\[mlflow\]"'):
        open_loggers(["mlflow"], tmp_path, "", {}, {})
    assert not list(tmp_path.iterdir())


def test_a_failure_without_words_ends_no_work(capsys: pytest.CaptureFixture[str]) -> None:
    class Silent:
        def write(self, step: int, values: Mapping[str, float]) -> None:
            raise TimeoutError

        def close(self, *, whole: bool) -> None:
            raise ValueError("")

    Loggers({"server": Silent()}).write(0, {"loss": 1.0})
    Loggers({"server": Silent()}).close(whole=False)
    assert "it does not say why" in " ".join(capsys.readouterr().err.split())
