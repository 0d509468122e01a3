"""Looks at every file of a data set once, before hours of work depend on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from snl_edge.errors import DataError
from snl_edge.opencv import silence
from snl_edge.outside.decoding_memory import decoding_memory

from .doubts import depth_faults, doubts
from .figures import Figures, measure
from .findings import Finding
from .folders import NAMED
from .ignored import ignored_files
from .mask_check import MaskFigures, mask_doubts, mask_fault, measure_mask, set_faults
from .masks import read_mask
from .samples import Sample

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Survey:
    """What was found in a data set.

    Attributes:
        unusable: files that cannot be used.
        refused: sets of images or masks that would be misread.
        doubts: what a person should look at; made of the images that can be read.
    """

    images: int
    unusable: list[Finding] = field(default_factory=list)
    refused: list[Finding] = field(default_factory=list)
    doubts: list[Finding] = field(default_factory=list)

    @property
    def faults(self) -> list[Finding]:
        """All for which the data set is refused."""
        return [*self.unusable, *self.refused]

    def require_usable(self) -> None:
        """Refuses a data set with faults.

        Raises:
            DataError: counts the unusable files and describes the first few; the others appear when these are gone.
        """
        if self.unusable:
            texts, count = [finding.text for finding in self.unusable], len(self.unusable)
            more = f"; and {count - NAMED} more" if count > NAMED else ""
            raise DataError(
                f"{count} faulty {'file' if count == 1 else 'files'} among {self.images} images",
                "; ".join(texts[:NAMED]) + more,
                "replace or remove them",
            )
        if self.refused:
            raise DataError("; ".join(finding.text for finding in self.refused))


def check_samples(samples: Sequence[Sample], *, progress: Progress | None = None) -> None:
    """Decodes every image and every mask, in threads, and reports all that cannot be used at once.

    Args:
        samples: what to check.
        progress: called with (done, total) after each sample.

    Raises:
        DataError: an image or mask cannot be decoded, a mask is not of its image's size, or marks nothing; most masks
            of a product mark the background; 16-bit images seem to have fewer bits, and nobody said how many.
    """
    survey(samples, (), progress=progress).require_usable()


def inspect_samples(train: Sequence[Sample], test: Sequence[Sample], progress: Progress | None = None) -> list[Finding]:
    """Checks all samples as `check_samples` does, and returns what is doubtful about them.

    Args:
        train: good images to learn from.
        test: labelled ones to measure on; may be empty.
        progress: called with (done, total) after each sample.

    Raises:
        DataError: as `check_samples`.
    """
    found = survey(train, test, progress=progress)
    found.require_usable()
    return found.doubts


def survey(
    train: Sequence[Sample],
    test: Sequence[Sample],
    loose_masks: Sequence[Path] = (),
    *,
    progress: Progress | None = None,
) -> Survey:
    """Looks at every image and mask, each decoded once; raises nothing for what it finds.

    Of ``loose_masks``, which mark no sample, only damage is told.

    Memory holds some figures of each image (about 3 kB), and the images that are being looked at: as many at once as
    :mod:`snl_edge.outside.decoding_memory` has room for.
    """
    silence()
    samples = [*train, *test]
    images: list[Figures | None] = []
    masks: list[MaskFigures] = []
    unusable: list[Finding] = []
    with ThreadPoolExecutor() as threads:
        for done, look in enumerate(threads.map(_look, samples), start=1):
            images.append(look.image)
            unusable += look.faults
            masks += [look.mask] if look.mask is not None else []
            if progress is not None:
                progress(done, len(samples) + len(loose_masks))
        for done, fault in enumerate(threads.map(_damage, loose_masks), start=len(samples) + 1):
            unusable += [fault] if fault is not None else []
            if progress is not None:
                progress(done, len(samples) + len(loose_masks))
    too_dark = depth_faults([figures for figures in images if figures is not None])
    unclear = {path for finding in too_dark for path in finding.images}  # what they look like is not known yet
    seen = [None if figures is None or figures.sample.path in unclear else figures for figures in images]
    learned = [figures for figures in seen[: len(train)] if figures is not None]
    tested = [figures for figures in seen[len(train) :] if figures is not None]
    refused = [*too_dark, *set_faults(masks)]
    found = [*ignored_files(sample.path for sample in samples), *doubts(learned, tested), *mask_doubts(masks)]
    return Survey(len(samples), unusable, refused, found)


@dataclass(frozen=True)
class _Look:
    """At one sample: its figures where it and its mask can be used, else what is wrong."""

    image: Figures | None
    mask: MaskFigures | None
    faults: list[Finding]


def _look(sample: Sample) -> _Look:
    faults: list[Finding] = []
    image = mask = None
    try:
        with decoding_memory.held():
            image = measure(sample)
    except DataError as error:
        faults.append(Finding("unreadable", _in_brackets(error), (sample.path,)))
    try:
        with decoding_memory.held():
            mask = measure_mask(sample)
    except DataError as error:
        assert sample.mask is not None
        faults.append(Finding("masks", _in_brackets(error), (sample.mask.path,)))
    if mask is not None and (fault := mask_fault(mask, image and image.size)):
        faults.append(Finding("masks", fault, (sample.path,)))
        mask = None
    return _Look(image, mask, faults)


def _damage(mask: Path) -> Finding | None:
    try:
        with decoding_memory.held():
            read_mask(mask)
    except DataError as error:
        return Finding("masks", _in_brackets(error), (mask,))
    return None


def _in_brackets(error: DataError) -> str:
    return error.what + (f" ({error.why})" if error.why else "")
