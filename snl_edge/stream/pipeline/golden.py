"""The golden samples: parts whose verdict is known, judged by the engine that judges the line, or is to judge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigError, DataError, SnlEdgeError
from ...image import read_image
from ...image_files import Listing, list_folder
from ...outside.files import real_path
from ...runtime.bundle import Bundle
from ...runtime.frame import as_images
from ...runtime.manifest import FILE
from ...runtime.tuning import standing_doubts
from ...runtime.verdict import Judge, Verdict
from ..control.interface import Check
from ..settings import Settings
from .recipe import Recipe

NAME = "self-test"
NOTHING_CHECKED = Check(NAME, "warning", "no golden samples: nothing was checked")
_NAMED, _ALL_NAMED = 3, 20
_KINDS = ("good", "reject")


class GoldenSettings(Settings):
    """Pictures of the inspected region, below ``good`` and ``reject`` in one folder."""

    folder: Path
    """Holds the folders ``good`` and ``reject``; a picture that the journal kept can be copied there. Samples of one
    recipe alone lie in a folder named as its bundle's folder, as ``gear-a/good``: a recipe that has one is judged by
    these."""
    product: str | None = None
    """What they show; recognised in each picture if not given."""
    compare_product: bool = True
    """As that of the camera whose pictures they are."""
    at_start: bool = True
    """Judge them before the first part. Before another recipe or threshold takes force they always are."""
    pause_on_failure: bool = False
    """Pause when one is judged wrongly, at the start or on demand, so that nothing is passed on trust."""


class KnownBundles(NamedTuple):
    """Whose samples there may be."""

    folder: Path | None
    """That of the bundles that people can change to."""
    in_use: Sequence[Path]
    """Those that the line runs or was given."""

    def names(self) -> set[str]:
        """Names of the bundles' folders.

        Raises:
            OSError: the folder cannot be read.
        """
        listed = {path.parent.name for path in self.folder.glob(f"*/{FILE}")} if self.folder else set[str]()
        return listed | {_name(path) for path in self.in_use}


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


class _Judged(NamedTuple):
    samples: list[_Sample]
    folder: Path
    own: str
    """Which folder it is, in words, where it is that of one recipe."""
    left_out: str
    """What was not judged, in words."""

    def check(self, before: str = "") -> Check:
        """What the thresholds of the first bundle make of them."""
        wrong = [sample.told(0) for sample in self.samples if sample.wrong(0)]
        if wrong:
            found = f"{len(wrong)} of {len(self.samples)} samples{self.own}{before}: {_some(wrong, _NAMED)}"
            return Check(NAME, "failed", found + self.left_out)
        return Check(NAME, "ok", f"{len(self.samples)} samples{self.own} judged rightly{self.left_out}")


def self_test(recipe: Recipe, settings: GoldenSettings, known: KnownBundles) -> Check:
    """Judges all samples with the recipe's engine, between two batches of the line; never raises."""
    try:
        return _judged(recipe, settings, known, [recipe.bundle]).check()
    except (SnlEdgeError, OSError) as error:
        return Check(NAME, "failed", str(error))


def require_no_flip(recipe: Recipe, settings: GoldenSettings, known: KnownBundles, changed: Bundle) -> Check:
    """Judges all samples by the thresholds of ``changed``, by those in force and by those of training, each from one
    run of the engine.

    Those of training count, too: a sample that the thresholds in force already judge wrongly would else be no measure
    of those that lead farther away.

    Raises:
        ConfigError: one that is judged rightly by the thresholds in force or by those of training would not be, or
            there are none, or they cannot be judged.
    """
    try:
        judged = _judged(recipe, settings, known, [changed, recipe.bundle, recipe.bundle.with_tuning_reset()])
    except (SnlEdgeError, OSError) as error:
        raise ConfigError("the golden samples cannot be judged", str(error), "repair them") from error
    lost = [sample for sample in judged.samples if sample.wrong(0) and not (sample.wrong(1) and sample.wrong(2))]
    if lost:
        already = sum(sample.wrong(1) for sample in lost)
        told = _some([sample.told(0) for sample in lost], _ALL_NAMED)
        raise ConfigError(
            f"{len(lost)} of {len(judged.samples)} golden samples would be judged wrongly: {told}",
            "nothing was changed"
            + (f"; {already} of them already are, and were not by the thresholds of training" if already else ""),
            f"take another threshold, or take out of {judged.folder} what does not belong there",
        )
    return judged.check(", as before")


