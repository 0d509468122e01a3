"""Thresholds of the very graph that will run: its scores lie a little otherwise than those of FP32."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from snl_edge.calibration.score import ScoreCalibration, calibrate_scores
from snl_edge.data.loader import ImageStore
from snl_edge.data.samples import Sample
from snl_edge.evaluation.evaluate import Predict


def recalibrate(
    predict: Predict,
    calibration: ScoreCalibration,
    held_out: Sequence[Sample],
    trained: Sequence[Sample],
    size: tuple[int, int],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ScoreCalibration:
    """The calibration of a graph that was exported with ``calibration``, from good images as in training.

    Args:
        predict: runs the graph.
        calibration: the one whose gain is in the graph.
        held_out: good images that the model was not trained on.
        trained: some that it was trained on.
        size: of the graph's input.
        progress: called with images done and wanted.

    Raises:
        DataError: an image cannot be read.
    """
    total = len(held_out) + len(trained)
    unseen: dict[str, list[float]] = {}
    seen: dict[str, list[float]] = {}
    for samples, scores, before in ((held_out, unseen, 0), (trained, seen, len(held_out))):
        for indices, images in ImageStore(samples, size, budget=0).batches(1):
            score = float(predict(images).score[0]) / calibration.gain
            scores.setdefault(samples[indices.start].product, []).append(score)
            progress(before + indices.stop, total)
    return calibrate_scores(unseen, seen, calibration.false_reject_budget)
