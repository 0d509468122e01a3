"""The golden samples: parts whose verdict is known, judged by the engine that judges the line, or is to judge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError, DataError, SnlEdgeError
from ..image import read_image
from ..image_files import Listing, list_folder
from ..runtime.bundle import Bundle
from ..runtime.verdict import Verdict
from .control import Check
from .recipe import Recipe
from .settings import Settings

NAME = "self-test"
NOTHING_CHECKED = Check(NAME, "warning", "no golden samples: nothing was checked")
_NAMED, _ALL_NAMED = 3, 20
_KINDS = ("good", "reject")


class GoldenSettings(Settings):
    """Pictures of the inspected region, below ``good`` and ``reject`` in one folder."""

    folder: Path
    """Holds the folders ``good`` and ``reject``; a picture that the journal kept can be copied there. Samples of one
    recipe alone lie in a folder of its name, as ``gear-a/good``: a recipe that has one is judged by these."""
    product: str | None = None
    """What they show; recognised in each picture if not given."""
    compare_product: bool = True
    """As that of the camera whose pictures they are."""
    at_start: bool = True
    """Judge them before the first part. Before another recipe or threshold takes force they always are."""
    pause_on_failure: bool = False
    """Pause when one is judged wrongly, at the start or on demand, so that nothing is passed on trust."""


@dataclass(frozen=True)
class _Sample:
    name: str
    """As ``good/a.png``."""
    expected: str
    verdicts: Sequence[Verdict]

    def wrong(self, index: int) -> bool:
        return self.verdicts[index].kind != self.expected

    def told(self, index: int) -> str:
        return f"{self.name} is {self.verdicts[index].kind} ({self.verdicts[index].score:.3f})"


def self_test(recipe: Recipe, settings: GoldenSettings) -> Check:
    """Judges all samples with the recipe's engine, between two batches of the line; never raises."""
    folder = sample_folder(settings, recipe.name)
    try:
        samples, heatmaps = _judged(recipe, settings, folder, [recipe.bundle])
    except (SnlEdgeError, OSError) as error:
        return Check(NAME, "failed", str(error))
    wrong = [sample.told(0) for sample in samples if sample.wrong(0)]
    own = "" if folder == settings.folder else f" of {folder}"
    if wrong:
        return Check(NAME, "failed", f"{len(wrong)} of {len(samples)} samples{own}: {_some(wrong, _NAMED)}")
    return Check(NAME, "ok", f"{len(samples)} samples{own} judged rightly{leaving_out(heatmaps)}")


def require_no_flip(recipe: Recipe, settings: GoldenSettings, changed: Bundle) -> Check:
    """Judges all samples by the thresholds of ``changed``, by those in force and by those of training, each from one
    run of the engine.

    Those of training count, too: a sample that the thresholds in force already judge wrongly would else be no measure
    of those that lead farther away.

    Raises:
        ConfigError: one that is judged rightly by the thresholds in force or by those of training would not be, or
            there are none, or they cannot be judged.
    """
    folder = sample_folder(settings, recipe.name)
    try:
        samples, _ = _judged(recipe, settings, folder, [changed, recipe.bundle, recipe.bundle.with_tuning_reset()])
    except (SnlEdgeError, OSError) as error:
        raise ConfigError("the golden samples cannot be judged", str(error), "repair them") from error
    wrong = [sample for sample in samples if sample.wrong(0)]
    if lost := [sample for sample in wrong if not (sample.wrong(1) and sample.wrong(2))]:
        already = sum(sample.wrong(1) for sample in lost)
        told = _some([sample.told(0) for sample in lost], _ALL_NAMED)
        raise ConfigError(
            f"{len(lost)} of {len(samples)} golden samples would be judged wrongly: {told}",
            "nothing was changed"
            + (f"; {already} of them already are, and were not by the thresholds of training" if already else ""),
            f"take another threshold, or take out of {folder} what does not belong there",
        )
    if wrong:
        told = _some([sample.told(0) for sample in wrong], _NAMED)
        return Check(NAME, "failed", f"{len(wrong)} of {len(samples)} samples, as before: {told}")
    return Check(NAME, "ok", f"{len(samples)} samples judged rightly")


def sample_folder(settings: GoldenSettings, recipe: str) -> Path:
    """Where the samples of a recipe lie: a folder of its name, or that of the samples for all recipes."""
    own = settings.folder / recipe
    plain = recipe not in _KINDS and Path(recipe).name == recipe
    return own if plain and own.is_dir() else settings.folder


def golden_samples(folder: Path, expected: str) -> Listing:
    """The pictures below ``good`` or ``reject``, and what is left out there.

    Raises:
        OSError: the folder is there and cannot be read.
    """
    return list_folder(folder / expected) if (folder / expected).is_dir() else Listing((), (), (), ())


def leaving_out(heatmaps: int) -> str:
    """What is to be said of heatmaps that were copied there with their pictures."""
    return f"; heatmaps beside them left out: {heatmaps}" if heatmaps else ""


def _judged(
    recipe: Recipe, settings: GoldenSettings, folder: Path, bundles: Sequence[Bundle]
) -> tuple[list[_Sample], int]:
    """All samples with their verdicts by the thresholds of each of ``bundles``; how many heatmaps were left out."""
    found: list[_Sample] = []
    heatmaps = 0
    for expected in _KINDS:
        listing = golden_samples(folder, expected)
        heatmaps += len(listing.heatmaps)
        for path in listing.images:
            image = read_image(path, recipe.takes.bits)
            verdicts = recipe.judge(image, settings.product, bundles, compare=settings.compare_product)
            found.append(_Sample(f"{expected}/{path.name}", expected, verdicts))
    if not found:
        raise DataError(f"{folder} holds no pictures below good and reject{leaving_out(heatmaps)}")
    return found, heatmaps


def _some(told: Sequence[str], most: int) -> str:
    return ", ".join(told[:most]) + (f" and {len(told) - most} more" if len(told) > most else "")
