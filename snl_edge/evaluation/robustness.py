"""How verdicts move when the camera changes and the parts stay the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snl_edge.data.camera_changes import CameraChange
from snl_edge.data.samples import Sample
from snl_edge.image import fit_to_input, read_image
from snl_edge.runtime.verdict import VerdictKind

from .cases import Rules
from .evaluate import Predict
from .outcome import Outcome

UNTOUCHED = "nothing"
CHANGES: Mapping[str, CameraChange] = {
    UNTOUCHED: CameraChange(),
    "15 % less light": CameraChange(gain=0.85),
    "15 % more light": CameraChange(gain=1.15),
    "warmer light (red +8 %, blue -8 %)": CameraChange(warmth=0.08),
    "cooler light (red -8 %, blue +8 %)": CameraChange(warmth=-0.08),
    "focus (blur of 1 pixel)": CameraChange(blur=1.0),
    "noise (4 grey levels)": CameraChange(noise=4.0),
    "JPEG, quality 95": CameraChange(jpeg=95),
    "JPEG, quality 80": CameraChange(jpeg=80),
    "turn of 3° to the left": CameraChange(turn=3.0),
    "turn of 3° to the right": CameraChange(turn=-3.0),
    "shift of 4 pixels to the right": CameraChange(shift=(4.0, 0.0)),
    "shift of 4 pixels up": CameraChange(shift=(0.0, -4.0)),
}
"""What is tried, by what the picture is changed by; each alone. Pixels are those of the model's input."""


@dataclass(frozen=True)
class Robustness:
    """Outcomes by change and product."""

    outcomes: Mapping[str, Mapping[str, Outcome]]

    def outcome(self, change: str) -> Outcome:
        """Of all products together."""
        return Outcome.total(self.outcomes[change].values())

    def figures(self) -> dict[str, Any]:
        """As plain data for JSON, by change: all products together, and each."""
        return {
            change: self.outcome(change).figures()
            | {"products": {product: own.figures() for product, own in products.items()}}
            for change, products in self.outcomes.items()
        }


def measure_robustness(
    predict: Predict,
    rules: Rules,
    samples: Sequence[Sample],
    size: tuple[int, int],
    *,
    changes: Mapping[str, CameraChange] = CHANGES,
    as_images: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None,
    batch_size: int = 8,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Robustness:
    """Judges the ``samples`` under each of the ``changes``, as a device does that recognises the product by itself.

    Pictures are changed at the model's input ``size``, the hardest case: the JPEG of a picture much larger than the
    input hardly changes what the model sees. Where ``as_images`` makes of a whole picture what ``predict`` takes, the
    whole picture is changed, lengths enlarged with it. The noise of an image is the same at every call.

    Samples of products that were never learned take no part. Takes the time of one evaluation for each change.

    Raises:
        DataError: an image cannot be read.
    """
    judged = [sample for sample in samples if sample.product in rules.manifest.products]
    verdicts: dict[str, dict[str, list[tuple[bool, VerdictKind]]]] = {
        change: {sample.product: [] for sample in judged} for change in changes
    }
    done = 0
    for batch, images in _changed(judged, size, changes, as_images, batch_size):
        for change, own in images.items():
            for sample, *scores in zip(batch, *predict(own).scores, strict=True):
                verdicts[change][sample.product].append((sample.is_good, rules.decide(*scores).kind))
            done += len(batch)
            progress(done, len(judged) * len(changes))
    return Robustness(
        {
            change: {product: Outcome.of(pairs) for product, pairs in sorted(products.items())}
            for change, products in verdicts.items()
        }
    )


def _changed(
    samples: Sequence[Sample],
    size: tuple[int, int],
    changes: Mapping[str, CameraChange],
    as_images: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None,
    batch_size: int,
) -> Iterator[tuple[Sequence[Sample], dict[str, NDArray[np.uint8]]]]:
    """Batches of samples and, by change, what the model takes of them, ``uint8 [B, H, W, 3]``; one batch ahead."""

    def make(start: int) -> dict[str, NDArray[np.uint8]]:
        batch = samples[start : start + batch_size]
        whole = [read_image(sample.path) for sample in batch]
        pictures = whole if as_images is not None else [fit_to_input(picture, size) for picture in whole]
        prepare = as_images or np.ascontiguousarray
        return {
            name: np.stack(
                [
                    prepare(change.apply(picture, np.random.default_rng(start + index), picture.shape[0] / size[0]))
                    for index, picture in enumerate(pictures)
                ]
            )
            for name, change in changes.items()
        }

    starts = range(0, len(samples), batch_size)
    with ThreadPoolExecutor(1) as ahead:
        upcoming = ahead.submit(make, 0) if samples else None
        for start in starts:
            assert upcoming is not None
            images = upcoming.result()
            upcoming = ahead.submit(make, start + batch_size) if start + batch_size < len(samples) else None
            yield samples[start : start + batch_size], images
