"""``images-….json``: what each training image of a run was used for, by content, so that it is found again anywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from snl_edge.atomic import write_text
from snl_edge.data.folders import name_some
from snl_edge.data.samples import Dataset, Sample
from snl_edge.errors import CheckpointError, DataError
from snl_edge.outside.files import reason
from snl_edge.outside.json_text import MOST_ANNOTATED_VALUES, MOST_ANNOTATIONS, faults, read_model
from snl_edge.progress import console
from snl_edge.runtime.manifest import sha256_of

from .checkpoint import read_checkpoint
from .config import image_list
from .split import Role


class ImageEntry(BaseModel):
    """One training image."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    """Where it lay below the data set's folder; for people."""
    sha256: str
    """Of the file."""
    product: str
    role: Role
    group: int
    """Number of the part that it shows; other images of that part have the same."""
    standing: float | None = None
    """How far it stands out of its product, suspicious above 1; None where there were too few parts to tell."""
    suspicious: bool = False
    decided: bool = False
    """Whether a person said if it is good."""


class RunImages(BaseModel):
    """What the file holds that ``checkpoint.json`` names under ``images``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    weights_sha256: str
    """Of the model that was trained with them."""
    images: tuple[ImageEntry, ...]

    def write(self, run: Path) -> str:
        """Writes it into the run folder ``run``, under a name made from its hash, which it returns.

        The list of an earlier ``checkpoint.json`` stays beside it until a new one names this.

        Raises:
            OutputError: it cannot be written.
        """
        text = self.model_dump_json(indent=1) + "\n"
        name = f"images-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
        write_text(run / name, text)
        return name


@dataclass(frozen=True)
class FoundImages:
    """Images of a run, found again by content."""

    samples: tuple[Sample, ...]
    entries: tuple[ImageEntry, ...]
    """Of the same images."""
    dataset: Dataset
    """Where they were found, with the products that they have in the run."""

    def of(self, role: Role) -> list[Sample]:
        """The images of ``role``; of products that have no gate or threshold images of their own, the held-out ones."""
        return [self.samples[i] for i in self.indices(role)]

    def indices(self, role: Role) -> list[int]:
        """Places of the images of ``role`` among all; as `of`."""
        return role_indices([e.product for e in self.entries], [e.role for e in self.entries], role)


def role_indices(products: Sequence[str], roles: Sequence[Role], role: Role) -> list[int]:
    """Places of the images of ``role``; of products without ``thresholds`` or ``gate`` images, those held out."""
    shared = role in ("thresholds", "gate")
    own = {product for product, r in zip(products, roles, strict=True) if r == role}
    return [
        i
        for i, (product, r) in enumerate(zip(products, roles, strict=True))
        if r == role or (shared and r == "held_out" and product not in own)
    ]


def digests(samples: Sequence[Sample]) -> list[str]:
    """The SHA-256 of each image file."""
    with ThreadPoolExecutor() as threads:
        return list(threads.map(lambda sample: sha256_of(sample.path), samples))


def read_run_images(run: Path) -> RunImages:
    """Reads what the finished run in the folder ``run`` used its images for.

    Raises:
        CheckpointError: the run has none, as it is from an earlier version, or it is damaged or of another model.
    """
    path = image_list(run)
    if not path.is_file():
        raise CheckpointError(
            f"{run} does not say which images it was trained on",
            f"{path.name} is missing: the run is from an earlier version, or incomplete",
            "train again",
        )
    try:
        images = read_model(RunImages, path, most=MOST_ANNOTATIONS, most_values=MOST_ANNOTATED_VALUES)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}", reason(error), "check path and permissions") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged", faults(error), "train again") from error
    if images.weights_sha256 != read_checkpoint(run).weights_sha256:
        raise CheckpointError(
            f"{path} is of another model",
            "it was copied from another run, or an earlier version was stopped",
            "train again",
        )
    return images


def as_learned(run: Path, dataset: Dataset) -> Dataset:
    """``dataset`` with its training images that ``run`` knows under the products that they have there.

    Raises:
        CheckpointError: as `read_run_images`.
    """
    return _renamed(run, dataset, _pairs(read_run_images(run).images, dataset.train))


def _renamed(run: Path, dataset: Dataset, pairs: Sequence[tuple[int, ImageEntry]]) -> Dataset:
    """As `as_learned`, and says which products it calls otherwise than their folders are called."""
    train, names = list(dataset.train), set[str]()
    for place, entry in pairs:
        if train[place].product != entry.product:
            names.add(f"{train[place].product} as {entry.product}")
            train[place] = replace(train[place], product=entry.product)
    if names:
        said = name_some(sorted(names))
        console.print(f"products are called as in {run}: {said}", markup=False, highlight=False)
    return replace(dataset, train=tuple(train))


def _pairs(images: Sequence[ImageEntry], samples: Sequence[Sample]) -> list[tuple[int, ImageEntry]]:
    """Which of ``samples`` is which of ``images``, by content, in the order of the samples; each stands for one."""
    found = digests(samples)
    left: dict[str, list[ImageEntry]] = {}
    for entry in images:
        left.setdefault(entry.sha256, []).append(entry)
    pairs: dict[int, ImageEntry] = {}
    # A copy that lies in its own product comes before one that lies elsewhere.
    for same in (True, False):
        for place, (sample, digest) in enumerate(zip(samples, found, strict=True)):
            own = [entry for entry in left.get(digest, ()) if not same or entry.product == sample.product]
            if place not in pairs and own:
                pairs[place] = own[-1]
                left[digest].remove(own[-1])
    return sorted(pairs.items())


def find_images(run: Path, dataset: Dataset) -> FoundImages:
    """The images of ``run`` among the good ones of ``dataset``, whatever they are called now; says what differs.

    They have the products of the run, which may have found these by itself (``train --cluster``): see `as_learned`.

    Raises:
        CheckpointError: as `read_run_images`.
        DataError: none of them is there, or none of those that a product keeps out of training.
    """
    record = read_run_images(run)
    pairs = _pairs(record.images, dataset.train)
    called = _renamed(run, dataset, pairs)
    samples = [called.train[place] for place, _ in pairs]
    entries = [entry for _, entry in pairs]
    if not samples:
        raise DataError(
            f"{dataset.root} holds none of the images that {run} was trained on",
            "files are compared by content, and every image saved again is another",
            "give the folder that it was trained on, or train again on these images",
        )
    missing = len(record.images) - len(samples)
    new = len(dataset.train) - len(samples)
    if missing > 0 or new > 0:
        words = [f"lacks {missing} of the {len(record.images)} training images"] if missing > 0 else []
        words += [f"has {new} good images that {run} does not know: they are not used"] if new > 0 else []
        console.print(f"{dataset.root} {' and '.join(words)}")
    found = FoundImages(tuple(samples), tuple(entries), called)
    lost = sorted({e.product for e in record.images} - {e.product for e in entries if e.role == "held_out"})
    if lost:
        raise DataError(
            f"{dataset.root} lacks all held-out images of {', '.join(lost)}",
            "thresholds and gate need images that were not trained on",
            "give the folder that the run was trained on, or train again",
        )
    return found
