"""CRAM, the central residual aggregation module: what leaves it can only be made of normal structure."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import CramConfig


class Cram(nn.Module):
    r"""Rebuilds a feature map from K learned centres and the image's aggregated residuals to them.

    For features :math:`x_p` at location p of one image:

    .. math::
        a_{kp} &= \operatorname{softmax}_k(w_k^\top x_p + b_k)            &&\text{soft assignment} \\
        r_k    &= \sum_p a_{kp} (x_p - c_k) / \sum_p a_{kp}               &&\text{aggregated residual} \\
        y_p    &= \sum_k a_{kp} (c_k + \rho\, r_k / \lVert r_k \rVert)    &&\text{output}

    An anomaly is a few locations among many: it hardly moves the aggregates, and no combination of
    centres spells it, so the student behind the module cannot reproduce it. The normalised residual
    (radius :math:`\rho` learned) lets the centres adapt to the image at hand but only so far.

    The paper's abstract (Deng & Li, arXiv 2402.17091) names the module and its purpose only. Our
    reconstruction: the assignment is decoupled from the centres as in NetVLAD (arXiv 1511.07247, eq. 4),
    residuals are averaged rather than summed so that they do not grow with the input size, the output is
    reassembled per location with the same assignment, and there is no skip connection by default. Only
    1×1 convolution, softmax and matrix products are used, so it exports and quantises without tricks.
    """

    def __init__(self, channels: int, config: CramConfig) -> None:
        super().__init__()
        self.config = config
        self.assignment = nn.Conv2d(channels, config.centres, 1)
        self.centres = nn.Parameter(torch.randn(config.centres, channels) * 0.5)
        self.radius = nn.Parameter(torch.tensor(1.0))
        nn.init.normal_(self.assignment.weight, std=channels**-0.5)
        nn.init.zeros_(self.assignment.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, h, w]`` to ``[B, C, h, w]`` of the same type; inside, everything is FP32."""
        batch, channels, height, width = x.shape
        logits = self.assignment(x).float().flatten(2)  # [B, K, P]
        with torch.autocast(x.device.type, enabled=False):
            assignment = logits.softmax(dim=1)  # [B, K, P]
            locations = x.float().flatten(2)  # [B, C, P]
            centres = self.centres.float()  # [K, C]
            prototypes = centres.unsqueeze(0)  # [1, K, C]
            if self.config.residual != "none":
                mass = assignment.sum(dim=2, keepdim=True)  # [B, K, 1]
                # Σ a (x - c) / Σ a = (Σ a x) / Σ a - c, a product instead of a [B, K, C, P] tensor.
                residual = assignment @ locations.transpose(1, 2) / (mass + 1e-4) - centres  # [B, K, C]
                if self.config.residual == "unit":
                    residual = self.radius.float() * residual * _inverse_norm(residual)
                prototypes = prototypes + residual
            y = (prototypes.transpose(1, 2) @ assignment).view(batch, channels, height, width)
        y = y.to(x.dtype)
        return x + y if self.config.skip else y


def _inverse_norm(vectors: Tensor) -> Tensor:
    """1/‖v‖ over the last dimension, ``[..., C]`` to ``[..., 1]``; finite for a zero vector."""
    return (vectors.square().sum(dim=-1, keepdim=True) + 1e-6).rsqrt()
