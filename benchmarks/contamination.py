"""Defective parts among the training images: how many are named, and what they cost, as one result file.

``python -m snl_edge.benchmarks.contamination DATA --name real10``: of each product a few defective test images, of
every kind in turn, go among its training images; then it is trained with and without them and both are measured on
the test images that are left. The same command goes on where an earlier one stopped. With ``--naming`` nothing is
trained: which images are named is known before the first step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from snl_edge.data.layouts import open_dataset
from snl_edge.data.loader import ImageStore
from snl_edge.data.samples import GOOD, Dataset, Sample
from snl_edge.errors import DataError
from snl_edge.evaluation.evaluate import Evaluation
from snl_edge.evaluation.run import evaluate_model
from snl_edge.model.config import SnlConfig, override
from snl_edge.model.presets import preset as named
from snl_edge.model.snl import Snl
from snl_edge.progress import progress_bar
from snl_edge.provenance import revision
from snl_edge.runtime.manifest import sha256_of
from snl_edge.training.config import TrainingConfig
from snl_edge.training.feature_cache import FeatureSource
from snl_edge.training.image_record import ImageEntry, read_run_images
from snl_edge.training.preparation import prepare_images

from .command import run_command
from .results import save_result
from .runs import trained
from .study import describe

CHOSEN_ON = ("ball_screw", "hazelnut", "screw", "tire", "transistor")
"""Products on which the rule that names suspicious images was chosen; the others confirm it."""
CLEAN, PLANTED, TRUSTED = "clean", "planted", "trusted"


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
    naming: Annotated[bool, typer.Option("--naming", help="Only which are named; escapes need training.")] = False,
    trusted: Annotated[bool, typer.Option("--trusted", help="Also train on all: what they do unnamed.")] = False,
) -> None:
    """Trains on clean and on contaminated images of DATA and writes what it measured."""
    revision()  # of the code that starts, whatever is committed meanwhile
    clean, spoilt, planted = plant(open_dataset(data), share, seed)
    config = override(named(preset), settings or [])
    training = TrainingConfig(steps=steps, batch_size=batch_size, seed=seed)
    kinds = {CLEAN: (clean, training), PLANTED: (spoilt, training)}
    if trusted and not naming:
        kinds[TRUSTED] = (spoilt, training.model_copy(update={"trust": True}))
    evaluations: dict[str, Evaluation] = {}
    records: dict[str, Sequence[ImageEntry]] = {}
    for kind, (dataset, own) in kinds.items():
        if naming:
            records[kind] = screened(config, own, dataset)
            continue
        run = runs / name / kind
        trained(config, own, dataset, run)
        records[kind] = read_run_images(run).images
        evaluations[kind] = evaluate_model(run, dataset)[0]
    path = save_result(
        "contamination",
        name,
        settings={
            "preset": preset,
            "model": config.model_dump(mode="json"),
            "training": None if naming else training.model_dump(mode="json"),
            "seed": seed,
            "share": share,
            "data": describe(clean),
        },
        figures=figures_of(planted, records, evaluations),
    )
    typer.echo(f"wrote {path}")


def screened(config: SnlConfig, training: TrainingConfig, dataset: Dataset) -> tuple[ImageEntry, ...]:
    """What is known of the training images of ``dataset`` before training."""
    model = Snl(config, products=len(dataset.products)).eval()
    budget = int(training.cache_gib * 2**30)
    store = ImageStore(dataset.train, config.size, budget)
    source = FeatureSource(model, store, training, torch.device("cpu"), budget - store.cached_bytes)
    with progress_bar("teacher features") as report:
        source.prepare(training.batch_size, report)
    return prepare_images(dataset, store, source, training, {}).entries


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


def figures_of(
    planted: Mapping[str, set[str]], records: Mapping[str, Sequence[ImageEntry]], evaluations: Mapping[str, Evaluation]
) -> dict[str, Any]:
    """The figures of the result file: by product, and means over all, over those chosen on, and over the others."""
    products = {product: _of_product(product, own, records, evaluations) for product, own in planted.items()}
    groups = {
        "all": list(products),
        "chosen_on": [product for product in products if product in CHOSEN_ON],
        "others": [product for product in products if product not in CHOSEN_ON],
    }
    return {"products": products, **{name: _mean([products[p] for p in own]) for name, own in groups.items() if own}}


def _of_product(
    product: str, planted: set[str], records: Mapping[str, Sequence[ImageEntry]], evaluations: Mapping[str, Evaluation]
) -> dict[str, Any]:
    suspicious = {
        kind: [e.sha256 for e in record if e.product == product and e.suspicious] for kind, record in records.items()
    }
    images = sum(entry.product == product for entry in records[CLEAN])
    named_ones = len(planted & set(suspicious[PLANTED]))
    row: dict[str, Any] = {
        "planted": len(planted),
        "named": named_ones,
        "named_rate": named_ones / len(planted),
        "images": images,
        "falsely_named": len(suspicious[CLEAN]),
        "falsely_named_rate": len(suspicious[CLEAN]) / images,
        "falsely_named_beside_planted": len(suspicious[PLANTED]) - named_ones,
    }
    for kind, evaluation in evaluations.items():
        found = evaluation.products[product]
        row[f"{kind}_escape_rate"] = found.at_threshold.escape_rate
        row[f"{kind}_false_reject_rate"] = found.at_threshold.false_reject_rate
        row[f"{kind}_image_auroc"] = found.image_auroc
    return row


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
