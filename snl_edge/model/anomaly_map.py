"""From the distance between teacher and student at each level to one smooth anomaly map and its score."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import MapConfig
from .teacher import STRIDES


class AnomalyMap(nn.Module):
    r"""Weighted sum of distances, upsampled and smoothed: raw map and raw score.

    The distances are those of student and teacher at strides 4, 8 and 16 and, with a memory, the distance from
    the memory at stride 8. Each is divided by its mean over good images (:meth:`set_scales`).

    Bilinear upsampling followed by a Gaussian is linear and separable, so for each distance it is
    :math:`U_h D U_w^\top` with constant matrices: two small products instead of a resize and two long
    convolutions (which an edge GPU runs slowly and some backends run differently at the borders).
    The score is the largest value of the map. Everything is FP32.
    """

    scales: Tensor

    def __init__(self, size: tuple[int, int], config: MapConfig, *, memory: bool) -> None:
        super().__init__()
        weights = [*config.level_weights, *([config.memory_weight] if memory else [])]
        self.weights = [weight / sum(weights) for weight in weights]
        self.strides = (*STRIDES, *((STRIDES[1],) if memory else ()))
        self.register_buffer("scales", torch.ones(len(weights)))
        height, width = size
        for stride in STRIDES:
            self.register_buffer(f"rows_{stride}", smooth_upsampling(height // stride, height, config.sigma), False)
            self.register_buffer(f"columns_{stride}", smooth_upsampling(width // stride, width, config.sigma).T, False)

    def forward(self, distances: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Distances ``float32 [B, h_l, w_l]`` to the map ``float32 [B, H, W]`` and the score ``float32 [B]``."""
        # What stands on one grid is added before it is enlarged.
        grids: dict[int, Tensor] = {}
        for index, (weight, stride, distance) in enumerate(zip(self.weights, self.strides, distances, strict=True)):
            weighed = (weight * self.scales[index]) * distance
            grids[stride] = grids[stride] + weighed if stride in grids else weighed
        enlarged = [
            cast(Tensor, getattr(self, f"rows_{stride}")) @ grid @ cast(Tensor, getattr(self, f"columns_{stride}"))
            for stride, grid in grids.items()
        ]
        anomaly_map = enlarged[0] + enlarged[1] + enlarged[2]  # [B, H, W]
        return anomaly_map, anomaly_map.flatten(1).amax(dim=1)

    def set_scales(self, means: Tensor) -> None:
        """Sets what distances are divided by: their means ``[L]`` over good images that nothing was fitted to."""
        self.scales.copy_(1 / means.clamp_min(1e-6))


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
