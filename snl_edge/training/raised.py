"""How high the whole map of a good part usually is: beyond that it counts as raised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from snl_edge.evaluation.threshold import choose_product_thresholds, pool_scores

SHARE_RAISED = 0.1
"""Of good parts whose map is lowered all the same. Fewer would leave the camera's changes in; more would lower the maps
of defective parts too. Chosen with the exponent on five of ten real products (docs/snl.md)."""


def usual_means(
    new: Mapping[str, Sequence[float]], left_out: Mapping[str, Sequence[float]], products: Sequence[str]
) -> Tensor:
    """For each of ``products`` the mean of the map that a new good part exceeds with a probability of a tenth.

    As thresholds are set (:mod:`snl_edge.evaluation.threshold`), so that few images do with what all products show.

    Args:
        new: means of the maps of parts that nothing was fitted to, by product.
        left_out: of parts trained on, each judged without its own patches; products may be missing.
        products: in the model's order.

    Returns:
        ``float32 [K]``.

    Raises:
        DataError: as :func:`snl_edge.evaluation.threshold.choose_product_thresholds`.
    """
    good = pool_scores(new, left_out)
    limits = choose_product_thresholds(good.scores, SHARE_RAISED, good.level_variance)
    return torch.tensor([limits[product].value for product in products])
