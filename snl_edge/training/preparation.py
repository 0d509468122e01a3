"""Before anything is learned: which images show one part, which look defective, and what each is used for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snl_edge.data.findings import Finding, counted
from snl_edge.data.folders import name_some
from snl_edge.data.loader import ImageStore
from snl_edge.data.samples import Dataset, Sample
from snl_edge.progress import console, progress_bar

from .config import TrainingConfig
from .feature_cache import FeatureSource
from .image_record import ImageEntry, digests, read_run_images, role_indices
from .repeats import find_parts, repeat_findings
from .review import Verdict
from .screening import few_parts_findings, screen
from .split import Role, assign_roles, merged_sets

SAID = 8
"""Doubts that are printed; the others are counted, and stand on the page."""
GRAVITY = ("called_both", "forgotten", "other_review", "suspicious", "needed", "repeats", "thresholds", "few_parts")
"""Kinds of findings, the gravest first; others follow."""
TOLD_BETTER = ("few_images", "repeated")
"""Kinds of findings of the mere files of which training tells more: by thresholds, and by the parts it sees."""


@dataclass(frozen=True)
class Prepared:
    """The training images, and all that is known of them before training."""

    groups: NDArray[np.intp]
    """Number of the part that each image shows, ``[N]``."""
    roles: tuple[Role, ...]
    entries: tuple[ImageEntry, ...]
    """What the run keeps of each image."""
    read: tuple[Finding, ...]
    """What reading the data set left doubtful: who opened it has said that."""
    findings: tuple[Finding, ...]
    """What else is doubtful, the gravest first."""
    decided: NDArray[np.bool_]
    """Of which images a review, or the data set's own test set, says what they are, ``[N]``."""
    merged: str
    """Of which products one set serves for all, in words; empty if of none."""

    def indices(self, role: Role) -> list[int]:
        """Places of the images of ``role``; see :func:`snl_edge.training.image_record.role_indices`."""
        return role_indices([entry.product for entry in self.entries], self.roles, role)


def prepare_images(
    dataset: Dataset,
    store: ImageStore,
    source: FeatureSource,
    training: TrainingConfig,
    verdicts: Mapping[str, Verdict],
    checked: Sequence[Finding] = (),
    start_from: Path | None = None,
) -> Prepared:
    """Groups, judges and divides the training images of ``dataset``.

    Args:
        dataset: whose training images these are.
        store: of all its training images.
        source: of their features.
        training: share held out, seed, and whether suspicious images are used.
        verdicts: what a person said of images, by SHA-256; it counts more than how they look.
        checked: what checking the files left doubtful.
        start_from: a run whose student is trained on: no image that it learned is held out.

    Raises:
        DataError: a product has too few images, or they all show one part.
        CheckpointError: the run ``start_from`` does not say which images it learned.
    """
    samples = store.samples
    with progress_bar("looking for repeats") as report:
        parts = find_parts(store, training.seed, report)
    names = [sample.product for sample in samples]
    products = np.array([dataset.products.index(name) for name in names])
    hashes = digests(samples)
    # What the same data set calls defective is a defect, wherever else it lies.
    condemned = set(digests([sample for sample in dataset.test if not sample.is_good]))
    said = np.array([verdicts.get(digest, "defect" if digest in condemned else "") for digest in hashes])
    with progress_bar("looking for defective parts") as report:
        model = source.model
        standing = screen(
            source.features,
            model.teacher.channels,
            products,
            parts.groups,
            model.config,
            training.batch_size,
            training.seed,
            report,
            model.anomaly_map.counting,
            good=said == "good",
            defective=said == "defect",
        )
    twofold = _called_both(
        [s for s, digest in zip(samples, hashes, strict=True) if digest in condemned - set(verdicts)]
    )
    suspicious = ((standing > 1) & (said != "good")) | (said == "defect")
    excluded = (suspicious & (not training.trust)) | (said == "defect")
    if verdicts:
        unknown = len(set(verdicts) - set(hashes))
        lost = f"; {unknown} more are not among these images" if unknown else ""
        console.print(f"verdicts of the review on {len(set(verdicts) & set(hashes))} images{lost}")
    before = () if start_from is None else read_run_images(start_from).images
    earlier = None if start_from is None else _earlier_roles(before, hashes, parts.groups)
    forgotten = _forgotten(before, names, hashes)
    roles = assign_roles(samples, parts.groups, excluded, training.holdout, training.seed, earlier)
    entries = tuple(
        ImageEntry(
            file=_below(dataset.root, sample),
            sha256=digest,
            product=sample.product,
            role=role,
            group=int(part),
            standing=None if np.isnan(stands) else round(float(stands), 4),
            suspicious=bool(doubted),
            decided=bool(verdict),
        )
        for sample, digest, role, part, stands, doubted, verdict in zip(
            samples, hashes, roles, parts.groups, standing, suspicious, said, strict=True
        )
    )
    findings = [
        *twofold,
        *forgotten,
        *unused_review(verdicts, hashes),
        *few_parts_findings(samples, standing),
        *repeat_findings(samples, parts),
        *(finding for finding in checked if finding.kind not in TOLD_BETTER),
    ]
    read = tuple(finding for finding in dataset.findings if finding.doubtful)
    return Prepared(
        parts.groups, tuple(roles), entries, read, by_gravity(findings), said != "", merged_sets(samples, roles)
    )


