"""Which learned product an image shows, and how far it is from all of them, told from the teacher's features."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Recognition(nn.Module):
    r"""Nearest product prototype by Mahalanobis distance over pooled teacher features.

    With :math:`f` the mean of every teacher channel over the image, all levels side by side:

    .. math::
        z = (f - \mu) A \qquad
        d_k = \frac{1}{\ell_k} \sqrt{\lVert z - c_k \rVert^2 / C} \qquad
        \text{product} = p = \arg\min_k \ell_k d_k \qquad \text{distance} = d_p

    :math:`A` whitens what varies within a product, :math:`c_k` is the product's prototype and :math:`\ell_k` its
    limit, so that a distance of 1 is the default limit of what is known, for every product alike.
    :mod:`snl_edge.training.recognition` fits the constants. They are buffers: they travel with the weights and no
    optimiser touches them. Always computed in FP32, and only by means, products and minima.

    Args:
        channels: channels of the teacher's levels, C in all.
        products: number of products, K.
    """

    centre: Tensor
    transform: Tensor
    prototypes: Tensor
    limits: Tensor
    mean: Tensor

    def __init__(self, channels: list[int], products: int) -> None:
        super().__init__()
        width = sum(channels)
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("transform", torch.eye(width))
        self.register_buffer("prototypes", torch.zeros(products, width))
        self.register_buffer("limits", torch.ones(products))
        # A product, not a reduction: OpenVINO (seen in 2026.4) fuses a reduction with the root and division behind
        # it and then gives zeros for all but the first images of a batch.
        self.register_buffer("mean", torch.full((width, 1), 1 / width), persistent=False)

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Teacher features ``[B, C_l, h_l, w_l]`` to product ``int32 [B]`` and distance ``float32 [B]``."""
        z = (pool(features) - self.centre) @ self.transform  # [B, C]
        squares = ((z.unsqueeze(1) - self.prototypes).square() @ self.mean).squeeze(2)  # [B, K]
        # Nearest in itself, not in limits: a part that is far from all would go to whichever product has the widest.
        product = squares.argmin(dim=1, keepdim=True)  # [B, 1]
        distances = (squares.sqrt() / self.limits).gather(1, product)
        return product.squeeze(1).to(torch.int32), distances.squeeze(1)

    def reject_limits(self) -> Tensor:
        r"""Up to which distance a picture is nearer to its product's limit than to the next product, ``[K]``.

        Half of the way on a logarithmic scale: :math:`\sqrt{\min_j d_k(c_j)}`, at least 1; infinite for a single
        product, which no other one can be taken for.
        """
        apart = (self.prototypes.unsqueeze(1) - self.prototypes).square().mean(dim=2).sqrt()  # [K, K]
        apart.fill_diagonal_(torch.inf)
        return (apart.amin(dim=1) / self.limits).sqrt().clamp_min(1.0)


def pool(features: list[Tensor]) -> Tensor:
    """Teacher features ``[B, C_l, h_l, w_l]`` to the mean of every channel, ``float32 [B, C]``."""
    return torch.cat([feature.float().mean(dim=(2, 3)) for feature in features], dim=1)
