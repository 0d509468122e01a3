"""Checkpoints: ``checkpoint.json`` describes a model and names its weights, a safetensors file with a known hash."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator

from snl_edge.atomic import write_text
from snl_edge.contract.run_folder import CHECKPOINT, IMAGES
from snl_edge.errors import CheckpointError
from snl_edge.model.config import SnlConfig
from snl_edge.model.snl import Snl
from snl_edge.outside.files import reason
from snl_edge.outside.json_text import faults, read_model
from snl_edge.outside.tensor_file import read_safetensors
from snl_edge.runtime.manifest import ProductReference, sha256_of
from snl_edge.scoring.scale import ScoreScale

from .config import TrainingConfig
from .tensors import save_tensors


class Checkpoint(BaseModel):
    """What ``checkpoint.json`` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: Literal[4] = 4
    model: SnlConfig
    training: TrainingConfig
    products: tuple[str, ...]
    training_images: int
    score_scale: ScoreScale = Field(validation_alias="calibration", serialization_alias="calibration")
    """Files call it ``calibration``, of old."""
    reference: dict[str, ProductReference] | None = None
    """What good parts look like, by product; None in runs from before it was measured."""
    doubts: tuple[str, ...] = ()
    """What the images left doubtful, a line each."""
    ignored: dict[str, float] = {}
    """Share of a product's pixels that do not count, where there are any; which they are is in the weights."""
    weights: str
    """File name of the weights, in the same folder."""
    weights_sha256: str
    images: str = Field(default=IMAGES, pattern=r"^images(-[0-9a-f]{12})?\.json$")
    """File name of what each image was used for (:class:`.image_record.RunImages`), in the same folder."""
    seconds: float
    created: str
    revision: str
    machine: dict[str, str | int]
    versions: dict[str, str]

    @field_validator("training", mode="before")
    @classmethod
    def _without_camera_changes(cls, value: object) -> object:
        """A run of before there were copies for camera changes was trained without any, whatever the default is now."""
        return {"camera": None, **value} if isinstance(value, dict) else value


def save_weights(model: Snl, folder: Path) -> tuple[str, str]:
    """Writes the model's weights under a name made from their hash; returns (file name, SHA-256).

    A new name for new weights means that an older ``checkpoint.json`` in the folder stays valid until
    the new one replaces it.
    """
    pending = folder / "weights.safetensors"
    save_tensors(model.state_dict(), pending)
    digest = sha256_of(pending)
    name = f"weights-{digest[:12]}.safetensors"
    pending.replace(folder / name)
    return name, digest


def ignored_shares(model: Snl, products: Sequence[str]) -> dict[str, float]:
    """`Checkpoint.ignored` of a model of these products."""
    keep, row_of = model.anomaly_map.keep, model.anomaly_map.row_of
    if keep is None or row_of is None:
        return {}
    shares = (~keep[row_of]).flatten(1).float().mean(dim=1).tolist()
    return {product: round(share, 9) for product, share in zip(products, shares, strict=True) if share}


def save_checkpoint(checkpoint: Checkpoint, folder: Path) -> Path:
    """Writes ``checkpoint.json``, and then removes weights and lists of images that it no longer names.

    With it the folder goes from one model to the next: what it names was written before, under names of its own.
    """
    target = folder / CHECKPOINT
    write_text(target, checkpoint.model_dump_json(indent=2, by_alias=True) + "\n")
    found = {path for pattern in ("weights-*.safetensors", IMAGES, "images-*.json") for path in folder.glob(pattern)}
    for stale in found - {folder / checkpoint.weights, folder / checkpoint.images}:
        stale.unlink()
    return target


def read_checkpoint(run: Path) -> Checkpoint:
    """Reads the description in the run folder ``run``, without its weights.

    Raises:
        CheckpointError: there is none, or it is damaged or from another version.
    """
    path = run / CHECKPOINT
    try:
        return read_model(Checkpoint, path)
    except OSError as error:
        raise CheckpointError(
            f"no readable checkpoint in {run}",
            f"{CHECKPOINT} is missing or unreadable: {reason(error)}",
            "give the folder that `snl-edge train --out` wrote, or finish an interrupted run with --resume",
        ) from error
    except ValueError as error:
        raise CheckpointError(
            f"{path} is damaged or from another version", faults(error, limit=1), "train again with this version"
        ) from error


def verify_checkpoint(run: Path) -> Checkpoint:
    """Reads the description in ``run`` and checks the weights that it names.

    Raises:
        CheckpointError: description or weights are missing or damaged.
    """
    checkpoint = read_checkpoint(run)
    path = run / checkpoint.weights
    remedy = "copy the run folder again, or train again"
    if not path.is_file():
        raise CheckpointError(f"weights {path} are missing", fix=remedy)
    if sha256_of(path) != checkpoint.weights_sha256:
        raise CheckpointError(f"weights {path} are damaged", f"their SHA-256 is not the one in {CHECKPOINT}", remedy)
    return checkpoint


def load_model(run: Path, *, device: str | torch.device = "cpu") -> tuple[Snl, Checkpoint]:
    """Builds the model of the run folder ``run`` and loads its weights; evaluation mode, on ``device``.

    Raises:
        CheckpointError: description or weights are missing, damaged, or do not belong together.
    """
    checkpoint = verify_checkpoint(run)
    path = run / checkpoint.weights
    model = Snl(checkpoint.model, products=len(checkpoint.products), pretrained=False)
    try:
        model.load_state_dict(read_safetensors(path))
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"weights {path} do not fit the model", reason(error), "train again") from error
    return model.to(device).eval(), checkpoint
