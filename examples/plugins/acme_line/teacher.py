"""A teacher of one's own: here fixed random filters, yours would be a network pretrained on pictures like yours.

    snl-edge train parts/ --set teacher.architecture=plugin:acme --weights plugin

Only training needs the package: the graph in the bundle holds the network.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from snl_edge.plugins import Backbone, TeacherPlugin

CHANNELS = (24, 40, 112)


class Filters(nn.Module):
    """Normalised ``[B, 3, H, W]`` to three maps at strides 4, 8 and 16."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, CHANNELS[0], 3, 2, 1)
        stages: list[nn.Module] = []
        before = CHANNELS[0]
        for channels in CHANNELS:
            stages.append(nn.Sequential(nn.Conv2d(before, channels, 3, 2, 1), nn.ReLU()))
            before = channels
        self.stages = nn.ModuleList(stages)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Three maps."""
        feature, maps = torch.relu(self.stem(pixels)), []
        for stage in self.stages:
            feature = stage(feature)
            maps.append(feature)
        return maps


def build(weights: Path | None, pretrained: bool) -> Backbone:
    """The network; with a file of weights, these, and none where a checkpoint will fill them in."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Filters()
    if pretrained and weights is not None:
        network.load_state_dict(torch.load(weights, weights_only=True))
    return Backbone(network, CHANNELS, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


plugin = TeacherPlugin(build)
