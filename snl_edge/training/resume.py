"""The state of an interrupted run: enough to go on as if nothing had happened."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from snl_edge.data.samples import Sample
from snl_edge.errors import CheckpointError
from snl_edge.model.config import SnlConfig
from snl_edge.model.snl import Snl
from snl_edge.outside.files import reason
from snl_edge.outside.json_text import parse_json
from snl_edge.outside.tensor_file import check_safetensors

from .config import TrainingConfig
from .tensors import save_tensors

FILE = "resume.safetensors"


@dataclass
class RunState:
    """Where a run stands: steps done, losses so far, seconds spent."""

    step: int
    history: list[dict[str, float]]
    seconds: float


def run_identity(
    model: SnlConfig,
    training: TrainingConfig,
    samples: Sequence[Sample],
    digests: Sequence[str],
    ignored: Tensor | None = None,
) -> str:
    """A hash of everything that must be the same for a run to be continued.

    ``digests`` are the SHA-256 of the files of ``samples``: a picture taken again may have name and size of the old.
    ``ignored``, ``bool [K, H, W]``, is what does not count; where all pixels do, the hash is that of before there
    were ignored regions.
    """
    files = [[s.product, s.path.name, digest] for s, digest in zip(samples, digests, strict=True)]
    # Runs that earlier versions began go on: their hash is of the name that the setting had then.
    settings = model.model_dump()
    settings["damage"] = settings.pop("corruption")
    text = json.dumps([settings, training.model_dump(exclude={"device", "cache_gib"}), files], sort_keys=True)
    regions = b"" if ignored is None or not ignored.any() else ignored.numpy().tobytes()
    return hashlib.sha256(text.encode() + regions).hexdigest()


def save_state(folder: Path, identity: str, state: RunState, model: Snl, optimiser: torch.optim.Optimizer) -> None:
    """Writes model, optimiser and position to ``resume.safetensors``, whole or not at all."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, entries in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": torch.as_tensor(value) for name, value in entries.items()}
    metadata = {"identity": identity, "state": json.dumps([state.step, state.history, state.seconds])}
    save_tensors(tensors, folder / FILE, metadata)


def load_state(folder: Path, identity: str, model: Snl, optimiser: torch.optim.Optimizer) -> RunState:
    """Restores what :func:`save_state` wrote and returns the position.

    Raises:
        CheckpointError: there is no such state, it is damaged, or it belongs to another run.
    """
    path = folder / FILE
    if not path.is_file():
        raise CheckpointError(f"there is nothing to resume in {folder}", f"{FILE} is missing", "train without --resume")
    try:
        check_safetensors(path)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        step, history, seconds = parse_json(metadata["state"])
        state = RunState(int(step), _losses(history), float(seconds))
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"{path} is damaged", reason(error), "train again with --replace") from error
    if metadata.get("identity") != identity:
        raise CheckpointError(
            f"{path} belongs to another run",
            "settings or images differ from those it was started with",
            "repeat the command that was interrupted, or start again with --replace",
        )
    try:
        model.load_state_dict({n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")})
        entries: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimiser."):
                _, index, key = name.split(".", 2)
                entries.setdefault(int(index), {})[key] = tensor
        _require_moments(entries, optimiser)
        optimiser.load_state_dict(optimiser.state_dict() | {"state": entries})
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path} does not fit the model", reason(error), "train again with --replace") from error
    return state


def _losses(history: object) -> list[dict[str, float]]:
    """What is plotted of the steps so far."""
    if not isinstance(history, list) or not all(isinstance(step, dict) for step in history):
        raise ValueError("it holds no losses")
    return [{str(name): float(value) for name, value in step.items()} for step in history]


def _require_moments(entries: Mapping[int, Mapping[str, Tensor]], optimiser: torch.optim.Optimizer) -> None:
    """The optimiser takes any shape, and fails at its next step."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    if entries and set(entries) != set(range(len(parameters))):
        raise ValueError(f"its optimiser has {len(entries)} parameters, and the model {len(parameters)}")
    for index, moments in entries.items():
        if set(moments) != {"step", "exp_avg", "exp_avg_sq"}:
            raise ValueError(f"its optimiser keeps {', '.join(sorted(moments))} of parameter {index}")
        for name, tensor in moments.items():
            if tensor.shape != (torch.Size() if name == "step" else parameters[index].shape):
                raise ValueError(f"its optimiser's {name} of parameter {index} has shape {tuple(tensor.shape)}")
