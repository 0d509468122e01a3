"""The table of the public benchmarks: one model for all classes, beside plain distillation and published figures.

``python -m studies.detection.published mvtec/ --weights wide_resnet50_2.safetensors > mvtec.md``

Trains and measures three rows: plain reverse distillation, SNL with the parts that its abstract names, and the preset
as it is. One result file each; the same command goes on where it stopped. See docs/recipes.md for the protocol.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from snl_edge.benchmarks.results import read_result
from snl_edge.benchmarks.tables import table
from snl_edge.evaluation.results import METRICS
from snl_edge.model.config import SnlConfig, override
from snl_edge.model.presets import preset as named
from snl_edge.provenance import revision
from snl_edge.training.config import TrainingConfig

from ..ablation.results import RowResults
from ..ablation.rows import ROWS, STILL
from ..ablation.run import Experiment, describe, has_result, name_failed, open_tested, read_seeds, require_name, run_all
from ..ablation.tables import source, spread
from ..command import run_command
from ..result_files import FOLDER

PARTS = ("rd", "snl_rd_abstract")
"""Rows of the ablation, relative to the preset's teacher, size and width of the student."""
AS_IT_IS = "preset"
HEADINGS = dict(
    zip(
        METRICS,
        ("image AUROC", "image AP", "image F1-max", "pixel AUROC", "pixel AP", "pixel F1-max", "AUPRO"),
        strict=True,
    )
)
PUBLISHED = {
    "mvtec": {
        "RD4AD (arXiv 2201.10703)": (94.6, 96.5, 95.2, 96.1, 48.6, 53.8, 91.1),
        "UniAD (arXiv 2206.03687)": (96.5, 98.8, 96.2, 96.8, 43.4, 49.5, 90.7),
    },
    "visa": {
        "RD4AD (arXiv 2201.10703)": (92.4, 92.4, 89.6, 98.1, 38.0, 42.6, 91.8),
        "UniAD (arXiv 2206.03687)": (88.8, 90.8, 85.8, 98.3, 33.7, 39.0, 85.5),
    },
}
"""Means over classes of one model for all of them, as MambaAD's paper (arXiv 2404.06564) has them: other people's runs,
with other schedules, of networks with other weights."""
MVTEC = "bottle cable capsule carpet grid hazelnut leather metal_nut pill screw tile toothbrush transistor wood zipper"
VISA = "candle capsules cashew chewinggum fryum macaroni1 macaroni2 pcb1 pcb2 pcb3 pcb4 pipe_fryum"
CLASSES = {"mvtec": frozenset(MVTEC.split()), "visa": frozenset(VISA.split())}
"""Of each benchmark: published figures stand beside a table only if it is of all these, and of no others."""


def published(
    data: Annotated[Path, typer.Argument(help="MVTec AD's or VisA's folder, as downloaded; or a set in their layout.")],
    name: Annotated[str | None, typer.Option(help="Of the results; the folder's name if not given.")] = None,
    preset: Annotated[str, typer.Option(help="What is measured.")] = "accurate",
    teacher: Annotated[str | None, typer.Option(help="Architecture of the teacher; the preset's if not given.")] = None,
    weights: Annotated[str, typer.Option(help="Its ImageNet weights: a safetensors file, timm, or packaged.")] = "timm",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 100,
    batch_size: Annotated[int, typer.Option(min=2)] = 16,
    seeds: Annotated[str, typer.Option(help="As 0,1,2.")] = "0",
    runs: Annotated[Path, typer.Option(help="Folder for the trained models.")] = Path("runs"),
    results: Annotated[Path, typer.Option(help="Folder of the result files.")] = FOLDER,
) -> None:
    """Trains and measures on DATA, and prints the tables as Markdown."""
    revision()  # of the code that starts, whatever is committed meanwhile
    dataset = open_tested(data)
    own = [f"teacher.weights={json.dumps(weights)}"]
    own += [] if teacher is None else [f"teacher.architecture={json.dumps(teacher)}"]
    config = override(named(preset), own)
    study = name or dataset.root.resolve().name
    require_name(study)
    steps = math.ceil(epochs * len(dataset.train) / batch_size)
    base = TrainingConfig(steps=steps, batch_size=batch_size)
    described = describe(dataset)
    experiments = [
        Experiment(study, row, seed, preset, *_configured(row, config, base, seed), described)
        for seed in read_seeds(seeds)
        for row in (*PARTS, AS_IT_IS)
    ]
    failed = run_all(experiments, dataset, runs, results)
    found = {row: _results(row, experiments, results) for row in (*PARTS, AS_IT_IS)}
    if measured := [row for row in found.values() if row.by_seed]:
        print(tables(measured, preset))
    name_failed(failed, len(experiments))


def tables(rows: Sequence[RowResults], preset: str) -> str:
    """Means over classes of each of ``rows`` beside published ones, then a line for each class."""
    products = _classes(rows)
    parts = [f"One model for {len(products)} classes; means over classes, in percent.", means_table(rows, preset)]
    for row in rows:
        lines = [[product, *_cells(row, "products", product)] for product in products]
        parts += [f"**{_title(row, preset)}**", _table("class", lines), source([row])]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def means_table(rows: Sequence[RowResults], preset: str) -> str:
    """Means over classes of each of ``rows``; beside published ones where the classes are those of a benchmark."""
    body = [[_title(row, preset), *_cells(row, "mean")] for row in rows]
    for benchmark, classes in CLASSES.items():
        if classes == set(_classes(rows)):
            body += [[method, *(f"{value:.1f}" for value in means)] for method, means in PUBLISHED[benchmark].items()]
    return _table("method", body)


def _classes(rows: Sequence[RowResults]) -> list[str]:
    return sorted(next(iter(rows[0].by_seed.values())).figures["evaluation"]["products"])


def _configured(row: str, config: SnlConfig, training: TrainingConfig, seed: int) -> tuple[SnlConfig, TrainingConfig]:
    # Published runs take every training image for a good one.
    training = training.model_copy(update={"seed": seed, "trust": True, **STILL})
    return (config, training) if row == AS_IT_IS else ROWS[row].configure(config, training)


def _results(row: str, experiments: Sequence[Experiment], results: Path) -> RowResults:
    """Those of ``row`` that have been measured, by seed."""
    own = [(one, one.result_in(results)) for one in experiments if one.row == row]
    return RowResults(row, {one.seed: read_result(file) for one, file in own if has_result(one, file)})


def _title(row: RowResults, preset: str) -> str:
    return f"snl-edge, preset {preset}" if row.row == AS_IT_IS else row.title


def _cells(row: RowResults, *path: str) -> list[str]:
    return [spread(row.values("evaluation", *path, metric)) for metric in METRICS]


def _table(first: str, body: list[list[str]]) -> str:
    return table([first, *HEADINGS.values()], body)


if __name__ == "__main__":
    run_command(published)
