"""The self-test: samples whose verdict is known, judged by the engine that judges the line."""

from __future__ import annotations

from pathlib import Path

from ..errors import SnlEdgeError
from ..image import read_image
from ..image_files import Listing, list_folder
from .control import Check
from .recipe import Recipe
from .settings import Settings

NAME = "self-test"
_NAMED = 3


class GoldenSettings(Settings):
    """Pictures of the inspected region, below ``good`` and ``reject`` in one folder."""

    folder: Path
    """Holds the folders ``good`` and ``reject``; a picture that the journal kept can be copied there."""
    product: str | None = None
    """What they show; recognised in each picture if not given."""
    compare_product: bool = True
    """As that of the camera whose pictures they are."""
    at_start: bool = True
    """Judge them before the first part."""
    pause_on_failure: bool = False
    """Start paused when one is judged wrongly, so that nothing is passed on trust."""


def self_test(recipe: Recipe, settings: GoldenSettings) -> Check:
    """Judges all samples with the recipe's engine, between two batches of the line; never raises."""
    wrong: list[str] = []
    count = heatmaps = 0
    try:
        for expected in ("good", "reject"):
            samples = golden_samples(settings, expected)
            heatmaps += len(samples.heatmaps)
            for path in samples.images:
                count += 1
                image = read_image(path, recipe.takes.bits)
                verdict = recipe.judge(image, settings.product, compare=settings.compare_product)
                if verdict.kind != expected:
                    wrong.append(f"{expected}/{path.name} is {verdict.kind} ({verdict.score:.3f})")
    except (SnlEdgeError, OSError) as error:
        return Check(NAME, "failed", str(error))
    if not count:
        return Check(
            NAME, "failed", f"{settings.folder} holds no pictures below good and reject{leaving_out(heatmaps)}"
        )
    if wrong:
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        return Check(NAME, "failed", f"{len(wrong)} of {count} samples: {', '.join(wrong[:_NAMED])}{more}")
    return Check(NAME, "ok", f"{count} samples judged rightly{leaving_out(heatmaps)}")


def golden_samples(settings: GoldenSettings, expected: str) -> Listing:
    """The pictures below ``good`` or ``reject``, and what is left out there.

    Raises:
        OSError: the folder is there and cannot be read.
    """
    folder = settings.folder / expected
    return list_folder(folder) if folder.is_dir() else Listing((), (), (), ())


def leaving_out(heatmaps: int) -> str:
    """What is to be said of heatmaps that were copied there with their pictures."""
    return f"; heatmaps beside them left out: {heatmaps}" if heatmaps else ""
