"""Which test images the model knows already, by content: from the list that a run keeps of the images it used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from snl_edge.contract.run_folder import CHECKPOINT
from snl_edge.data.samples import Sample
from snl_edge.outside.files import real_path
from snl_edge.outside.json_text import MOST_ANNOTATED_VALUES, MOST_ANNOTATIONS, faults, read_model
from snl_edge.runtime.manifest import sha256_of
from snl_edge.training.config import image_list

UNUSED = "excluded"
"""The role of images that training left out."""


class _Image(BaseModel):
    sha256: str
    role: str


class _Images(BaseModel):
    """What is of interest here in a run's list; training writes more into it."""

    weights_sha256: str
    images: tuple[_Image, ...]


@dataclass(frozen=True)
class Seen:
    """Test images that the model knows; None where nothing tells."""

    images: int
    """Test images in all."""
    trained: int | None
    kept_out: int | None
    """Not trained on, but used to set thresholds, or to choose what else training chooses."""
    why_not: str = ""
    """Why nothing tells."""

    def line(self) -> str:
        """For people."""
        if self.trained is None or self.kept_out is None:
            return (
                f"whether the model was trained on any of these {self.images} test images is not known: {self.why_not}"
            )
        if not self.trained and not self.kept_out:
            return f"none of the {self.images} test images was used in training (files compared by content)"
        return (
            f"{self.trained} of {self.images} test images were trained on, {self.kept_out} set thresholds: expect "
            "worse on new parts, and test on images that training never had"
        )

    def figures(self) -> dict[str, int | None]:
        """As plain data for JSON."""
        return {"images": self.images, "trained": self.trained, "kept_out": self.kept_out}


def seen_images(model: Path, weights_sha256: str | None, samples: Sequence[Sample]) -> Seen:
    """Compares ``samples`` with the images of the run ``model``, or of the run in whose folder the bundle lies.

    A file that was saved again is another file here.

    Args:
        model: run folder or bundle.
        weights_sha256: of the model; a list of another model's images is none of its own.
        samples: the test images.
    """
    run = model if (model / CHECKPOINT).is_file() else real_path(model).parent
    path = image_list(run)
    if not path.is_file():
        reason = f"there is no list of training images ({path.name}) with this model"
        return Seen(len(samples), None, None, reason)
    try:
        listed = read_model(_Images, path, most=MOST_ANNOTATIONS, most_values=MOST_ANNOTATED_VALUES)
    except (OSError, ValueError) as error:
        return Seen(len(samples), None, None, f"its {path.name} cannot be read: {faults(error)}")
    if listed.weights_sha256 != weights_sha256:
        return Seen(len(samples), None, None, f"{path.name} is of another model")
    roles = {image.sha256: image.role for image in listed.images if image.role != UNUSED}
    # An image that was trained on under one name and held out under another was trained on.
    roles |= {image.sha256: image.role for image in listed.images if image.role == "trained"}
    found = Counter(roles.get(sha256_of(sample.path)) for sample in samples)
    known = sum(count for role, count in found.items() if role is not None)
    return Seen(len(samples), found["trained"], known - found["trained"])
