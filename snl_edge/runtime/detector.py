"""The Detector: a bundle, loaded, and a verdict for every frame."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, EngineError
from ..image import fit_to_input
from .backend import Backend
from .bundle import Bundle
from .prediction import Prediction
from .selection import select_backend

VerdictKind = Literal["good", "reject", "unknown"]


@dataclass(frozen=True)
class Verdict:
    """What the detector says of one frame; score, threshold and map are on the calibrated scale."""

    kind: VerdictKind
    """``unknown``: no product that the model learned, so neither good nor a reject of one."""
    score: float
    threshold: float
    """The one that applied: that of the product where it is known, else the bundle's."""
    product: str | None
    """As named by the caller, else as recognised; None where it is unknown."""
    product_distance: float
    """From the nearest product that the model learned; 1 is the default limit of what is known."""
    anomaly_map: NDArray[np.float32]
    """``float32 [H, W]`` of the model's input, not of the frame."""

    @property
    def reject(self) -> bool:
        """Whether the part is defective. An unknown product is not, yet it is not ``good`` either."""
        return self.kind == "reject"

    @property
    def good(self) -> bool:
        """Whether the part may pass."""
        return self.kind == "good"


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
        self,
        images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
        product: str | None = None,
        *,
        threshold: float | None = None,
    ) -> list[Verdict]:
        """Judges frames of any size, each ``uint8 [h, w, 3]`` RGB, in batches.

        Args:
            images: a sequence of frames, or an array ``[B, h, w, 3]``.
            product: what the frames show; its threshold decides then and nothing is unknown. If not given, each
                frame's product is recognised, and its threshold decides.
            threshold: decides instead of those of the bundle.

        Raises:
            DataError: a frame has another type or shape.
            ConfigError: the product is unknown.
            EngineError: the backend failed, or its result is no number.
        """
        self.bundle.manifest.threshold_for(product)  # refuses a product that was not learned, frames or none
        size = self.bundle.manifest.input.size
        if not len(images):
            return []
        fitted = np.stack([fit_to_input(_checked(image, index), size) for index, image in enumerate(images)])
        outputs = zip(*self.predict(fitted), strict=True)
        return [self._judge(*output, product, threshold) for output in outputs]

    def _judge(
        self,
        anomaly_map: NDArray[np.float32],
        score: np.float32,
        nearest: np.int32,
        distance: np.float32,
        named: str | None,
        threshold: float | None,
    ) -> Verdict:
        manifest = self.bundle.manifest
        product = manifest.products[nearest] if named is None else named
        # A distance is compared as the float32 it is: 1.0 from the graph is not above 1.0.
        known = named is not None or float(distance) <= manifest.unknown_limit
        limit = (
            manifest.threshold_for(product if known else None, self.backend.precision)
            if threshold is None
            else threshold
        )
        # A high score does not make an unknown product the reject of a known one.
        kind: VerdictKind = "unknown" if not known else "reject" if float(score) > limit else "good"
        return Verdict(kind, float(score), limit, product if known else None, float(distance), anomaly_map)

    def predict(self, images: NDArray[np.uint8]) -> Prediction:
        """Runs ``uint8 [B, H, W, 3]`` of the input's size, split into batches that the backend takes.

        Returns:
            the graph's outputs, in arrays that are the caller's own.

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
        count = len(images)
        whole = Prediction(
            np.empty(images.shape[:3], np.float32),
            np.empty(count, np.float32),
            np.empty(count, np.int32),
            np.empty(count, np.float32),
        )
        step = self.backend.max_batch
        with self._lock:
            for start in range(0, count, step):
                part = slice(start, start + step)
                outputs = self.backend.infer(np.ascontiguousarray(images[part]))
                for target, output in zip(whole, outputs, strict=True):
                    target[part] = output
        # The map, too: a maximum may pass over NaN.
        if not all(np.isfinite(output).all() for output in whole):
            raise EngineError(
                f"{self.backend.description} gave a score, map or distance with no finite number",
                "numbers overflowed in the graph",
                "run the fp32 graph and check the bundle with `snl-edge doctor`",
            )
        products = len(self.bundle.manifest.products)
        if not ((whole.product >= 0) & (whole.product < products)).all():
            raise EngineError(
                f"{self.backend.description} recognised a product that the manifest does not list",
                f"it lists {products}, and the graph says {whole.product.min()} to {whole.product.max()}",
                "train and build again with this snl-edge",
            )
        return whole

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
