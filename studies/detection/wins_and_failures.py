"""Draws where SNL wins over plain distillation and where it fails, from two runs on the synthetic line.

``python -m studies.detection.wins_and_failures demo/line --plain demo/plain --snl demo/run``
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from snl_edge.atomic import replacing
from snl_edge.benchmarks.results import Result
from snl_edge.data.layouts import open_dataset
from snl_edge.data.masks import fit_mask
from snl_edge.data.samples import Sample
from snl_edge.data.thumbnails import draw_truth
from snl_edge.evaluation.run import Subject, open_subject
from snl_edge.image import fit_to_input
from snl_edge.progress import progress_bar
from snl_edge.runtime.overlay import draw_overlay

from ..command import run_command
from ..result_files import ROOT, require_result, save_result

KIND = "wins"
IMAGES = ROOT / "docs" / "images"
SHOWN = 6


@dataclass(frozen=True)
class Opinion:
    """What one model says of a part."""

    score: float
    """In units of the product's threshold: above 1 it rejects."""
    anomaly_map: NDArray[np.float32]
    threshold: float


@dataclass(frozen=True)
class Part:
    """One test image and both opinions of it."""

    sample: Sample
    image: NDArray[np.uint8]
    plain: Opinion
    snl: Opinion

    @property
    def kind(self) -> tuple[str, str]:
        """Product and defect."""
        return self.sample.product, self.sample.defect


def main(
    line: Annotated[Path, typer.Argument(help="The synthetic line, with its test images.")],
    plain: Annotated[Path, typer.Option(help="Run of plain distillation on it.")],
    snl: Annotated[Path, typer.Option(help="Run of SNL on it.")],
) -> None:
    """Two sheets: defects that SNL finds and plain distillation passes, and parts that SNL judges wrongly."""
    from snl_edge.training.checkpoint import read_checkpoint  # torch: the figures' table is made without it

    subjects = open_subject(plain), open_subject(snl)
    samples = open_dataset(line).test
    parts: list[Part] = []
    with progress_bar("judging") as report:
        for sample in samples:
            parts.append(judge(sample, *subjects))
            report(len(parts), len(samples))
    defective = [part for part in parts if not part.sample.is_good]
    good = [part for part in parts if part.sample.is_good]
    wins = [part for part in defective if part.plain.score <= 1 < part.snl.score]
    escapes = [part for part in defective if part.snl.score <= 1]
    rejects = [part for part in good if part.snl.score > 1]
    draw(various(wins, lambda part: part.plain.score - part.snl.score), "wins")
    worst = [*various(escapes, lambda part: part.snl.score), *various(rejects, lambda part: -part.snl.score)]
    draw(worst[:SHOWN], "failures")
    figures = {
        "defective": len(defective),
        "good": len(good),
        **{
            name: {
                "escapes": sum(opinion(part).score <= 1 for part in defective),
                "false_rejects": sum(opinion(part).score > 1 for part in good),
            }
            for name, opinion in (("plain", lambda part: part.plain), ("snl", lambda part: part.snl))
        },
    }
    settings = {name: read_checkpoint(run).model.model_dump() for name, run in (("plain", plain), ("snl", snl))}
    save_result(KIND, line.resolve().name, settings=settings, figures=figures)
    typer.echo(in_words(figures))


def in_words(figures: Mapping[str, Any]) -> str:
    """The counts as one sentence."""
    plain, snl = figures["plain"], figures["snl"]
    return (
        f"Of {figures['defective']} defective parts plain distillation passes {plain['escapes']}, "
        f"SNL {snl['escapes']}; of {figures['good']} good ones it rejects {plain['false_rejects']}, "
        f"SNL {snl['false_rejects']}."
    )


def wins_caption(results: Mapping[str, Result], name: str) -> str:
    """What the two sheets are taken from, in one sentence."""
    return in_words(require_result(results, KIND, name).figures) + "\n"


def judge(sample: Sample, plain: Subject, snl: Subject) -> Part:
    """Both opinions of the image ``sample``."""
    image = fit_to_input(sample.read(), snl.size)
    opinions: list[Opinion] = []
    for subject in (plain, snl):
        found, threshold = subject.predict(image[None]), subject.threshold(sample.product)
        opinions.append(Opinion(float(found.score[0]) / threshold, found.anomaly_map[0].copy(), threshold))
    return Part(sample, image, *opinions)


def various(parts: Sequence[Part], order: Callable[[Part], float]) -> list[Part]:
    """Up to ``SHOWN`` of ``parts``, smallest first, each kind of defect once before any comes twice."""
    ranks: dict[tuple[str, str], int] = {}
    turns: list[tuple[int, Part]] = []
    for part in sorted(parts, key=order):
        ranks[part.kind] = ranks.get(part.kind, -1) + 1
        turns.append((ranks[part.kind], part))
    return [part for _, part in sorted(turns, key=lambda turn: turn[0])][:SHOWN]


def draw(parts: Sequence[Part], name: str) -> None:
    """A column for each part: as it is, its true defect, and the heatmaps of both models."""
    import matplotlib.pyplot as plt

    rows = ("part", "true defect", "plain distillation", "SNL")
    figure, axes = plt.subplots(
        len(rows), max(1, len(parts)), figsize=(1.75 * max(1, len(parts)) + 0.3, 7.3), squeeze=False
    )
    for column, part in enumerate(parts):
        size = part.image.shape[:2]
        none = np.zeros(size, bool)
        mask = none if part.sample.mask is None else fit_mask(part.sample.mask.read(), size)
        views = [
            draw_truth(part.image, none),
            draw_truth(part.image, mask),
            *(draw_overlay(part.image, own.anomaly_map, own.threshold) for own in (part.plain, part.snl)),
        ]
        words = ["\n".join(part.kind).replace("_", " "), "", *(verdict(own) for own in (part.plain, part.snl))]
        for axis, view, text in zip(axes[:, column], views, words, strict=True):
            axis.imshow(view)
            axis.set_title(text, fontsize=8, pad=3)
    for axis, text in zip(axes[:, 0], rows, strict=True):
        axis.set_ylabel(text, fontsize=9)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.tight_layout(pad=0.4)
    target = IMAGES / f"{name}.jpg"
    with replacing(target) as temporary:
        figure.savefig(temporary, format="jpg", dpi=110, pil_kwargs={"quality": 88})
    plt.close(figure)


def verdict(opinion: Opinion) -> str:
    """In words: the score in units of the threshold."""
    return f"{opinion.score:.2f} of threshold: {'reject' if opinion.score > 1 else 'passes'}"


if __name__ == "__main__":
    run_command(main)
