"""What a graph says of the gate's images: a labelled test set, or good images and some of them damaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snl_edge.calibration.images import DAMAGES, CalibrationImage
from snl_edge.data.samples import Sample
from snl_edge.evaluation.evaluate import Predict, evaluate
from snl_edge.evaluation.results import Evaluation
from snl_edge.runtime.manifest import KNOWN

MOST_GOOD = 200
"""Good images that are judged where no labelled set is given: their maps are kept."""


@dataclass(frozen=True)
class GateImages:
    """What the gate looks at."""

    labelled: tuple[Sample, ...] = ()
    """A test set with defects."""
    unlabelled: tuple[CalibrationImage, ...] = ()
    """Good images, and some again damaged; used where there is no labelled set."""


@dataclass(frozen=True)
class GraphAnswers:
    """What one graph says of them, in the order of the images."""

    scores: NDArray[np.float64]
    rejects: NDArray[np.bool_]
    recognised: NDArray[np.bool_]
    """Good images that are known, as the product that they show; all False where the products have no names."""
    metrics: Evaluation | None = None
    maps: NDArray[np.float32] | None = None


def gate_images(test: Sequence[Sample], good: Sequence[Sample], seed: int = 0) -> GateImages:
    """The labelled test set if it holds good and defective parts, else good images and each again damaged.

    A damaged image scores above the threshold where a good one stays below: only both together show verdicts flip.
    """
    if {sample.is_good for sample in test} == {True, False}:
        return GateImages(labelled=tuple(test))
    rng = np.random.default_rng(seed)
    chosen = [good[index] for index in sorted(rng.permutation(len(good))[: MOST_GOOD // 2])]
    images = [CalibrationImage(sample, "none", sample, 0) for sample in chosen]
    for turn, sample in enumerate(chosen):
        donor = chosen[int(rng.integers(len(chosen)))]
        images.append(CalibrationImage(sample, DAMAGES[turn % len(DAMAGES)], donor, int(rng.integers(2**31))))
    return GateImages(unlabelled=tuple(images))


def judge(
    predict: Predict,
    images: GateImages,
    size: tuple[int, int],
    threshold: Callable[[str], float],
    learned: Sequence[str],
    progress: Callable[[int, int], None] = lambda done, total: None,
    as_images: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None,
) -> GraphAnswers:
    """Runs ``predict`` over the images; every product is judged by its own ``threshold``.

    ``learned`` names the products in the graph's order.
    ``size`` is that of maps, and of what ``predict`` takes unless ``as_images`` makes it of a picture.

    Raises:
        DataError: an image or mask cannot be read.
    """
    if images.labelled:
        evaluation = evaluate(
            predict,
            images.labelled,
            size,
            threshold=threshold,
            names=learned,
            batch_size=1,
            progress=progress,
            shown=0,
            as_images=as_images,
        )
        scores = np.array([case.score for case in evaluation.cases])
        recognised = [
            case.sample.is_good and case.nearest == case.sample.product and case.product_distance <= KNOWN
            for case in evaluation.cases
        ]
        rejects = np.array([case.reject for case in evaluation.cases])
        return GraphAnswers(scores, rejects, np.array(recognised), metrics=evaluation)
    scores, recognised, maps = [], [], []
    for done, image in enumerate(images.unlabelled, start=1):
        picture = image.read(size)
        prediction = predict((picture if as_images is None else as_images(picture))[None])
        scores.append(float(prediction.score[0]))
        own = learned[int(prediction.product[0])] == image.sample.product
        recognised.append(image.damage == "none" and own and float(prediction.product_distance[0]) <= KNOWN)
        maps.append(prediction.anomaly_map[0])
        progress(done, len(images.unlabelled))
    limits = np.array([threshold(image.sample.product) for image in images.unlabelled])
    return GraphAnswers(np.array(scores), np.array(scores) > limits, np.array(recognised), maps=np.stack(maps))
