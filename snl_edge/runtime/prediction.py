"""What the fused graph says of a batch of images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Scores(NamedTuple):
    """What decides on a batch of images: the graph's outputs but for the map."""

    score: NDArray[np.float32]
    """As in `Prediction`."""
    product: NDArray[np.int32]
    """As in `Prediction`."""
    product_distance: NDArray[np.float32]
    """As in `Prediction`."""


class Prediction(NamedTuple):
    """The graph's outputs, by the graph's names and in its order."""

    anomaly_map: NDArray[np.float32]
    """``float32 [B, H, W]``, on the scale of the score."""
    score: NDArray[np.float32]
    """``float32 [B]``, calibrated; the threshold of the product decides, 0.5 where it has none of its own."""
    product: NDArray[np.int32]
    """``int32 [B]``, the nearest product: index into the manifest's ``products``."""
    product_distance: NDArray[np.float32]
    """``float32 [B]``, distance from that product; above 1 is unknown by default."""

    @classmethod
    def empty(cls, batch: int, size: tuple[int, int]) -> Prediction:
        """Arrays for ``batch`` images of ``size = (height, width)``, not filled."""
        return cls(
            np.empty((batch, *size), np.float32),
            np.empty(batch, np.float32),
            np.empty(batch, np.int32),
            np.empty(batch, np.float32),
        )

    @property
    def scores(self) -> Scores:
        """All but the maps."""
        return Scores(self.score, self.product, self.product_distance)

    def part(self, start: int, stop: int) -> Prediction:
        """Views of the images from ``start`` to before ``stop``."""
        return Prediction(
            self.anomaly_map[start:stop],
            self.score[start:stop],
            self.product[start:stop],
            self.product_distance[start:stop],
        )
