"""How much each layer suffers from INT8: the damage to maps and scores if only it is INT8, and if all but it are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from snl_edge.atomic import replacing, write_text
from snl_edge.export.qdq import Layer, insert_pairs, place

from .observe import Images, Progress, no_progress, run_maps

SHOWN = 25


class Damage(BaseModel):
    """Root mean square differences from FP32, on the calibrated scale."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    map: float
    score: float


class LayerSensitivity(BaseModel):
    """One layer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: str
    macs: int
    alone: Damage
    """If only this layer is INT8."""
    excluded: Damage
    """If every layer but this one is INT8."""


class Sensitivity(BaseModel):
    """All layers, in the graph's order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    all_int8: Damage
    layers: tuple[LayerSensitivity, ...]

    def worst_first(self) -> list[LayerSensitivity]:
        """The layers by the damage that excluding them takes away, most first."""
        return sorted(self.layers, key=lambda one: (one.excluded.map, -one.alone.map))


def measure_sensitivity(
    graph: onnx.ModelProto,
    layers: Sequence[Layer],
    ranges: Mapping[str, float],
    images: Images,
    progress: Progress = no_progress,
) -> Sensitivity:
    """Two graphs for each of ``layers``, the only ones in INT8, compared with the FP32 ``graph`` on ``images``.

    ``images`` are ``uint8 [N, H, W, 3]``.
    """
    maps, scores = run_maps(graph, images)

    def damage(chosen: Sequence[Layer]) -> Damage:
        found_maps, found_scores = run_maps(insert_pairs(graph, graph, place(graph, chosen), ranges), images)
        return Damage(map=_rms(found_maps - maps), score=_rms(found_scores - scores))

    everything = damage(layers)
    measured: list[LayerSensitivity] = []
    for done, layer in enumerate(layers, start=1):
        others = [other for other in layers if other is not layer]
        measured.append(
            LayerSensitivity(layer=layer.name, macs=layer.macs, alone=damage([layer]), excluded=damage(others))
        )
        progress(done, len(layers))
    return Sensitivity(all_int8=everything, layers=tuple(measured))


def write_sensitivity(sensitivity: Sensitivity, folder: Path) -> None:
    """Writes ``sensitivity.json`` and the picture ``sensitivity.png`` of the worst layers.

    Raises:
        OutputError: the folder cannot be written.
    """
    write_text(folder / "sensitivity.json", sensitivity.model_dump_json(indent=1) + "\n")
    from matplotlib.figure import Figure

    worst = sorted(sensitivity.layers, key=lambda one: one.alone.map)[-SHOWN:]
    figure = Figure(figsize=(9, 0.28 * len(worst) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(worst))
    gained = [max(sensitivity.all_int8.map - one.excluded.map, 0.0) for one in worst]
    axes.barh(places + 0.2, [one.alone.map for one in worst], 0.4, label="only this layer INT8")
    axes.barh(places - 0.2, gained, 0.4, label="taken away by excluding it")
    axes.axvline(sensitivity.all_int8.map, color="grey", linewidth=1, label="all layers INT8")
    axes.set_yticks(places, [one.layer for one in worst], fontsize=7)
    axes.set_xlabel("difference of the map from FP32 (root mean square, 0.5 = threshold)")
    axes.legend(loc="lower right", fontsize=8)
    with replacing(folder / "sensitivity.png") as temporary:
        figure.savefig(temporary, dpi=120)


def _rms(difference: NDArray[np.float32]) -> float:
    return float(f"{np.sqrt(np.mean(np.square(difference, dtype=np.float64))):.4g}")
