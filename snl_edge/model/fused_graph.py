"""The fused module: bytes of an image in, anomaly map and score on their scale, product and its distance out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from snl_edge.model.snl import Snl


class FusedGraph(nn.Module):
    """SNL with its score scale, as one module; everything the device computes is in here.

    Args:
        model: a trained model in evaluation mode.
        gain: factor from raw scores to those on the score scale
            (:attr:`snl_edge.scoring.scale.ScoreScale.gain`), a constant of the graph.
    """

    def __init__(self, model: Snl, gain: float) -> None:
        super().__init__()
        self.model = model
        self.gain = gain

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """``uint8 [B, H, W, 3]`` RGB to what a device is told of it.

        Returns:
            anomaly map ``float32 [B, H, W]`` and score ``float32 [B]``, where 0.5 decides on a product without a
            threshold of its own, and a map with a value that is no finite number has none either; product
            ``int32 [B]`` and product distance ``float32 [B]``, where 1 is the limit of what is known.
        """
        anomaly_map, score, product, distance = self.model(images)
        # A maximum may pass over what is no number, and on a GPU few maps are looked at: the score says it for them.
        total = anomaly_map.flatten(1).sum(dim=1)
        score = torch.where(total.isnan() | total.isinf(), torch.nan, score)
        return anomaly_map * self.gain, score * self.gain, product, distance
