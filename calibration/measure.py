"""`snl-edge calibrate`: from good images to the calibration table of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from snl_edge.data.check import check_samples
from snl_edge.data.samples import Dataset, Sample
from snl_edge.errors import DataError
from snl_edge.export.onnx_graph import graph_metadata, input_size, network_sha256
from snl_edge.export.qdq import Placement, find_layers, place
from snl_edge.progress import console, progress_bar

from .images import CalibrationImage, candidates, choose_images, read_images
from .observe import effect_of_ranges, embed, observe, run_maps
from .ranges import Method
from .ranges import candidates as candidate_ranges
from .sensitivity import measure_sensitivity, write_sensitivity
from .table import FILE, CalibrationTable, ImageRecord, TensorRange, read_table, rounded

TRIED_ON = 16
"""Images, half of them damaged, on which the methods are compared."""
FITTED_TO = 32
"""Images, at most, that weights and biases are fitted to: more change them little and cost time."""
TIE = 1.05
"""A wider range is kept while it costs at most so many times the smallest error: it clips less of the unforeseen."""


@dataclass(frozen=True)
class CalibrationConfig:
    """How many images, and which."""

    images: int = 128
    """Good images, over all products; half as many damaged ones come on top."""
    seed: int = 0


def calibrate_run(
    run: Path, dataset: Dataset, config: CalibrationConfig, out: Path | None, *, sensitivity: bool = False
) -> Path:
    """Calibrates the model of the run folder ``run`` and writes the table to ``out``, or into the run.

    On images that it was trained on, found in ``dataset``: those that thresholds and gate go by are not fitted to.

    With ``sensitivity`` the damage that INT8 does to each layer goes beside the table.

    Raises:
        CheckpointError, ExportError: the run cannot be read or exported, or does not say what it was trained on.
        DataError: as `calibrate_ranges`, or the run's images are not in ``dataset``.
        OutputError: the table cannot be written.
    """
    from snl_edge.export.graphs import make_graphs
    from snl_edge.training.image_record import find_images

    checkpoint, graphs, _ = make_graphs(run, "fp32")
    dataset = dataset.with_bits(checkpoint.training.bits)
    found, graph = find_images(run, dataset), graphs["fp32"]
    check_products(found.dataset.train, checkpoint.products)
    samples = found.of("trained")
    table = calibrate_ranges(graph, samples, config)
    target = table.write(out or run / FILE)
    if sensitivity:
        images = trial_images(choose_calibration_images(graph, samples, config), input_size(graph))
        with progress_bar("sensitivity of each layer") as report:
            write_sensitivity(
                measure_sensitivity(graph, find_layers(graph), table.ranges, images, report), target.parent
            )
    return target


def calibrate_ranges(graph: onnx.ModelProto, samples: Sequence[Sample], config: CalibrationConfig) -> CalibrationTable:
    """Measures the range of every tensor that INT8 wants, on images chosen from the good ones among ``samples``.

    Raises:
        DataError: there is no usable good image, or products are missing or unknown to the model.
        ExportError: the graph cannot be looked into.
    """
    return measure_ranges(graph, choose_calibration_images(graph, samples, config), config.seed)


def measure_ranges(graph: onnx.ModelProto, images: Sequence[CalibrationImage], seed: int) -> CalibrationTable:
    """As `calibrate_ranges`, on ``images`` that were chosen with ``seed``."""
    placement = place(graph, find_layers(graph))
    tensors = list(placement.readers)
    with progress_bar("measuring ranges") as report:
        histograms = observe(graph, tensors, read_images(images, input_size(graph)), len(images), report)
    tried_on = trial_images(images, input_size(graph))
    maps, _ = run_maps(graph, tried_on)
    names = _names(placement)
    ranges: dict[str, TensorRange] = {}
    with progress_bar("choosing a method per tensor") as report:
        for done, tensor in enumerate(tensors, start=1):
            found: dict[Method, float] = {
                method: rounded(value) for method, value in candidate_ranges(histograms[tensor]).items()
            }
            errors: dict[Method, float] = effect_of_ranges(graph, tensor, placement, found, tried_on, maps)
            method = choose_method(found, errors)
            ranges[tensor] = TensorRange(
                read_by=tuple(names.get(node, node) for node, _ in placement.readers[tensor]),
                method=method,
                range=found[method],
                largest=rounded(histograms[tensor].largest),
                map_errors=errors,
            )
            report(done, len(tensors))
    return CalibrationTable(
        network_sha256=network_sha256(graph),
        seed=seed,
        tensors=ranges,
        images=tuple(_record(image) for image in images),
    )


def choose_calibration_images(
    graph: onnx.ModelProto, samples: Sequence[Sample], config: CalibrationConfig
) -> tuple[CalibrationImage, ...]:
    """The calibration set for the model in ``graph``.

    Raises:
        DataError: there is no usable good image, or products are missing or unknown to the model.
    """
    considered = candidates(samples, config.seed)
    check_products(considered, graph_metadata(graph).get("products", ()))
    with progress_bar("checking images") as report:
        check_samples(considered, progress=report)
    with progress_bar("looking for different images") as report:
        embeddings = embed(graph, considered, input_size(graph), report)
    return choose_images(considered, embeddings, config.images, config.seed)


def table_for(
    graph: onnx.ModelProto, run: Path, given: Path | None, samples: Sequence[Sample]
) -> tuple[CalibrationTable, tuple[CalibrationImage, ...]]:
    """The table ``given``, else the run's own if it fits the graph, else a new one that the run keeps; and its images.

    The images are chosen from ``samples`` again, as they were for the table.

    Raises:
        ConfigError: the table given cannot be read or belongs to another model.
        DataError, ExportError: as `calibrate_ranges`.
    """
    network, own = network_sha256(graph), run / FILE
    table = None
    if given is not None:
        table = read_table(given)
        table.check_model(network, given)
    elif own.is_file() and (kept := read_table(own)).network_sha256 == network:
        console.print(f"ranges from {own}")
        table = kept
    config = CalibrationConfig() if table is None else CalibrationConfig(table.good_images, table.seed)
    images = choose_calibration_images(graph, samples, config)
    if table is None:
        table = measure_ranges(graph, images, config.seed)
        table.write(own)
        console.print(f"calibration table: {own}")
    return table, images


def check_products(samples: Sequence[Sample], learned: Sequence[str]) -> None:
    """Refuses images of other products than the model learned.

    Raises:
        DataError: they are.
    """
    shown = {sample.product for sample in samples}
    missing, foreign = sorted(set(learned) - shown), sorted(shown - set(learned))
    words = [f"{verb} {', '.join(names)}" for verb, names in (("lack", missing), ("show unlearned", foreign)) if names]
    if words:
        raise DataError(
            "the images are not of the model's products",
            f"they {' and '.join(words)}",
            "give good images of every product the model learned, sorted as for training",
        )


def choose_method(ranges: dict[Method, float], errors: dict[Method, float]) -> Method:
    """The method of the widest range whose error is near the smallest."""
    allowed = TIE * min(errors.values())
    return max((method for method in ranges if errors[method] <= allowed), key=lambda method: ranges[method])


def trial_images(images: Sequence[CalibrationImage], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A few images of the set, half of them damaged, ``uint8 [N, H, W, 3]``."""
    good = [image for image in images if image.damage == "none"][: TRIED_ON // 2]
    damaged = [image for image in images if image.damage != "none"][: TRIED_ON // 2]
    return np.stack(list(read_images([*good, *damaged], size)))


def fitting_images(images: Sequence[CalibrationImage], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Images of the set, spread over it, that weights and biases are fitted to, ``uint8 [N, H, W, 3]``."""
    return np.stack(list(read_images(images[:: -(-len(images) // FITTED_TO)], size)))


def _names(placement: Placement) -> dict[str, str]:
    return {layer.node: layer.name for layer in placement.layers}


def _record(image: CalibrationImage) -> ImageRecord:
    path = image.sample.path
    return ImageRecord(product=image.sample.product, file=path.name, sha256=image.digest(), damage=image.damage)
