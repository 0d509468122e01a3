"""Defective parts among the training images: how many are named, and what they cost, as one result file.

``python -m studies.detection.contamination DATA --name real10``: of each product a few defective test images, of
every kind in turn, go among its training images; then it is trained with and without them and both are measured on
the test images that are left. The same command goes on where an earlier one stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from snl_edge.data.layouts import open_dataset
from snl_edge.data.samples import GOOD, Dataset, Sample
from snl_edge.errors import DataError
from snl_edge.evaluation.evaluate import Evaluation
from snl_edge.evaluation.run import evaluate_model
from snl_edge.model.config import override
from snl_edge.model.presets import preset as named
from snl_edge.provenance import revision
from snl_edge.runtime.manifest import sha256_of
from snl_edge.training.config import TrainingConfig
from snl_edge.training.image_record import ImageEntry, read_run_images

from ..ablation.run import describe
from ..command import run_command
from ..result_files import save_result
from ..trained_runs import trained

CHOSEN_ON = ("ball_screw", "hazelnut", "screw", "tire", "transistor")
"""Products on which the rule that names suspicious images was chosen; the others confirm it."""
CLEAN, PLANTED, TRUSTED = "clean", "planted", "trusted"
ALLOWED = 0.02
"""Share of good images that may be named falsely, where it is asked what the best fence could name."""


@dataclass(frozen=True)
class Draw:
    """Defective parts that were planted, and what training then knows of its images."""

    planted: Mapping[str, set[str]]
    """Their SHA-256, by product."""
    images: Sequence[ImageEntry]


def contamination(
    data: Annotated[Path, typer.Argument(help="Data set with a labelled test set.")],
    name: Annotated[str, typer.Option(help="Name of the result file.")],
    share: Annotated[float, typer.Option(help="Defective parts, as a share of each product's training images.")] = 0.04,
    runs: Annotated[Path, typer.Option(help="Folder for the trained models.")] = Path("runs/contamination"),
    preset: Annotated[str, typer.Option()] = "edge",
    settings: Annotated[list[str] | None, typer.Option("--set", help="Model settings, as for train.")] = None,
    steps: Annotated[int, typer.Option()] = 600,
    batch_size: Annotated[int, typer.Option()] = 16,
    seed: Annotated[int, typer.Option(help="Of the training, and of which defects are planted.")] = 0,
    trusted: Annotated[bool, typer.Option("--trusted", help="Also train on all: what they do unnamed.")] = False,
) -> None:
    """Trains on clean and on contaminated images of DATA and writes what it measured."""
    revision()  # of the code that starts, whatever is committed meanwhile
    config = override(named(preset), settings or [])
    training = TrainingConfig(steps=steps, batch_size=batch_size, seed=seed)
    dataset = open_dataset(data)
    clean, spoilt, planted = plant(dataset, share, seed)
    kinds = {CLEAN: (clean, training), PLANTED: (spoilt, training)}
    if trusted:
        kinds[TRUSTED] = (spoilt, training.model_copy(update={"trust": True}))
    evaluations: dict[str, Evaluation] = {}
    records: dict[str, Sequence[ImageEntry]] = {}
    for kind, (images, own) in kinds.items():
        run = runs / name / kind
        trained(config, own, images, run)
        records[kind] = read_run_images(run).images
        evaluations[kind] = evaluate_model(run, images)[0]
    path = save_result(
        "contamination",
        name,
        settings={
            "preset": preset,
            "model": config.model_dump(mode="json"),
            "training": training.model_dump(mode="json"),
            "seed": seed,
            "share": share,
            "data": describe(clean),
        },
        figures=figures_of(records[CLEAN], Draw(planted, records[PLANTED]), evaluations),
    )
    typer.echo(f"wrote {path}")


def plant(dataset: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset, dict[str, set[str]]]:
    """``dataset`` clean and with defective test images among its training images; the SHA-256 of these, by product.

    Both lack them in their test sets.

    Raises:
        DataError: a product has too few defective test images.
    """
    rng = np.random.default_rng(seed)
    moved: list[Sample] = []
    for product in dataset.products:
        count = max(1, round(share * sum(sample.product == product for sample in dataset.train)))
        defective = [sample for sample in dataset.test if sample.product == product and not sample.is_good]
        kinds = {kind: [s for s in defective if s.defect == kind] for kind in sorted({s.defect for s in defective})}
        turns = [[own[i] for i in rng.permutation(len(own))] for own in kinds.values()]
        in_turn = [own[place] for place in range(max(map(len, turns), default=0)) for own in turns if place < len(own)]
        if len(in_turn) <= count:
            raise DataError(f"{product} has {len(in_turn)} defective test images, {count} would be planted")
        moved += in_turn[:count]
    rest = tuple(sample for sample in dataset.test if sample not in set(moved))
    hidden = tuple(replace(sample, defect=GOOD, mask=None) for sample in moved)
    hashes: dict[str, set[str]] = {product: set() for product in dataset.products}
    for sample in moved:
        hashes[sample.product].add(sha256_of(sample.path))
    return replace(dataset, test=rest), replace(dataset, train=(*dataset.train, *hidden), test=rest), hashes


def figures_of(clean: Sequence[ImageEntry], draw: Draw, evaluations: Mapping[str, Evaluation]) -> dict[str, Any]:
    """The figures of the result file: by product, and means over all, over those chosen on, and over the others."""
    products = {product: _of_product(product, clean, draw, evaluations) for product in draw.planted}
    groups = {
        "all": list(products),
        "chosen_on": [product for product in products if product in CHOSEN_ON],
        "others": [product for product in products if product not in CHOSEN_ON],
    }
    return {"products": products, **{name: _mean([products[p] for p in own]) for name, own in groups.items() if own}}


def _of_product(
    product: str, clean: Sequence[ImageEntry], draw: Draw, evaluations: Mapping[str, Evaluation]
) -> dict[str, Any]:
    own_images = [entry for entry in clean if entry.product == product]
    falsely = sum(entry.suspicious for entry in own_images)
    own = [entry for entry in draw.images if entry.product == product]
    defects = [entry for entry in own if entry.sha256 in draw.planted[product]]
    good = [entry for entry in own if entry.sha256 not in draw.planted[product]]
    named_ones = sum(entry.suspicious for entry in defects)
    fence = np.quantile([_standing(entry) for entry in good], 1 - ALLOWED)
    row: dict[str, Any] = {
        "planted": len(defects),
        "named": named_ones,
        "named_rate": named_ones / len(defects),
        # With a fence that knows which images are defective: what their standing can tell apart at all.
        "attainable_rate": sum(_standing(entry) > fence for entry in defects) / len(defects),
        "images": len(own_images),
        "falsely_named": falsely,
        "falsely_named_rate": falsely / len(own_images),
        "falsely_named_beside_planted": sum(entry.suspicious for entry in good),
    }
    for kind, evaluation in evaluations.items():
        found = evaluation.products[product]
        row[f"{kind}_escape_rate"] = found.at_threshold.escape_rate
        row[f"{kind}_false_reject_rate"] = found.at_threshold.false_reject_rate
        row[f"{kind}_image_auroc"] = found.image_auroc
    return row


def _standing(entry: ImageEntry) -> float:
    """How far an image stands out; of too small a product, in which none can be named, not at all."""
    return 0.0 if entry.standing is None else entry.standing


def _mean(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts added up, and rates averaged over products, as is usual."""
    return {
        key: float(np.mean([row[key] for row in rows]))
        if key.endswith(("_rate", "_auroc"))
        else sum(row[key] for row in rows)
        for key in rows[0]
    }


if __name__ == "__main__":
    run_command(contamination)
