"""The Detector: a bundle, loaded, and a verdict for every frame."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, EngineError
from ..image import fit_to_input
from .backend import Backend
from .bundle import Bundle
from .selection import select_backend


@dataclass(frozen=True)
class Verdict:
    """What the detector says of one frame; score, threshold and map are on the calibrated scale."""

    score: float
    threshold: float
    reject: bool
    anomaly_map: NDArray[np.float32]
    """``float32 [H, W]`` of the model's input, not of the frame."""


class Detector:
    """Runs a bundle. Several threads may share one detector: calls run one after the other.

    Attributes:
        bundle: the bundle it was loaded from.
        backend: what runs the graph.
        backend_reason: which backend that is and, for ``auto``, why not a faster one.
    """

    def __init__(self, bundle: Bundle, backend: Backend, backend_reason: str) -> None:
        self.bundle = bundle
        self.backend = backend
        self.backend_reason = backend_reason
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls,
        bundle: Path,
        *,
        backend: str = "auto",
        precision: str = "auto",
        device: int = 0,
        threads: int | None = None,
    ) -> Detector:
        """Opens and checks a bundle and loads a backend for it; arguments and errors as `select_backend`.

        Raises:
            BundleError: the bundle is incomplete or damaged.
        """
        opened = Bundle.open(bundle)
        return cls(opened, *select_backend(opened, backend, precision, device, threads))

    def detect(
        self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], product: str | None = None
    ) -> list[Verdict]:
        """Judges frames of any size, each ``uint8 [h, w, 3]`` RGB, in batches.

        Args:
            images: a sequence of frames, or an array ``[B, h, w, 3]``.
            product: what the frames show, for its own threshold; the bundle's threshold if not given.

        Raises:
            DataError: a frame has another type or shape.
            ConfigError: the product is unknown.
            EngineError: the backend failed, or its result is no number.
        """
        threshold = self.bundle.manifest.threshold_for(product)
        size = self.bundle.manifest.input.size
        if not len(images):
            return []
        fitted = np.stack([fit_to_input(_checked(image, index), size) for index, image in enumerate(images)])
        maps, scores = self.predict(fitted)
        return [
            Verdict(float(score), threshold, float(score) > threshold, anomaly_map)
            for anomaly_map, score in zip(maps, scores, strict=True)
        ]

    def predict(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Runs ``uint8 [B, H, W, 3]`` of the input's size, split into batches that the backend takes.

        Returns:
            anomaly map ``float32 [B, H, W]`` and score ``float32 [B]``, the caller's own.

        Raises:
            DataError: the images have another type or shape.
            EngineError: the backend failed, or a result is no number: such a part must not pass as good.
        """
        size = self.bundle.manifest.input.size
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != (*size, 3):
            raise DataError(
                f"images are {_described(images)}",
                f"the input is uint8 [B, {size[0]}, {size[1]}, 3]",
                "use detect() for frames",
            )
        maps = np.empty(images.shape[:3], np.float32)
        scores = np.empty(len(images), np.float32)
        step = self.backend.max_batch
        with self._lock:
            for start in range(0, len(images), step):
                part = slice(start, start + step)
                maps[part], scores[part] = self.backend.infer(np.ascontiguousarray(images[part]))
        # The map, too: a maximum may pass over NaN.
        if not (np.isfinite(scores).all() and np.isfinite(maps).all()):
            raise EngineError(
                f"{self.backend.description} gave a score or map with no finite number",
                "numbers overflowed in the graph",
                "run the fp32 graph and check the bundle with `snl-edge doctor`",
            )
        return maps, scores

    def close(self) -> None:
        """Gives back what the backend holds (GPU memory); a second call does nothing."""
        with self._lock:
            self.backend.close()

    def __enter__(self) -> Detector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _checked(image: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
    if (
        not isinstance(image, np.ndarray)
        or image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] != 3
        or not image.size
    ):
        raise DataError(
            f"frame {index} is {_described(image)}", fix="give uint8 [h, w, 3] in RGB, several as a sequence"
        )
    return image


def _described(image: object) -> str:
    return f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else f"a {type(image).__name__}"
