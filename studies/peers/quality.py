"""Outside baselines: methods of anomalib on the images, backbone, weights and metrics of ours, as results of a study.

``python -m studies.peers.quality DATA --name real10 --seeds 0,1,2 --steps 1200``

Runs in an environment of its own, which it makes on first use.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from snl_edge.data.layouts import open_dataset
from snl_edge.data.samples import Dataset
from snl_edge.errors import ConfigError, DataError
from snl_edge.progress import console, progress_bar
from snl_edge.provenance import revision

from ..command import run_command
from ..result_files import FOLDER, save_result
from .environment import HUGE_PAGES, enter_environment

KIND = "experiment"
MODELS = ("anomalib_stfpm", "anomalib_patchcore")
VERDICTS = ("threshold", "false_reject_rate", "escape_rate", "false_rejects", "escapes")
"""Figures that need a threshold for each product; peers get none."""


def peers(
    data: Annotated[Path, typer.Argument(help="Data set with a test set, in MVTec AD or VisA layout.")],
    name: Annotated[str, typer.Option(help="Name of the study that the results belong to.")],
    models: Annotated[str, typer.Option(help="Which models, separated by commas.")] = ",".join(MODELS),
    seeds: Annotated[str, typer.Option(help="Seeds, as 0,1,2.")] = "0",
    steps: Annotated[int, typer.Option(min=1, help="Training steps of STFPM.")] = 1200,
    batch_size: Annotated[int, typer.Option(min=2)] = 16,
    learning_rate: Annotated[
        float | None, typer.Option(min=0, help="Of STFPM, in place of anomalib's default.")
    ] = None,
    preset: Annotated[str, typer.Option(help="The preset of ours whose backbone and input all share.")] = "edge",
    products: Annotated[str | None, typer.Option(help="Only these products, separated by commas.")] = None,
    results: Annotated[Path, typer.Option(help="Folder of the result files.")] = FOLDER,
) -> None:
    """Trains and measures every model with every seed."""
    chosen, numbers = choose_models(models), parse_seeds(seeds)
    revision()  # of the code that starts, whatever is committed meanwhile
    dataset = open_dataset(data, products=products.split(",") if products else None)
    if not dataset.test:
        raise DataError(f"{data} has no test images", fix="give a set in MVTec AD or VisA layout")
    enter_environment(variables=HUGE_PAGES)
    for seed in numbers:
        for row in chosen:
            console.rule(f"{row}-seed{seed}")
            settings, figures = measure(row, seed, preset, steps, batch_size, learning_rate, dataset)
            path = save_result(
                KIND,
                f"{name}/{row}-seed{seed}",
                settings={"study": name, "row": row, "seed": seed, **settings},
                figures=figures,
                folder=results / name,
                file=f"{row}-seed{seed}.json",
            )
            console.print(f"wrote {path.name}: {in_short(figures)}")


def measure(
    row: str, seed: int, preset: str, steps: int, batch_size: int, learning_rate: float | None, dataset: Dataset
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Trains ``row`` and evaluates it on the test images; settings and figures of its result file."""
    from snl_edge.evaluation.evaluate import evaluate
    from snl_edge.model.presets import preset as named
    from snl_edge.training.config import TrainingConfig
    from snl_edge.training.split import assign_roles

    from .anomalib_training import train_patchcore, train_stfpm

    config, training = named(preset), TrainingConfig(steps=steps, batch_size=batch_size, seed=seed)
    alone = np.arange(len(dataset.train))  # every image counts as a part of its own
    roles = assign_roles(dataset.train, alone, np.zeros(len(alone), bool), training.holdout, seed)
    samples = [sample for sample, role in zip(dataset.train, roles, strict=True) if role == "trained"]
    if row == "anomalib_stfpm":
        peer = train_stfpm(config, samples, training, learning_rate)
    else:
        peer = train_patchcore(config, samples, training)
    with progress_bar("evaluating") as report:
        evaluation = evaluate(peer.predict, dataset.test, config.size, progress=report)
    good = sum(sample.is_good for sample in dataset.test)
    settings = {
        "model": peer.model,
        "training": peer.training,
        "data": {
            "name": dataset.root.resolve().name,
            "products": len(dataset.products),
            "train": len(dataset.train),
            "test_good": good,
            "test_defective": len(dataset.test) - good,
        },
    }
    figures = {
        "evaluation": without_verdicts(evaluation.figures()),
        "training_seconds": round(peer.seconds, 1),
        "images_per_second": round(peer.images / max(peer.seconds, 0.1), 2),
        "training_images": len(samples),
        "losses": [round(loss, 4) for loss in peer.losses[:: max(1, steps // 20)]],
    }
    return settings, figures


def without_verdicts(figures: dict[str, Any]) -> dict[str, Any]:
    """Figures of an evaluation with all that depends on a threshold set to None."""
    blank = lambda row: {k: None if k in VERDICTS else v for k, v in row.items()}  # noqa: E731
    return {"mean": blank(figures["mean"]), "products": {p: blank(row) for p, row in figures["products"].items()}}


def choose_models(text: str) -> tuple[str, ...]:
    """The models named in ``text``, each once.

    Raises:
        ConfigError: there is no such model.
    """
    names = tuple(dict.fromkeys(word.strip() for word in text.split(",")))
    unknown = [name for name in names if name not in MODELS]
    if unknown:
        raise ConfigError(f"there is no peer {', '.join(unknown)!r}", fix=f"choose among {', '.join(MODELS)}")
    return names


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds written as ``0,1,2``.

    Raises:
        ConfigError: that is no list of numbers.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words):
        raise ConfigError(f"--seeds {text} is not understood", fix="write numbers, as in --seeds 0,1,2")
    return tuple(dict.fromkeys(map(int, words)))


def in_short(figures: dict[str, Any]) -> str:
    """The three figures that one looks at first, in percent."""
    mean = figures["evaluation"]["mean"]
    shown = [metric for metric in ("image_auroc", "pixel_auroc", "aupro") if mean[metric] is not None]
    return ", ".join(f"{metric} {100 * mean[metric]:.1f}" for metric in shown)


if __name__ == "__main__":
    run_command(peers)