def judged_by(
    recipe: Recipe, image: NDArray[np.uint8], bundles: Sequence[Bundle], product: str | None, *, compare: bool = True
) -> list[Verdict]:
    """The verdicts on one picture ``uint8 [h, w, 3]`` RGB, by the thresholds of each of ``bundles``, which are the
    recipe's with these or those thresholds; waits for the running batch.

    ``product`` and ``compare`` as :func:`snl_edge.runtime.verdict.decide`.

    Raises:
        DataError: the graph takes frames of another size alone.
        EngineError: see `Detector.predict`.
    """
    prediction = recipe.detectors[0].predict(as_images(image, recipe.takes)[None])
    size, precision = image.shape[:2], recipe.precision
    manifests = [bundle.manifest for bundle in bundles]
    judges = [Judge(one, precision, product, compare=compare, odd=standing_doubts(one)) for one in manifests]
    return [judge.verdict(prediction, 0, size) for judge in judges]


def sample_folder(settings: GoldenSettings, bundle: Path) -> Path:
    """Where the samples of a recipe lie: a folder named as its bundle's, or that of the samples for all recipes.

    The folder's name is what people choose a recipe by; that in the manifest stays with every copy of a bundle.
    """
    own = settings.folder / _name(bundle)
    return own if own.name not in _KINDS and own.is_dir() else settings.folder


def of_no_bundle(settings: GoldenSettings, known: KnownBundles) -> str:
    """What is to be said of folders beside ``good`` and ``reject`` that no recipe is judged by.

    Raises:
        OSError: the folder of the samples or of the bundles cannot be read.
    """
    there = {path.name for path in settings.folder.iterdir() if path.is_dir() and not path.name.startswith(".")}
    strays = sorted(there - known.names() - set(_KINDS))
    return f"; folders there of no bundle, never judged: {_some(strays, _NAMED)}" if strays else ""


def golden_samples(folder: Path, expected: str) -> Listing:
    """The pictures below ``good`` or ``reject``, and what is left out there.

    Raises:
        OSError: the folder is there and cannot be read.
    """
    return list_folder(folder / expected) if (folder / expected).is_dir() else Listing((), (), (), ())


def leaving_out(heatmaps: int) -> str:
    """What is to be said of heatmaps that were copied there with their pictures."""
    return f"; heatmaps beside them left out: {heatmaps}" if heatmaps else ""


def _name(bundle: Path) -> str:
    return real_path(bundle).name if bundle.name in ("", "..") else bundle.name


def _judged(recipe: Recipe, settings: GoldenSettings, known: KnownBundles, bundles: Sequence[Bundle]) -> _Judged:
    """All samples with their verdicts by the thresholds of each of ``bundles``."""
    folder = sample_folder(settings, recipe.path)
    found: list[_Sample] = []
    heatmaps = 0
    for expected in _KINDS:
        listing = golden_samples(folder, expected)
        heatmaps += len(listing.heatmaps)
        for path in listing.images:
            image = read_image(path, recipe.takes.bits)
            verdicts = judged_by(recipe, image, bundles, settings.product, compare=settings.compare_product)
            found.append(_Sample(f"{expected}/{path.name}", expected, verdicts))
    if not found:
        raise DataError(f"{folder} holds no pictures below good and reject{leaving_out(heatmaps)}")
    strays = of_no_bundle(settings, known._replace(in_use=[*known.in_use, recipe.path]))
    own = "" if folder == settings.folder else f" of {folder}"
    return _Judged(found, folder, own, leaving_out(heatmaps) + strays)


def _some(told: Sequence[str], most: int) -> str:
    return ", ".join(told[:most]) + (f" and {len(told) - most} more" if len(told) > most else "")
