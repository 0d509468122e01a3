"""Which good images train the student and which set the threshold."""

from __future__ import annotations

import random
from collections.abc import Sequence

from snl_edge.data.samples import Sample
from snl_edge.errors import DataError


def split_holdout(samples: Sequence[Sample], share: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Splits good images into (training, held out), product by product, at least one of each.

    Raises:
        DataError: a product has fewer than two images.
    """
    training: list[Sample] = []
    held_out: list[Sample] = []
    for product in sorted({sample.product for sample in samples}):
        own = sorted((s for s in samples if s.product == product), key=lambda s: s.path)
        if len(own) < 2:
            raise DataError(
                f"product {product} has {len(own)} training image",
                "one is needed to train and another to set the threshold",
                "add good images of it, or leave the product out with --products",
            )
        random.Random(f"{seed} {product}").shuffle(own)
        count = min(max(1, round(share * len(own))), len(own) - 1)
        held_out += own[:count]
        training += own[count:]
    return training, held_out
