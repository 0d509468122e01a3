"""How verdicts move when the camera changes and the parts stay the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snl_edge.data.camera_changes import CameraChange
from snl_edge.data.samples import Sample
from snl_edge.image import fit_to_input
from snl_edge.runtime.verdict import VerdictKind

from .cases import Rules
from .evaluate import Predict
from .outcome import Outcome
from .robustness_picture import draw_outcomes

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


Verdicts = Mapping[str, Sequence[tuple[bool, VerdictKind]]]
"""By product: of each part whether it is good, and what was said of it."""


@dataclass(frozen=True)
class Robustness:
    """Verdicts by change and product."""

    verdicts: Mapping[str, Verdicts]

    def outcome(self, change: str, products: Collection[str] | None = None) -> Outcome:
        """Of the parts of ``products``, or of all, under a change."""
        of = self.verdicts[change]
        return Outcome.of(
            pair for product, own in of.items() if products is None or product in products for pair in own
        )

    def mean(self, change: str, products: Collection[str] | None = None) -> float:
        """The mean over products of the share of good parts that are stopped, products without good parts left out."""
        chosen = [own for own in self.verdicts[change] if products is None or own in products]
        shares = [self.outcome(change, [product]).falsely_stopped for product in chosen]
        rates = [share.rate for share in shares if share.total]
        return sum(rates) / len(rates) if rates else math.nan

    def figures(self) -> dict[str, Any]:
        """As plain data for JSON, by change: all products together, and each."""
        return {
            change: self.outcome(change).figures()
            | {"products": {product: self.outcome(change, [product]).figures() for product in products}}
            for change, products in self.verdicts.items()
        }

    def for_report(self) -> dict[str, Any]:
        """What :func:`snl_edge.evaluation.report.write_report` shows of it."""
        outcomes = {change: self.outcome(change) for change in self.verdicts}
        return {
            "note": "the same parts as the camera would show them if it or its light changed; every change is made "
            "alone, at the model's own size in pixels, and the device recognises the product by itself",
            "rows": [
                {"name": change, "falsely_stopped": own.falsely_stopped, "caught": own.caught}
                for change, own in outcomes.items()
            ],
            "picture": draw_outcomes(outcomes),
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
        change: {product: [] for product in sorted({sample.product for sample in judged})} for change in changes
    }
    done = 0
    for batch, images in _changed(judged, size, changes, as_images, batch_size):
        for change, own in images.items():
            for sample, *scores in zip(batch, *predict(own).scores, strict=True):
                verdicts[change][sample.product].append((sample.is_good, rules.decide(*scores).kind))
            done += len(batch)
            progress(done, len(judged) * len(changes))
    return Robustness(verdicts)


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
        whole = [sample.read() for sample in batch]
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
