"""Trained models for measurements: reused when finished, resumed when interrupted, trained otherwise."""

from __future__ import annotations

import shutil
from pathlib import Path

from snl_edge.contract.run_folder import CHECKPOINT
from snl_edge.data.samples import Dataset
from snl_edge.errors import CheckpointError
from snl_edge.model.config import SnlConfig
from snl_edge.model.snl import Snl
from snl_edge.progress import console
from snl_edge.training.checkpoint import Checkpoint, load_model, save_checkpoint, save_weights, verify_checkpoint
from snl_edge.training.config import TrainingConfig
from snl_edge.training.image_record import digests, read_run_images
from snl_edge.training.loop import train
from snl_edge.training.resume import FILE as STATE
from snl_edge.training.thresholds import refit


def trained(config: SnlConfig, training: TrainingConfig, dataset: Dataset, run: Path) -> Checkpoint:
    """The run of these settings in the folder ``run``.

    A finished one only has its thresholds set again; an interrupted one goes on; another one is replaced.

    Raises:
        SnlEdgeError: as :func:`snl_edge.training.loop.train`.
    """
    if (run / CHECKPOINT).is_file() and is_finished(config, training, dataset, run):
        return refit(run, dataset)
    if (run / STATE).is_file():
        try:
            return train(config, training, dataset, run, resume=True)
        except CheckpointError as error:  # of other settings, or damaged: nothing of it can be used
            console.print(f"training from the start: {error}")
    return train(config, training, dataset, run, replace=True)


def shown_otherwise(base: Path, config: SnlConfig, dataset: Dataset, run: Path) -> Checkpoint:
    """The finished run ``base`` with the anomaly map of ``config``, in the folder ``run``; thresholds are set again.

    Raises:
        CheckpointError: ``config`` differs in more than its map.
        SnlEdgeError: as :func:`snl_edge.training.thresholds.refit`.
    """
    model, checkpoint = load_model(base)
    if checkpoint.model.model_copy(update={"anomaly_map": config.anomaly_map}) != config:
        raise CheckpointError(f"{base} differs in more than its anomaly map", fix="train a model of these settings")
    shown = Snl(config, products=len(checkpoint.products), pretrained=False)
    state = model.state_dict()
    if shown.memory is not None and shown.memory.expected is None:  # that map looks up nothing
        state.pop("memory.expected", None)
    shown.load_state_dict(state)
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(base, run)
    weights, digest = save_weights(shown, run)
    images = read_run_images(run).model_copy(update={"weights_sha256": digest}).write(run)
    changes = {"model": config, "weights": weights, "weights_sha256": digest, "images": images}
    save_checkpoint(checkpoint.model_copy(update=changes), run)
    return refit(run, dataset)


def is_finished(config: SnlConfig, training: TrainingConfig, dataset: Dataset, run: Path) -> bool:
    """Whether ``run`` holds an intact model of these settings, trained on the very images of ``dataset``."""
    try:
        checkpoint, record = verify_checkpoint(run), read_run_images(run)
    except CheckpointError:
        return False
    return (
        checkpoint.model == config
        and comparable(checkpoint.training) == comparable(training)
        and sorted(entry.sha256 for entry in record.images) == sorted(digests(dataset.train))
    )


def comparable(training: TrainingConfig) -> dict[str, object]:
    """The training settings that shape the model; where it was trained and with how much memory do not.

    What is off is left out, so that it compares with results of before it existed.
    """
    return training.model_dump(mode="json", exclude={"device", "cache_gib"}, exclude_none=True)
