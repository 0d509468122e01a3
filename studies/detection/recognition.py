"""Product recognition on real images: known products, products left out of the fit, and defective parts.

``python -m studies.detection.recognition DATA --name real10-edge``; no student is trained, teacher features suffice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from snl_edge.data.layouts import open_dataset
from snl_edge.data.loader import ImageStore
from snl_edge.model.config import override
from snl_edge.model.presets import preset as named
from snl_edge.model.recognition import Recognition
from snl_edge.model.teacher import Teacher
from snl_edge.progress import progress_bar
from snl_edge.provenance import revision
from snl_edge.runtime.manifest import KNOWN
from snl_edge.training.camera_changes import with_copies
from snl_edge.training.config import TrainingConfig
from snl_edge.training.recognition import Array, RecognitionFit, embed, fit_recognition, rounding_noise

from ..command import run_command
from ..result_files import save_result


def recognition(
    data: Annotated[Path, typer.Argument(help="Data set in MVTec AD or VisA layout, two products or more.")],
    name: Annotated[str, typer.Option(help="Name of the result file.")],
    preset: Annotated[str, typer.Option()] = "edge",
    settings: Annotated[list[str] | None, typer.Option("--set", help="Model settings, as for train.")] = None,
    seed: Annotated[int, typer.Option(help="Of the folds that set the limits.")] = 0,
) -> None:
    """Fits on the training images of DATA, judges its test images, and writes what it measured."""
    revision()  # of the code that starts, whatever is committed meanwhile
    dataset = open_dataset(data)
    config = override(named(preset), settings or [])
    teacher = Teacher(config.teacher)
    # As training does: with changed copies of its images.
    learned = with_copies(ImageStore(dataset.train, config.size, budget=0), TrainingConfig(seed=seed))
    parts: list[Array] = []
    for store in (learned, ImageStore(dataset.test, config.size, budget=0)):
        with progress_bar("teacher features") as report:
            parts.append(embed(teacher, store, 16, report))
    samples = [*learned.samples, *dataset.test]
    rows = np.arange(len(samples))
    trained = rows < len(learned)
    figures = measure(
        np.concatenate(parts),
        np.array([sample.product for sample in samples]),
        trained,
        np.array([sample.is_good for sample in samples]),
        seed,
        rounding_noise(teacher, learned, 16),
        np.where(trained, rows % len(dataset.train), rows),
    )
    path = save_result(
        "recognition",
        name,
        settings={"preset": preset, "model": config.model_dump(mode="json"), "seed": seed},
        figures=figures,
    )
    typer.echo(f"wrote {path}")


def measure(
    embeddings: Array,
    products: NDArray[np.str_],
    trained: NDArray[np.bool_],
    good: NDArray[np.bool_],
    seed: int = 0,
    noise: Array | None = None,
    groups: NDArray[np.intp] | None = None,
) -> dict[str, Any]:
    """The figures, as fractions, from embeddings ``[N, C]`` and what each image is; the rest as for the fit.

    With all products learned: recognition, images beyond the limit among good and defective test images, and
    defective ones that are unknown even if their score is above the threshold.
    For each product left out of the fit: how many of its good test images are beyond the limit, how many are unknown
    even if their score is above the threshold of what they resemble, and how many good test images of the products
    that stayed are beyond their limit.
    """
    images = np.arange(len(products)) if groups is None else groups
    right, unknown, strange = _judge(embeddings, products, trained, np.ones(len(products), bool), seed, noise, images)
    tested, rows = ~trained, {}
    for product in sorted(set(products.tolist())):
        own, others = products == product, trained & (products != product)
        _, unseen, alien = _judge(embeddings, products, others, tested & good, seed, noise, images)
        rows[product] = {
            "accuracy": _share(right, tested & good & own),
            "false_unknown_rate": _share(unknown, tested & good & own),
            "left_out_unknown_rate": _share(unseen, tested & good & own),
            "left_out_never_reject_rate": _share(alien, tested & good & own),
            "left_out_false_unknown_rate": _share(unseen, tested & good & ~own),
            "defective_accuracy": _share(right, tested & ~good & own),
            "defective_unknown_rate": _share(unknown, tested & ~good & own),
            "defective_never_reject_rate": _share(strange, tested & ~good & own),
        }
    overall = {
        "accuracy": _share(right, tested & good),
        "false_unknown_rate": _share(unknown, tested & good),
        "left_out_unknown_rate": float(np.mean([row["left_out_unknown_rate"] for row in rows.values()])),
        "left_out_never_reject_rate": float(np.mean([row["left_out_never_reject_rate"] for row in rows.values()])),
        "left_out_false_unknown_rate": float(np.mean([row["left_out_false_unknown_rate"] for row in rows.values()])),
        "defective_accuracy": _share(right, tested & ~good),
        "defective_unknown_rate": _share(unknown, tested & ~good),
        "defective_never_reject_rate": _share(strange, tested & ~good),
    }
    return {
        "overall": overall,
        "products": rows,
        "good_test_images": int((tested & good).sum()),
        "defective_test_images": int((tested & ~good).sum()),
    }


def _judge(
    embeddings: Array,
    products: NDArray[np.str_],
    fitted: NDArray[np.bool_],
    judged: NDArray[np.bool_],
    seed: int,
    noise: Array | None,
    groups: NDArray[np.intp],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Of each ``judged`` image, ``bool [N]``: is it recognised as its product, beyond the limit, beyond any reject?"""
    names, fit = fit_recognition(
        embeddings[fitted], products[fitted].tolist(), seed, groups[fitted].tolist(), noise=noise
    )
    right, unknown, strange = (np.zeros(len(products), bool) for _ in range(3))
    nearest, distance = fit.recognise(embeddings[judged])
    right[judged] = np.array(names)[nearest] == products[judged]
    unknown[judged] = distance > KNOWN
    strange[judged] = distance > _reject_limits(fit)[nearest]
    return right, unknown, strange


def _reject_limits(fit: RecognitionFit) -> Array:
    products, channels = fit.prototypes.shape
    module = Recognition([channels], products)
    fit.apply_to(module)
    return module.reject_limits().numpy()


def _share(values: NDArray[np.bool_], among: NDArray[np.bool_]) -> float | None:
    return float(values[among].mean()) if among.any() else None


if __name__ == "__main__":
    run_command(recognition)
