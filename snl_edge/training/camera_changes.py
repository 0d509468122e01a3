"""Copies of training images as other moments of the same camera would show them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from snl_edge.data.camera_changes import CameraChange
from snl_edge.data.loader import ImageStore

from .config import CameraConfig, TrainingConfig


class CameraCopies(ImageStore):
    """The images of a store, and behind them changed copies of each: of image i at ``i + n``, ``i + 2 n`` and so on.

    A copy is made anew whenever it is asked for, always the same: its change follows from seed, image and number.

    Args:
        store: of ``n`` images.
        config: how many copies, and how far they change.
        seed: of the changes.
    """

    def __init__(self, store: ImageStore, config: CameraConfig, seed: int) -> None:
        super().__init__(list(store.samples) * (1 + config.copies), store.size, budget=0)
        self._store, self._config, self._seed = store, config, seed

    def image(self, index: int) -> NDArray[np.uint8]:
        """Image or copy, ``uint8 [H, W, 3]``."""
        copy, original = divmod(index, len(self._store))
        picture = self._store.image(original)
        if copy == 0:
            return picture
        rng = np.random.default_rng((self._seed, 3, copy, original))
        return draw_change(self._config, rng).apply(picture, rng)


def with_copies(store: ImageStore, training: TrainingConfig) -> ImageStore:
    """The store with changed copies of its images behind them, as far as ``training`` says; else the store itself."""
    return store if training.camera is None else CameraCopies(store, training.camera, training.seed)


def originals(copied: ImageStore, store: ImageStore) -> NDArray[np.intp]:
    """The number in ``store`` of the image that each of `with_copies` shows, ``[N]``."""
    return np.arange(len(copied)) % len(store)


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
