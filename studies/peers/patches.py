"""Which patches of the training images PatchCore's greedy coreset may choose from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CANDIDATES = 100_000
"""The greedy choice costs candidates times centres: from over a million patches it would take a CPU days."""


def choose_patches(total: int, seed: int, most: int = CANDIDATES) -> NDArray[np.bool_]:
    """Marks ``most`` of ``total`` patches at random, all if there are no more."""
    chosen = np.zeros(total, bool)
    chosen[np.random.default_rng(seed).choice(total, min(most, total), replace=False)] = True
    return chosen
