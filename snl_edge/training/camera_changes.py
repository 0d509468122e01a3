"""Copies of training images as other moments of the same camera would show them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snl_edge.data.camera_changes import CameraChange
from snl_edge.data.loader import ImageStore

from .config import CameraConfig, TrainingConfig
from .feature_cache import FeatureSource


class CameraCopies(ImageStore):
    """The images of a store, and behind them changed copies of each: of image i at ``i + n``, ``i + 2 n`` and so on.

    A copy is made again whenever it is asked for, always the same: its change follows from seed, image and number.

    Args:
        store: of ``n`` images.
        config: how many copies, and how far they change.
        seed: of the changes.
    """

    def __init__(self, store: ImageStore, config: CameraConfig, seed: int) -> None:
        self.samples = list(store.samples) * (1 + config.copies)
        self.size = store.size
        self.cached_bytes = 0
        self._store, self._config, self._seed = store, config, seed

    def batch(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Images and copies, ``uint8 [B, H, W, 3]``."""
        places = [divmod(index, len(self._store)) for index in indices]
        pictures = self._store.batch([original for _, original in places])
        return np.stack([self._changed(picture, *place) for picture, place in zip(pictures, places, strict=True)])

    def _changed(self, picture: NDArray[np.uint8], copy: int, original: int) -> NDArray[np.uint8]:
        if copy == 0:
            return picture
        rng = np.random.default_rng((self._seed, 3, copy, original))
        return draw_change(self._config, rng).apply(picture, rng)


def with_copies(store: ImageStore, training: TrainingConfig) -> ImageStore:
    """The store with changed copies of its images behind them, as far as ``training`` says; else the store itself."""
    return store if training.camera is None else CameraCopies(store, training.camera, training.seed)


def threshold_images(store: ImageStore, training: TrainingConfig) -> ImageStore:
    """What thresholds are set on: each image of the store once, as it is.

    With ``camera.thresholds`` by turns as it is and as one of its copies: what is measured on these holds for a part
    that the camera shows at any of its moments.
    """
    if training.camera is None or not training.camera.thresholds:
        return store
    copied, count = with_copies(store, training), len(store)
    moments = len(copied) // count
    return copied.part([index % moments * count + index for index in range(count)])


def memory_weights(count: int, images: int, training: TrainingConfig) -> list[float]:
    """How many patches each of ``count`` images and copies gives the memory, in those that an image gives."""
    if training.camera is None:
        return [1.0] * count
    share = training.camera.memory_share
    return [1.0] * images + [share / (1 - share) / training.camera.copies] * (count - images)


def features_with_copies(
    source: FeatureSource, trained: Sequence[int], copied: ImageStore
) -> Callable[[Sequence[int]], list[Tensor]]:
    """Gives the teacher's features of images and copies at some indices of ``copied``.

    Args:
        source: has those of the images.
        trained: where the images of ``copied`` stand in the source.
        copied: :func:`with_copies`.
    """

    def features(indices: Sequence[int]) -> list[Tensor]:
        if max(indices) < len(trained):
            return source.features([trained[index] for index in indices])
        images = torch.from_numpy(copied.batch(indices)).to(source.device)
        with torch.no_grad():
            return source.model.teacher(source.model.teacher.normalise(images))

    return features


def draw_change(config: CameraConfig, rng: np.random.Generator) -> CameraChange:
    """A change of all kinds at once, each anywhere within its range; blur, noise and JPEG in every other copy."""
    blur, noise, jpeg = (rng.random() < 0.5 for _ in range(3))
    return CameraChange(
        gain=math.exp(rng.uniform(-1, 1) * math.log(1 + config.gain)),
        warmth=rng.uniform(-1, 1) * config.warmth,
        turn=rng.uniform(-1, 1) * config.turn,
        shift=(rng.uniform(-1, 1) * config.shift, rng.uniform(-1, 1) * config.shift),
        blur=rng.uniform(0, 1) * config.blur if blur else 0.0,
        noise=rng.uniform(0, 1) * config.noise if noise else 0.0,
        jpeg=int(rng.integers(config.jpeg, 100)) if jpeg else None,
    )
