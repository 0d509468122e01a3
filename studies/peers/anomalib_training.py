"""Trains anomalib's STFPM and PatchCore over all products at once, on exactly the images that our models train on.

A plain loop takes the place of Lightning's, which counts epochs where ours counts steps; the step in it is that of
anomalib's ``training_step``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning import seed_everything  # pyright: ignore[reportMissingImports]
from numpy.typing import NDArray
from torch import Tensor

from snl_edge.contract.graph import Prediction
from snl_edge.data.loader import ImageStore
from snl_edge.data.samples import Sample
from snl_edge.errors import ConfigError
from snl_edge.evaluation.evaluate import Predict
from snl_edge.model.config import SnlConfig
from snl_edge.model.teacher import STRIDES, build_backbone
from snl_edge.progress import progress_bar
from snl_edge.training.config import TrainingConfig
from snl_edge.training.loop import batch_sampler

from .anomalib_models import patchcore, stfpm
from .patches import CANDIDATES, choose_patches

Pixels = Callable[[NDArray[np.uint8]], Tensor]
"""``uint8 [B, H, W, 3]`` RGB to the backbone's input ``float32 [B, 3, H, W]``."""


@dataclass(frozen=True)
class TrainedPeer:
    """A trained model: how to run it, what it is, and what its training took."""

    predict: Predict
    model: dict[str, Any]
    training: dict[str, Any]
    seconds: float
    images: int
    """Images that training has looked at, repetitions counted."""
    losses: tuple[float, ...] = ()


def train_stfpm(
    config: SnlConfig, samples: Sequence[Sample], training: TrainingConfig, learning_rate: float | None
) -> TrainedPeer:
    """STFPM for as many steps and with the same batches as ours; ``learning_rate`` replaces anomalib's if not None.

    Raises:
        ConfigError: training diverged.
    """
    seed_everything(training.seed, verbose=False)
    module = stfpm(config.teacher)
    # Channels last, as we train: the same arithmetic in two thirds of the time.
    network = module.model.to(memory_format=torch.channels_last).train()
    optimiser = module.configure_optimizers()
    if learning_rate is not None:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate
    store, draw = image_store(config, samples, training), batch_sampler(samples, training, range(len(samples)))
    pixels = pixels_for(config, torch.channels_last)
    losses: list[float] = []
    started = time.monotonic()
    with progress_bar("STFPM") as report:
        for step in range(training.steps):
            loss = module.loss(*network(pixels(store.batch(draw(step)))))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                raise ConfigError(f"the loss of STFPM became {losses[-1]} at step {step}", fix="lower --learning-rate")
            report(step + 1, training.steps, f"loss {losses[-1]:.3f}")
    seconds = time.monotonic() - started
    settings = optimiser.param_groups[0]
    return TrainedPeer(
        predict_with(network, pixels),
        {"method": "STFPM", **describe(config, STRIDES)},
        {
            "steps": training.steps,
            "batch_size": training.batch_size,
            "optimiser": type(optimiser).__name__,
            "learning_rate": settings["lr"],
            "momentum": settings["momentum"],
            "weight_decay": settings["weight_decay"],
        },
        seconds,
        training.steps * min(training.batch_size, len(samples)),
        tuple(losses),
    )


@torch.no_grad()
def train_patchcore(config: SnlConfig, samples: Sequence[Sample], training: TrainingConfig) -> TrainedPeer:
    """PatchCore: patches of every training image once, a random part of them, anomalib's coreset of that part."""
    seed_everything(training.seed, verbose=False)
    module = patchcore(config.teacher)
    network = module.model.train()
    store, pixels = image_store(config, samples, training), pixels_for(config)
    cells = (config.height // 8) * (config.width // 8)
    chosen = choose_patches(len(samples) * cells, training.seed)
    started = time.monotonic()
    with progress_bar("PatchCore features") as report:
        for start in range(0, len(samples), training.batch_size):
            indices = range(start, min(start + training.batch_size, len(samples)))
            patches = network(pixels(store.batch(indices)))  # [B h w, C], and kept in the network's store
            kept = torch.from_numpy(chosen[start * cells : indices.stop * cells])
            network.embedding_store[-1] = patches[kept]
            report(indices.stop, len(samples))
    module.fit()
    seconds = time.monotonic() - started
    return TrainedPeer(
        predict_with(network, pixels),
        {
            "method": "PatchCore",
            **describe(config, (8, 16)),
            "neighbours": network.num_neighbors,
            "memory": len(network.memory_bank),
        },
        {
            "batch_size": training.batch_size,
            "patches": chosen.size,
            "candidates": min(CANDIDATES, chosen.size),
            "coreset_ratio": module.coreset_sampling_ratio,
        },
        seconds,
        len(samples),
    )


def image_store(config: SnlConfig, samples: Sequence[Sample], training: TrainingConfig) -> ImageStore:
    """The decoded training images, as our own training holds them."""
    return ImageStore(samples, config.size, int(training.cache_gib * 2**30))


def pixels_for(config: SnlConfig, layout: torch.memory_format = torch.contiguous_format) -> Pixels:
    """Normalises as our teacher does; the layout that anomalib's own loader gives is contiguous."""
    _, _, mean, std = build_backbone(config.teacher, pretrained=False)
    shift, scale = (255 * torch.tensor(values).view(1, 3, 1, 1) for values in (mean, std))

    def pixels(images: NDArray[np.uint8]) -> Tensor:
        values = torch.from_numpy(images).float().permute(0, 3, 1, 2).contiguous(memory_format=layout)
        return (values - shift) / scale

    return pixels


def predict_with(network: Any, pixels: Pixels) -> Predict:
    """anomalib's own anomaly map and score, as they are; it recognises no products."""
    network.eval()

    @torch.inference_mode()
    def predict(images: NDArray[np.uint8]) -> Prediction:
        answer = network(pixels(images))
        scores = answer.pred_score.reshape(-1).numpy()
        none = np.zeros(len(images), np.int32)
        return Prediction(answer.anomaly_map.squeeze(1).numpy(), scores, none, none.astype(np.float32))

    return predict


def describe(config: SnlConfig, strides: Sequence[int]) -> dict[str, Any]:
    """What both models have in common, for the result file."""
    return {
        "library": "anomalib",
        "backbone": config.teacher.architecture,
        "weights": config.teacher.weights,
        "strides": list(strides),
        "height": config.height,
        "width": config.width,
    }