def by_gravity(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The same findings, the gravest first."""
    place = {kind: index for index, kind in enumerate(GRAVITY)}
    return tuple(sorted(findings, key=lambda finding: place.get(finding.kind, len(place))))


def say(findings: Sequence[Finding], before: int = 0) -> None:
    """Prints each finding as a line, up to ``SAID`` with those said ``before``, and counts the others."""
    room = max(0, SAID - before)
    for finding in findings[:room]:
        console.print(f"doubt: {finding.text}", markup=False, highlight=False)
    if len(findings) > room:
        console.print(f"and {counted(len(findings) - room, 'more doubt')}")


def unused_review(verdicts: Mapping[str, Verdict], hashes: Sequence[str]) -> list[Finding]:
    """What is to be said of a review that says nothing of these images."""
    if not verdicts or not verdicts.keys().isdisjoint(hashes):
        return []
    return [
        Finding(
            "other_review",
            f"the review decided nothing: none of the {counted(len(verdicts), 'image')} with a verdict is among the "
            "training images",
        )
    ]


def _called_both(samples: Sequence[Sample]) -> list[Finding]:
    """What is to be said of training images that the same data set also calls defective."""
    if not samples:
        return []
    return [
        Finding(
            "called_both",
            f"{counted(len(samples), 'training image')} also lie among the defective ones, and were left out: "
            f"{name_some([sample.path.name for sample in samples])}",
            tuple(sample.path for sample in samples),
        )
    ]


def _forgotten(before: Sequence[ImageEntry], products: Sequence[str], hashes: Sequence[str]) -> list[Finding]:
    """What a run learned before that is not among the images now: memory and thresholds are made of these alone."""
    here = set(hashes)
    used = [entry for entry in before if entry.role != "excluded"]
    missing = sum(entry.sha256 not in here for entry in used)
    if not missing:
        return []
    # A product that was renamed is known under its new name.
    kept = {entry.product for entry in used if entry.sha256 in here}
    gone = sorted({entry.product for entry in used} - set(products) - kept)
    unlearned = f"; it will not know {', '.join(gone)} any more" if gone else ""
    return [
        Finding(
            "forgotten",
            f"{missing} of the {len(used)} images of the run that is trained on are not here, and what they show is "
            f"forgotten{unlearned}: give the old images beside the new ones",
        )
    ]


def _earlier_roles(before: Sequence[ImageEntry], hashes: Sequence[str], groups: NDArray[np.intp]) -> dict[int, Role]:
    """What parts were used for in an earlier run, by group; a part with one image that was trained on is trained.

    Images are known by content alone: the student learned them under whatever name their product had.
    """
    known: dict[str, Role] = {}
    roles: dict[int, Role] = {}
    for entry in before:
        _use(known, entry.sha256, entry.role)
    for digest, part in zip(hashes, groups.tolist(), strict=True):
        if digest in known:
            _use(roles, part, known[digest])
    return roles


def _use(roles: dict[Any, Role], what: object, role: Role) -> None:
    """Notes ``role``: what was trained on once was trained on, whatever else was done with a copy of it."""
    if role != "excluded" and roles.get(what) != "trained":
        roles[what] = role


def _below(root: Path, sample: Sample) -> str:
    return (sample.path.relative_to(root) if sample.path.is_relative_to(root) else Path(sample.path.name)).as_posix()
