"""How high the whole map of a good part usually is, and its score: beyond that it counts as raised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from snl_edge.scoring.threshold import choose_product_thresholds, pool_scores

Values = Mapping[str, Sequence[float]]
"""By product."""
SHARE_RAISED = 0.1
"""Of good parts whose map is lowered all the same. Fewer would leave the camera's changes in; more would lower the maps
of defective parts too. Chosen with the exponent on five of ten real products (docs/snl.md)."""


def usual_values(
    means: tuple[Values, Values, Values],
    scores: tuple[Values, Values, Values],
    products: Sequence[str],
    budget: float,
) -> Tensor:
    """What new good parts of ``products`` rarely exceed, ``float32 [2, K]``: means of maps, then raw scores.

    As thresholds are set (:mod:`snl_edge.scoring.threshold`), so that few images do with what all products show.

    Args:
        means: of the maps of parts that nothing was fitted to, of parts trained on, each judged without its own
            patches, and of parts left out because they stood out; of the latter two products may be missing.
        scores: of the same.
        products: in the model's order.
        budget: share of good parts that exceed the score; of means, a tenth does.

    Raises:
        DataError: as :func:`snl_edge.scoring.threshold.choose_product_thresholds`.
    """
    rows: list[list[float]] = []
    for (new, left_out, stood_out), share in ((means, SHARE_RAISED), (scores, budget)):
        good = pool_scores(new, left_out)
        limits = choose_product_thresholds(good.scores, share, good.level_variance, stood_out)
        rows.append([limits[product].value for product in products])
    return torch.tensor(rows)
