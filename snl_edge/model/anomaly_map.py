"""From the distance between teacher and student at each level to one smooth anomaly map and its score."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import MapConfig
from .teacher import STRIDES


class AnomalyMap(nn.Module):
    r"""Weighted sum of the per-level cosine distances, upsampled and smoothed: raw map and raw score.

    Bilinear upsampling followed by a Gaussian is linear and separable, so for each level it is
    :math:`U_h D U_w^\top` with constant matrices: two small products instead of a resize and two long
    convolutions (which an edge GPU runs slowly and some backends run differently at the borders).
    The score is the largest value of the map. Everything is FP32.
    """

    def __init__(self, size: tuple[int, int], config: MapConfig) -> None:
        super().__init__()
        total = sum(config.level_weights)
        self.weights = [weight / total for weight in config.level_weights]
        height, width = size
        for level, stride in enumerate(STRIDES):
            self.register_buffer(f"rows_{level}", smooth_upsampling(height // stride, height, config.sigma), False)
            self.register_buffer(f"columns_{level}", smooth_upsampling(width // stride, width, config.sigma).T, False)

    def forward(self, teacher: list[Tensor], student: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Features ``[B, C_l, h_l, w_l]`` of both to the map ``float32 [B, H, W]`` and the score ``float32 [B]``."""
        levels = [
            cast(Tensor, getattr(self, f"rows_{level}"))
            @ (weight * cosine_distance(t.float(), s.float()))  # [B, h, w]
            @ cast(Tensor, getattr(self, f"columns_{level}"))
            for level, (weight, t, s) in enumerate(zip(self.weights, teacher, student, strict=True))
        ]
        anomaly_map = levels[0] + levels[1] + levels[2]  # [B, H, W]
        return anomaly_map, anomaly_map.flatten(1).amax(dim=1)


def cosine_distance(teacher: Tensor, student: Tensor) -> Tensor:
    """``1 - cos`` over the channels, ``[B, C, h, w]`` to ``[B, h, w]``; 0 = alike, 2 = opposite."""
    dot = (teacher * student).sum(dim=1)
    norms = teacher.square().sum(dim=1) * student.square().sum(dim=1)
    return 1 - dot * (norms + 1e-12).rsqrt()


def smooth_upsampling(cells: int, pixels: int, sigma: float) -> Tensor:
    """The matrix ``float32 [pixels, cells]`` that upsamples bilinearly and then smooths with a Gaussian.

    Found by sending the unit vectors through both steps (half-pixel centres, 4 sigma truncation, reflected
    borders), in double precision. Rows sum to 1.
    """
    units = torch.eye(cells, dtype=torch.float64).unsqueeze(1)  # [cells, 1, cells]
    fine = F.interpolate(units, size=pixels, mode="linear", align_corners=False)
    radius = min(int(4 * sigma + 0.5), pixels - 1)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    smooth = F.conv1d(F.pad(fine, (radius, radius), mode="reflect"), (kernel / kernel.sum()).view(1, 1, -1))
    return smooth.squeeze(1).T.contiguous().float()
