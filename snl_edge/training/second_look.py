"""A second look at the training images that stood out: what the trained model says of them.

Before training an image is judged by a memory alone (:mod:`.screening`). The trained model tells good parts from
defective ones in another way, so what stands out in both is rarely a good part: only that is called suspicious. Each
image is judged without the patches of its part.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from snl_edge.data.findings import Finding
from snl_edge.data.loader import ImageStore
from snl_edge.model.snl import Snl
from snl_edge.progress import progress_bar

from .config import TrainingConfig
from .image_record import ImageEntry
from .preparation import Prepared
from .screening import contamination_findings, standing_out
from .split import Role
from .thresholds import judge

CANDIDATE = 0.7
"""How far an image must stand out before training (:func:`.screening.standing_out`) for a second look."""
CONFIRMED = 0.9
"""And how far in what the trained model says of it, to be called suspicious. Both chosen on five of ten real products
(docs/snl.md)."""
MOST_COMPARED = 400
"""Images of a product that these are compared with."""


def look_again(
    model: Snl, store: ImageStore, prepared: Prepared, training: TrainingConfig
) -> tuple[Prepared, list[Finding]]:
    """What is known of the training images once the model is trained, and what is to be said of suspicious ones.

    What is found suspicious now is excluded, what only stood out before is trained on, as far as the memory goes:
    the student has seen what it has seen. With ``trust`` all keep their roles. The standing of an image is the smaller
    of both looks', 1 at the limit of each.

    Args:
        model: in evaluation mode; it does not yet know which maps are raised.
        store: of all training images.
        prepared: what was known before.
        training: seed, batch size and trust.
    """
    entries, groups = prepared.entries, prepared.groups
    products = np.array([entry.product for entry in entries])
    first = np.array([np.nan if entry.standing is None else entry.standing for entry in entries])
    again = np.flatnonzero((first > CANDIDATE) & ~prepared.decided)
    standing = first / CANDIDATE
    if len(again):
        indices = _compared(again, products, prepared, training.seed)
        with progress_bar("a second look at what stood out") as report:
            judged = judge(
                model,
                store.part(indices.tolist()),
                groups[indices],
                training.batch_size,
                report,
                left_out=model.memory is not None,
            )
        second = dict(
            zip(indices.tolist(), standing_out(judged.scores, products[indices], groups[indices]), strict=True)
        )
        standing[again] = np.fmin(standing[again], np.array([second[i] for i in again.tolist()]) / CONFIRMED)
    suspicious = np.array([entry.suspicious for entry in entries])
    suspicious[again] = standing[again] > 1
    roles = list(prepared.roles)
    left = Counter(zip(products.tolist(), roles, strict=True))
    for i in [] if training.trust else again.tolist():
        role = _role(roles[i], suspicious=bool(suspicious[i]), last=left[products[i], roles[i]] == 1)
        left.subtract({(products[i], roles[i]): 1})
        left.update({(products[i], role): 1})
        roles[i] = role
    known = tuple(
        entry.model_copy(
            update={
                "standing": None if np.isnan(stands) else round(float(stands), 4),
                "suspicious": bool(doubted),
                "role": role,
            }
        )
        for entry, stands, doubted, role in zip(entries, standing, suspicious, roles, strict=True)
    )
    # What a person said is no doubt any more.
    findings = contamination_findings(store.samples, standing, suspicious & ~prepared.decided, trusted=training.trust)
    return replace(prepared, roles=tuple(roles), entries=known), findings


def _needed(entry: ImageEntry, path: Path) -> Finding:
    return Finding(
        "needed",
        f"{entry.product}: {path.name} looks defective and is used all the same, since no other image is left to hold "
        "out: add pictures of good parts",
        (path,),
    )


def _role(role: Role, *, suspicious: bool, last: bool) -> Role:
    if suspicious:  # a set without images could judge nothing
        return role if last else "excluded"
    return "trained" if role == "excluded" else role


def _compared(again: np.ndarray, products: np.ndarray, prepared: Prepared, seed: int) -> np.ndarray:
    """Those looked at again, and with them images in use of the same products, in order."""
    generator = np.random.default_rng((seed, 4))
    used = np.array([role != "excluded" for role in prepared.roles])
    used[again] = False
    chosen = [again]
    for product in np.unique(products[again]):
        others = np.flatnonzero((products == product) & used)
        chosen.append(generator.permutation(others)[:MOST_COMPARED])
    return np.unique(np.concatenate(chosen))
