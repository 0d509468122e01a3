"""Runs an ablation: trains and measures rows of :mod:`.rows` with several seeds, one result file per run.

``python -m studies.ablation.run DATA --name real10 --rows rd,snl_rd --seeds 0,1,2``

The same command goes on where an earlier one stopped. All rows of a seed come before the next seed, so that a study
that is cut short still compares rows fairly.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from snl_edge.benchmarks.results import read_result
from snl_edge.data.layouts import open_dataset
from snl_edge.data.samples import Dataset, Sample
from snl_edge.errors import ConfigError, DataError, SnlEdgeError
from snl_edge.evaluation.interference import Interference, measure_interference
from snl_edge.evaluation.results import Evaluation
from snl_edge.evaluation.run import evaluate_model, open_subject
from snl_edge.model.config import SnlConfig, override
from snl_edge.model.presets import preset as named
from snl_edge.progress import console, progress_bar
from snl_edge.provenance import revision
from snl_edge.training.checkpoint import Checkpoint, load_model
from snl_edge.training.config import TrainingConfig
from snl_edge.training.image_record import digests
from snl_edge.training.loop import TrainingInterruptedError

from ..command import run_command
from ..result_files import FOLDER, save_result
from ..trained_runs import comparable, is_finished, shown_otherwise, trained
from .rows import ROWS, choose_rows

KIND = "experiment"
PROBE_SEED = 0
"""The same interference probes for every row and seed, so that their figures compare."""


@dataclass(frozen=True)
class Experiment:
    """One run of a study: a row and a seed, and all that follows from them."""

    study: str
    row: str
    seed: int
    preset: str
    model: SnlConfig
    training: TrainingConfig
    data: dict[str, Any]
    shares: Experiment | None = None
    """The one whose trained model it shows by another anomaly map."""

    @property
    def label(self) -> str:
        """Its name within the study; also that of its run folder and, with ``.json``, of its result file."""
        return f"{self.row}-seed{self.seed}"

    def result_in(self, results: Path) -> Path:
        """Its result file in the folder of all ``results``."""
        return results / self.study / f"{self.label}.json"

    @property
    def settings(self) -> dict[str, Any]:
        """What its result file says of it; a result with other settings is not its result."""
        model = self.model.model_dump(mode="json")
        # A file of weights goes by its name: where it lies on this machine is nobody's business.
        model["teacher"]["weights"] = Path(model["teacher"]["weights"]).name
        return {
            "study": self.study,
            "row": self.row,
            "seed": self.seed,
            "preset": self.preset,
            "model": model,
            "training": comparable(self.training),
            "data": self.data,
        }


def study(
    data: Annotated[Path, typer.Argument(help="Data set with a test set, in MVTec AD or VisA layout.")],
    name: Annotated[str, typer.Option(help="Name of the study; its results lie in a folder of that name.")],
    rows: Annotated[str, typer.Option(help="Rows, or groups of them: ladder, changes, all.")] = "ladder",
    seeds: Annotated[str, typer.Option(help="Seeds, as 0,1,2.")] = "0",
    preset: Annotated[str, typer.Option(help="What the rows are relative to.")] = "edge",
    settings: Annotated[list[str] | None, typer.Option("--set", help="Model settings under all rows' own.")] = None,
    steps: Annotated[int, typer.Option(min=1)] = 1200,
    batch_size: Annotated[int, typer.Option(min=2)] = 16,
    runs: Annotated[Path, typer.Option(help="Folder for the trained models.")] = Path("runs"),
    results: Annotated[Path, typer.Option(help="Folder of the result files.")] = FOLDER,
    again: Annotated[
        bool, typer.Option("--again", help="Measure again what has a result; trains nothing again.")
    ] = False,
) -> None:
    """Trains and measures every row with every seed, and names at the end what failed."""
    revision()  # of the code that starts, whatever is committed meanwhile
    require_name(name)
    chosen, numbers = choose_rows(_words(rows)), read_seeds(seeds)
    dataset = open_tested(data)
    base, training = override(named(preset), settings or []), TrainingConfig(steps=steps, batch_size=batch_size)
    described = describe(dataset)

    def experiment(row: str, seed: int) -> Experiment:
        settings = ROWS[row].configure(base, _seeded(training, seed))
        other = ROWS[row].shares
        return Experiment(name, row, seed, preset, *settings, described, experiment(other, seed) if other else None)

    experiments = [experiment(row, seed) for seed in numbers for row in chosen]
    name_failed(run_all(experiments, dataset, runs, results, again=again), len(experiments))


def open_tested(data: Path) -> Dataset:
    """The data set in the folder ``data``.

    Raises:
        DataError: there is none, or it has no test images.
    """
    dataset = open_dataset(data)
    if not dataset.test:
        raise DataError(f"{data} has no test images", fix="give a set in MVTec AD or VisA layout")
    return dataset


def require_name(study: str) -> None:
    """Refuses a name that is no name of a folder.

    Raises:
        ConfigError: it has other characters than letters, digits, ``-`` and ``_``.
    """
    if not re.fullmatch(r"\w[\w-]*", study):
        raise ConfigError(f"{study!r} cannot name a study", fix="use letters, digits, '-' and '_': --name NAME")


def run_all(
    experiments: Sequence[Experiment], dataset: Dataset, runs: Path, results: Path, *, again: bool = False
) -> dict[str, str]:
    """Runs what has no result yet, one after the other; returns the reasons of those that failed, by label.

    Raises:
        TrainingInterruptedError: Ctrl-C; the same experiments go on from there.
    """
    failed: dict[str, str] = {}
    spent: list[float] = []
    for index, experiment in enumerate(experiments):
        left = f", about {sum(spent) / len(spent) * (len(experiments) - index) / 60:.0f} min left" if spent else ""
        console.rule(f"{index + 1}/{len(experiments)} {experiment.label}{left}")
        target = experiment.result_in(results)
        started = time.monotonic()
        try:
            if not again and has_result(experiment, target):
                console.print("has its result already")
                continue
            figures = run_experiment(experiment, dataset, runs / experiment.study / experiment.label)
            save_result(
                KIND,
                f"{experiment.study}/{experiment.label}",
                settings=experiment.settings,
                figures=figures,
                folder=target.parent,
                file=target.name,
            )
            console.print(_in_short(figures))
        except TrainingInterruptedError as error:
            raise TrainingInterruptedError(error.what, fix="go on with the same command") from error
        except SnlEdgeError as error:
            failed[experiment.label] = error.what
            console.print(f"failed: {error}")
        except Exception as error:  # whatever broke this run must not cost the others
            failed[experiment.label] = f"{type(error).__name__}: {error}".split("\n")[0]
            traceback.print_exc()
        spent.append(time.monotonic() - started)
    return failed


def name_failed(failed: Mapping[str, str], count: int) -> None:
    """Ends a study of ``count`` runs of which some failed; arguments as :func:`run_all` returns them.

    Raises:
        SnlEdgeError: some did.
    """
    if failed:
        raise SnlEdgeError(
            f"{len(failed)} of {count} runs failed",
            "; ".join(f"{label} ({reason})" for label, reason in failed.items()),
            "repeat the command once the cause is gone: it goes on with these",
        )


def has_result(experiment: Experiment, path: Path) -> bool:
    """Whether the file ``path`` is the result of ``experiment``; of other settings, it is not.

    Raises:
        DataError: the file is no result.
    """
    # Through JSON and back: there a tuple is a list.
    return path.is_file() and read_result(path).settings == json.loads(json.dumps(experiment.settings))


def run_experiment(experiment: Experiment, dataset: Dataset, run: Path) -> dict[str, Any]:
    """Trains in the folder ``run``, unless that is done, and measures; the figures of the result file."""
    if other := experiment.shares:
        base = run.with_name(other.label)
        if not is_finished(other.model, other.training, dataset, base):
            trained(other.model, other.training, dataset, base)
        checkpoint = shown_otherwise(base, experiment.model, dataset, run)
    else:
        checkpoint = trained(experiment.model, experiment.training, dataset, run)
    evaluation, _ = evaluate_model(run, dataset)
    subject = open_subject(run)
    with progress_bar("interference") as report:
        interference = measure_interference(
            subject.predict,
            dataset.test,
            subject.size,
            seed=PROBE_SEED,
            objection=subject.objection,
            progress=report,
        )
    return figures_of(evaluation, interference, checkpoint, run)


def figures_of(evaluation: Evaluation, interference: Interference, checkpoint: Checkpoint, run: Path) -> dict[str, Any]:
    """The figures of one run as plain data."""
    training = checkpoint.training
    images = training.steps * min(training.batch_size, checkpoint.training_images)
    return {
        "evaluation": evaluation.figures(),
        "interference": interference.figures(),
        "training_seconds": checkpoint.seconds,
        "images_per_second": round(images / max(checkpoint.seconds, 0.1), 2),
        "student_parameters": sum(p.numel() for p in load_model(run)[0].student.parameters()),
        "training_revision": checkpoint.revision,
    }


def describe(dataset: Dataset) -> dict[str, Any]:
    """A data set's name and counts, and a digest of its images, labels and masks: results of others are not its own."""
    content = sorted(
        f"{part} {sample.product} {sample.defect} {digest} {_mask_digest(sample)}"
        for part, samples in (("train", dataset.train), ("test", dataset.test))
        for sample, digest in zip(samples, digests(samples), strict=True)
    )
    good = sum(sample.is_good for sample in dataset.test)
    return {
        "name": dataset.root.resolve().name,
        "products": len(dataset.products),
        "train": len(dataset.train),
        "test_good": good,
        "test_defective": len(dataset.test) - good,
        "content": hashlib.sha256("\n".join(content).encode()).hexdigest()[:16],
    }


def _mask_digest(sample: Sample) -> str:
    return "" if sample.mask is None else hashlib.sha256(sample.mask.read().tobytes()).hexdigest()


def _in_short(figures: dict[str, Any]) -> str:
    mean = figures["evaluation"]["mean"] | figures["interference"]["mean"]
    shown = ("image_auroc", "pixel_auroc", "aupro", "mixed_image_auroc", "pasted_image_auroc")
    return ", ".join(f"{metric} {100 * mean[metric]:.1f}" for metric in shown if mean[metric] is not None)


def _seeded(training: TrainingConfig, seed: int) -> TrainingConfig:
    return training.model_copy(update={"seed": seed})


def read_seeds(text: str) -> tuple[int, ...]:
    """Numbers such as ``0,1,2``, each once.

    Raises:
        ConfigError: they are none.
    """
    words = _words(text)
    if not words or not all(word.isdecimal() for word in words):
        raise ConfigError(f"--seeds {text} is not understood", fix="write numbers, as in --seeds 0,1,2")
    return tuple(dict.fromkeys(map(int, words)))


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


if __name__ == "__main__":
    run_command(study)
