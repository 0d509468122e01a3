"""The memory of normal patches: how far each place of an image is from everything normal that was kept."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snl_edge.errors import ConfigError

from .config import MemoryConfig


class Memory(nn.Module):
    r"""Distance of every patch to the nearest of K centres, patches of good training images.

    With :math:`x_p` the teacher's features at strides 8 and 16 around place p (means of 3×3 cells, side by
    side, on the grid of stride 8):

    .. math:: d_p = \min_k \lVert x_p - c_{qk} \rVert

    Each product has K centres of its own, and those of the recognised product q are searched: that costs the same
    however many products there are, and what is normal for one product does not excuse another.

    A student learns what good parts have in common and is weak where they vary without a pattern, as the thread
    of a screw that may lie any way round; a memory is strong there. It is PatchCore's idea (Roth et al.,
    arXiv 2106.08265) with few centres and inside the fused graph, and no part of SNL's abstract: our addition,
    a row of the ablation. One matrix product of ``P × C × K``; its FP32 result takes ``P · K`` floats of
    working memory per image (8 MiB at 256×256 and 2,048 centres).

    A wide teacher makes that product the largest of the graph. ``config.dimensions`` then says in how many principal
    directions of the centres patches are compared. Means and enlargement are linear, so each level is projected on its
    own grid, before them, and they are done with fewer channels, too.

    :mod:`snl_edge.training.memory` chooses the centres. They are buffers and travel with the weights, as does the
    number of the training image that each is a patch of (-1: of none).

    Args:
        channels: channels of the teacher's levels.
        config: what to build.
        products: number of products, N; 1 is taken for a shared memory.
    """

    centres: Tensor
    owners: Tensor
    origin: Tensor
    middle: Tensor
    coarse: Tensor

    def __init__(self, channels: list[int], config: MemoryConfig, products: int) -> None:
        super().__init__()
        self.channels = channels[1] + channels[2]
        width = config.dimensions or self.channels
        if width > self.channels:
            raise ConfigError(
                f"memory.dimensions is {width}, but patches have {self.channels} channels",
                "the memory takes principal directions of the teacher's channels at strides 8 and 16",
                "give fewer, or null to compare all channels",
            )
        self.projected = config.dimensions is not None
        if self.projected:
            self.register_buffer("middle", torch.zeros(width, channels[1]))
            self.register_buffer("coarse", torch.zeros(width, channels[2]))
        parts = 1 if config.shared else products
        # Channels before centres: the product's right operand as it is stored.
        self.register_buffer("centres", torch.zeros(parts, width, config.centres))
        self.register_buffer("owners", torch.full((parts, config.centres), -1, dtype=torch.int32))
        self.register_buffer("origin", torch.zeros(width))

    def forward(self, features: list[Tensor], product: Tensor, left_out: Tensor | None = None) -> Tensor:
        """Distances ``float32 [B, H/8, W/8]`` from what is kept of each image's ``product``, ``int32 [B]``.

        ``features`` are the teacher's, ``[B, C_l, h_l, w_l]`` at strides 4, 8, 16. ``left_out``, ``int32 [B]``, numbers
        training images whose own patches do not count: each is then as far away as an image never seen.
        """
        x = self._compared(features) - self.origin.view(1, -1, 1, 1)  # [B, C, h, w]
        batch, channels, height, width = x.shape
        x = x.view(batch, channels, height * width).transpose(1, 2)  # [B, P, C]
        halves = self.centres.square().sum(dim=1, keepdim=True) / 2  # [N, 1, K]
        # One row serves all images where there is but one.
        own = [one if len(one) == 1 else one.index_select(0, product) for one in (self.centres, halves)]
        # |x - c|² = |x|² - 2 (x·c - |c|²/2): a matrix product instead of a [B, P, K, C] tensor.
        nearness = x @ own[0] - own[1]  # [B, P, K]
        if left_out is not None:
            owners = self.owners if len(self.owners) == 1 else self.owners.index_select(0, product)
            nearness = nearness.masked_fill((owners == left_out[:, None]).unsqueeze(1), -torch.inf)
        closest = nearness.amax(dim=2)  # [B, P]
        squares = (x.square().sum(dim=2) - 2 * closest).clamp_min(0)
        return (squares + 1e-6).sqrt().view(batch, height, width)

    def remember(self, chosen: Tensor, owners: Tensor) -> None:
        """Keeps the patches ``[N, K, C]`` as centres, about their mean, where products of numbers lose least.

        ``owners``, ``int32 [N, K]``, numbers the training image that each is of.

        Rounded to FP16, as the directions are, so that a graph may store them in half the bytes and still compute
        the same.
        """
        if self.projected:
            directions = principal_directions(chosen.flatten(0, 1), len(self.origin)).half().to(chosen)  # [C, D]
            chosen = chosen @ directions
            self.middle.copy_(directions[: self.middle.shape[1]].T)
            self.coarse.copy_(directions[self.middle.shape[1] :].T)
        self.origin.copy_(chosen.mean(dim=(0, 1)))
        self.centres.copy_((chosen - self.origin).transpose(1, 2).half())
        self.owners.copy_(owners)

    def _compared(self, features: list[Tensor]) -> Tensor:
        """What of each patch is compared with centres: ``float32 [B, C, H/8, W/8]``, or ``D`` of its directions."""
        if not self.projected:
            return patches(features)
        # Products of matrices, not 1x1 convolutions: typed forms of the graph leave them in FP32.
        middle, coarse = (
            (own @ level.float().flatten(2)).unflatten(2, level.shape[2:])
            for own, level in zip((self.middle, self.coarse), features[1:], strict=True)
        )
        middle, enlarged = neighbourhoods(middle, coarse)
        return middle + enlarged


def patches(features: list[Tensor]) -> Tensor:
    """Teacher features of strides 4, 8, 16 to patch features ``float32 [B, C_8 + C_16, H/8, W/8]``."""
    return torch.cat(neighbourhoods(features[1].float(), features[2].float()), dim=1)


def neighbourhoods(middle: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
    """Means of 3×3 cells of features at strides 8 and 16, both on the grid of stride 8."""
    middle, coarse = (F.avg_pool2d(level, 3, stride=1, padding=1) for level in (middle, coarse))
    return middle, F.interpolate(coarse, size=middle.shape[2:], mode="bilinear", align_corners=False)


def principal_directions(points: Tensor, count: int) -> Tensor:
    """The ``count`` orthonormal directions ``[C, count]`` in which ``points`` ``[N, C]`` vary most."""
    centred = (points - points.mean(dim=0)).double()
    return torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)[:, :count].to(points)
