"""From a typed graph to one that may ship: its own thresholds, the gate, and a search for layers to exclude."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from snl_edge.atomic import scratch_folder
from snl_edge.calibration.fit import fit_layers
from snl_edge.calibration.images import CalibrationImage
from snl_edge.calibration.measure import fitting_images, trial_images
from snl_edge.calibration.search import disproportionate, fewest_excluded, guess_excluded
from snl_edge.calibration.sensitivity import Sensitivity, measure_sensitivity
from snl_edge.calibration.table import CalibrationTable
from snl_edge.contract.graph import IMAGES, Prediction
from snl_edge.data.samples import Sample
from snl_edge.evaluation.evaluate import Predict
from snl_edge.export.onnx_graph import graph_metadata, input_size, save_graph, with_score_scale
from snl_edge.export.qdq import find_layers, to_int8
from snl_edge.export.rounding import device_session
from snl_edge.progress import console, progress_bar
from snl_edge.scoring.scale import DECISION, ScoreScale

from .gate import GateReport, compare
from .gate_images import GateImages, GraphAnswers, gate_images, judge
from .moved_thresholds import move_scale, move_thresholds, scores_of

NAMED = 5
"""Worst layers that a failing report names."""


@dataclass(frozen=True)
class Qualified:
    """A graph with its own gain, the score scale it comes from, and what the gate says of it."""

    graph: onnx.ModelProto
    score_scale: ScoreScale
    report: GateReport


class Qualifier:
    """Judges typed forms of one FP32 graph; the FP32 graph itself is judged once.

    Args:
        graph: the FP32 graph.
        score_scale: the one whose gain it carries.
        images: what the gate looks at.
        held_out: good images not trained on, which thresholds are moved by; without any they stay those of FP32.
    """

    def __init__(
        self, graph: onnx.ModelProto, score_scale: ScoreScale, images: GateImages, held_out: Sequence[Sample] = ()
    ) -> None:
        self.graph = graph
        self.score_scale = score_scale
        self.images = images
        self.size = input_size(graph)
        self._held_out = held_out

    def qualify(self, graph: onnx.ModelProto, precision: Literal["fp16", "int8"]) -> Qualified:
        """Sets the thresholds of ``graph`` again and judges it as a device will compute it.

        Raises:
            DataError: an image cannot be read.
        """
        own = self.score_scale
        if self._held_out:
            own = move_scale(own, self._exact_scores, self._scores(graph, precision))
            graph = with_score_scale(graph, own)
        found = self._judge(_predict(graph), own, precision)
        return Qualified(graph, own, compare(self.reference, found, precision, "simulated on the CPU"))

    def qualify_on_openvino(self, qualified: Qualified, precision: Literal["bf16", "int8"]) -> Qualified:
        """Judges a graph that TensorRT may run as OpenVINO computes it on this machine's CPU.

        BF16 is a reading of the FP16 graph, whose gain it shares: only the products' thresholds are its own.

        Raises:
            EngineError: OpenVINO refuses the graph.
            DataError: an image cannot be read.
        """
        from snl_edge.runtime.openvino_backend import OpenVinoBackend

        own = qualified.score_scale
        with scratch_folder() as temporary:
            backend = OpenVinoBackend(save_graph(qualified.graph, temporary / "graph.onnx"), precision, 1)

        def predict(images: NDArray[np.uint8]) -> Prediction:
            return deepcopy(backend.infer(images))  # views of buffers that the next image overwrites

        if precision == "bf16" and self._held_out:
            with progress_bar("scores of good parts with bf16") as report:
                scores = scores_of(predict, self._held_out, self.size, report)
            own = move_thresholds(self.score_scale, own, self._exact_scores, scores)
        found = self._judge(predict, own, precision)
        told = {"not_int8": qualified.report.not_int8, "not_int8_share": qualified.report.not_int8_share}
        report = compare(self.reference, found, precision, backend.description).model_copy(update=told)
        return Qualified(qualified.graph, own, report)

    def qualify_int8(
        self, table: CalibrationTable, images: Sequence[CalibrationImage]
    ) -> tuple[Qualified, Sensitivity | None]:
        """The INT8 graph with the fewest layers excluded that passes the gate, or the last one tried.

        Args:
            table: ranges, and what each does to the map.
            images: those of the table; weights and biases are fitted to some of them.

        Returns:
            the graph, and the sensitivity of layers where it had to be measured.
        """
        fitting = fitting_images(images, self.size)
        always = disproportionate(find_layers(self.graph), table.tensors)
        first = self._without(table, fitting, always)
        if first.report.passed:
            return first, None
        console.print(first.report.summary() + "; looking for layers to keep out of INT8")
        trial = trial_images(gate_images((), self._held_out).unlabelled, self.size)
        with progress_bar("sensitivity of each layer") as report:
            sensitivity = measure_sensitivity(self.graph, find_layers(self.graph), table.ranges, trial, report)
        worst = [one.layer for one in sensitivity.worst_first() if one.layer not in always]

        def attempt(excluded: tuple[str, ...]) -> _Attempt:
            if not excluded:
                return _Attempt(first)
            qualified = self._without(table, fitting, (*always, *excluded))
            console.print(qualified.report.summary())
            return _Attempt(qualified)

        allowed = max(1.0, first.report.limits.verdict_flips * first.report.images)
        share = min(1.0, allowed / max(first.report.verdict_flips, 1))  # flips go with the size of the damage
        guess = guess_excluded(sensitivity, share) - len(always)
        best = fewest_excluded(worst, attempt, guess).outcome.qualified
        if best.report.passed:
            return best, sensitivity
        named = best.report.model_copy(update={"worst_layers": tuple(worst[:NAMED])})
        return Qualified(best.graph, best.score_scale, named), sensitivity

    def _without(self, table: CalibrationTable, fitting: NDArray[np.uint8], excluded: Sequence[str]) -> Qualified:
        """The INT8 graph without the layers ``excluded``, fitted and judged."""
        every = find_layers(self.graph)
        layers = [layer for layer in every if layer.name not in excluded]
        with progress_bar("fitting weights and biases") as report:
            fitted = fit_layers(self.graph, layers, table.ranges, fitting, report)
        found = self.qualify(to_int8(self.graph, table.ranges, excluded, fitted), "int8")
        share = 1 - sum(layer.macs for layer in layers) / sum(layer.macs for layer in every)
        told = {"not_int8": tuple(excluded), "not_int8_share": round(share, 4)}
        return Qualified(found.graph, found.score_scale, found.report.model_copy(update=told))

    @cached_property
    def reference(self) -> GraphAnswers:
        """What the FP32 graph says of the gate's images."""
        return self._judge(_predict(self.graph), self.score_scale, "fp32")

    def reference_figures(self) -> dict[str, Any]:
        """The FP32 graph's metrics on the labelled set; empty where there is none."""
        return self.reference.metrics.figures() if self.reference.metrics else {}

    @cached_property
    def _exact_scores(self) -> dict[str, list[float]]:
        return self._scores(self.graph, "fp32")

    def _scores(self, graph: onnx.ModelProto, name: str) -> dict[str, list[float]]:
        with progress_bar(f"scores of good parts with {name}") as report:
            return scores_of(_predict(graph), self._held_out, self.size, report)

    def _judge(self, predict: Predict, score_scale: ScoreScale, name: str) -> GraphAnswers:
        limits, learned = score_scale.product_thresholds, graph_metadata(self.graph)["products"]
        with progress_bar(f"gate: judging with {name}") as report:
            return judge(
                predict, self.images, self.size, lambda product: limits.get(product, DECISION), learned, report
            )


@dataclass(frozen=True)
class _Attempt:
    qualified: Qualified

    @property
    def passed(self) -> bool:
        return self.qualified.report.passed


def _predict(graph: onnx.ModelProto) -> Predict:
    session = device_session(graph)

    def predict(images: NDArray[np.uint8]) -> Prediction:
        return Prediction(*map(np.asarray, session.run(Prediction._fields, {IMAGES.name: images})))

    return predict
