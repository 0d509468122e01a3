"""From a typed graph to one that may ship: its own thresholds, the gate, and a search for layers to spare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from snl_edge.calibration.score import DECISION, ScoreCalibration
from snl_edge.data.samples import Sample
from snl_edge.evaluation.evaluate import Predict
from snl_edge.export.gain import with_calibration
from snl_edge.export.qdq import find_layers, to_int8
from snl_edge.export.rounding import device_session
from snl_edge.progress import console, progress_bar
from snl_edge.runtime.prediction import Prediction

from .gate import GateReport, compare
from .judgement import GateImages, Judgement, judge
from .measure import input_size
from .search import fewest_spared
from .sensitivity import Sensitivity, measure_sensitivity
from .thresholds import recalibrate

NAMED = 5
"""Worst layers that a failing report names."""


@dataclass(frozen=True)
class Qualified:
    """A graph with its own gain, the calibration it comes from, and what the gate says of it."""

    graph: onnx.ModelProto
    calibration: ScoreCalibration
    report: GateReport


class Qualifier:
    """Judges typed forms of one FP32 graph; the FP32 graph itself is judged once.

    Args:
        graph: the FP32 graph.
        calibration: the one whose gain it carries.
        images: what the gate looks at.
        held_out: good images that the model was not trained on, for thresholds.
        trained: some that it was trained on. Without any of the two, thresholds stay those of FP32.
    """

    def __init__(
        self,
        graph: onnx.ModelProto,
        calibration: ScoreCalibration,
        images: GateImages,
        held_out: Sequence[Sample] = (),
        trained: Sequence[Sample] = (),
    ) -> None:
        self.graph = graph
        self.calibration = calibration
        self._images = images
        self._held_out, self._trained = held_out, trained
        self._size = input_size(graph)

    def qualify(self, graph: onnx.ModelProto, precision: Literal["fp16", "int8"]) -> Qualified:
        """Sets the thresholds of ``graph`` anew and judges it as a device will compute it.

        Raises:
            DataError: an image cannot be read.
        """
        own = self.calibration
        if self._held_out:
            with progress_bar(f"thresholds of the {precision} graph") as report:
                own = recalibrate(_predict(graph), self.calibration, self._held_out, self._trained, self._size, report)
            graph = with_calibration(graph, own)
        found = self._judge(graph, own, precision)
        return Qualified(graph, own, compare(self._reference, found, precision, "simulated on the CPU"))

    def qualify_int8(
        self, ranges: Mapping[str, float], trial: NDArray[np.uint8]
    ) -> tuple[Qualified, Sensitivity | None]:
        """The INT8 graph with the fewest layers spared that passes the gate, or the last one tried.

        Args:
            ranges: of the calibration table.
            trial: images to rank layers on, if the whole graph fails.

        Returns:
            the graph, and the sensitivity of layers where it had to be measured.
        """
        first = self.qualify(to_int8(self.graph, ranges), "int8")
        if first.report.passed:
            return first, None
        console.print(first.report.summary() + "; looking for layers to keep out of INT8")
        with progress_bar("sensitivity of each layer") as report:
            sensitivity = measure_sensitivity(self.graph, find_layers(self.graph), ranges, trial, report)
        worst = [one.layer for one in sensitivity.worst_first()]

        def attempt(spared: tuple[str, ...]) -> _Attempt:
            if not spared:
                return _Attempt(first)
            qualified = self.qualify(to_int8(self.graph, ranges, spared), "int8")
            console.print(f"{len(spared)} layers spared: {qualified.report.summary()}")
            return _Attempt(qualified)

        search = fewest_spared(worst, attempt)
        best, report = search.outcome.qualified, search.outcome.qualified.report
        told = {"not_int8": search.spared, "not_int8_share": self._share(search.spared)}
        if not report.passed:
            told["worst_layers"] = tuple(worst[:NAMED])
        return Qualified(best.graph, best.calibration, report.model_copy(update=told)), sensitivity

    @cached_property
    def _reference(self) -> Judgement:
        return self._judge(self.graph, self.calibration, "fp32")

    def _judge(self, graph: onnx.ModelProto, calibration: ScoreCalibration, name: str) -> Judgement:
        limits = calibration.product_thresholds
        with progress_bar(f"gate: judging with {name}") as report:
            return judge(
                _predict(graph), self._images, self._size, lambda product: limits.get(product, DECISION), report
            )

    def _share(self, spared: Sequence[str]) -> float:
        layers = find_layers(self.graph)
        return round(sum(one.macs for one in layers if one.name in spared) / sum(one.macs for one in layers), 4)


@dataclass(frozen=True)
class _Attempt:
    qualified: Qualified

    @property
    def passed(self) -> bool:
        return self.qualified.report.passed


def _predict(graph: onnx.ModelProto) -> Predict:
    session = device_session(graph)

    def predict(images: NDArray[np.uint8]) -> Prediction:
        return Prediction(*map(np.asarray, session.run(Prediction._fields, {"images": images})))

    return predict
