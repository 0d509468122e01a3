"""What each training image is used for: sets that share no part, so that nothing is judged by what it was fitted to."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from snl_edge.data.samples import Sample
from snl_edge.errors import DataError

Role = Literal["trained", "held_out", "thresholds", "gate", "excluded"]
"""``trained``: student, memory and recognition learn from it. ``held_out``: weights of distances, the reference against
drift, and what moves thresholds from one precision to another. ``thresholds``: says where scores of new parts lie.
``gate``: what graphs are judged on where no labelled set is given. ``excluded``: nothing."""
ENOUGH_PARTS = 60
"""Parts of a product from which on every set has images of its own; below, ``held_out`` serves for all three."""


def assign_roles(
    samples: Sequence[Sample],
    groups: NDArray[np.intp],
    excluded: NDArray[np.bool_],
    share: float,
    seed: int,
    earlier: Mapping[int, Role] | None = None,
) -> list[Role]:
    """The role of each image, product by product; all images of one part have one role, but those excluded.

    A product with ``ENOUGH_PARTS`` gives half of ``share`` of its parts to each of the three sets, a smaller one
    ``share`` of them to ``held_out``; every set has one at least.

    Args:
        samples: the training images.
        groups: number of the part that each shows.
        excluded: which are not used.
        share: of each product's parts that are kept out of training where sets are merged.
        seed: of the draw, which does not depend on the order of ``samples``.
        earlier: roles that parts have already, by group; the draw fills up what they leave open.

    Raises:
        DataError: a product has fewer than two parts, or all of them have been trained on before.
    """
    roles: list[Role] = ["excluded"] * len(samples)
    known = earlier or {}
    for product in sorted({sample.product for sample in samples}):
        own = [i for i, sample in enumerate(samples) if sample.product == product and not excluded[i]]
        first = {int(groups[i]): samples[i].path for i in sorted(own, key=lambda i: samples[i].path, reverse=True)}
        _require_two(product, len(first), len(own))
        parts = sorted(first, key=lambda part: first[part])
        random.Random(f"{seed} {product}").shuffle(parts)
        wanted: dict[Role, int]
        if len(parts) >= ENOUGH_PARTS:
            each = max(1, round(share / 2 * len(parts)))
            wanted = {"held_out": each, "thresholds": each, "gate": each}
        else:
            wanted = {"held_out": min(max(1, round(share * len(parts))), len(parts) - 1)}
        taken: dict[int, Role] = {part: known[part] for part in parts if part in known}
        open_parts = [part for part in parts if part not in taken]
        for role, count in wanted.items():
            missing = max(0, count - sum(other == role for other in taken.values()))
            taken |= dict.fromkeys(open_parts[:missing], role)
            del open_parts[:missing]
        if not {"held_out"} & set(taken.values()):
            raise DataError(
                f"all images of {product} have been trained on before",
                "none is left to set thresholds by",
                "add pictures of other parts, or train without --start-from",
            )
        for i in own:
            roles[i] = taken.get(int(groups[i]), "trained")
        if "trained" not in {roles[i] for i in own}:
            raise DataError(f"no image of {product} is left to train on", fix="add pictures of other parts")
    return roles


def merged_sets(samples: Sequence[Sample], roles: Sequence[Role]) -> str:
    """One line that says of which products the held-out images serve for thresholds and gate, too; empty if of none."""
    every = {sample.product for sample in samples}
    own = {sample.product for sample, role in zip(samples, roles, strict=True) if role == "gate"}
    if not every - own:
        return ""
    which = "each product" if not own else ", ".join(sorted(every - own))
    return f"fewer than {ENOUGH_PARTS} parts of {which}: the held-out images serve for thresholds and gate as well"


def _require_two(product: str, parts: int, images: int) -> None:
    if parts >= 2:
        return
    if images > 1:
        raise DataError(
            f"the {images} training images of product {product} all show one part",
            "thresholds must be set by parts that were not learned",
            "add pictures of other good parts, or leave the product out with --products",
        )
    raise DataError(
        f"product {product} has {images} training image{'' if images == 1 else 's'}",
        "one is needed to train and another to set the threshold",
        "add good images of it, or leave the product out with --products",
    )
