r"""The structural distillation terms of SNL, each comparing teacher features T with student features S.

The paper's abstract names spatial-channel distillation and intra- and inter-affinity distillation without
formulas; each function below states our reconstruction. All take ``float32 [B, C, h, w]`` and return a
scalar that is 0 for a perfect student.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .config import LossConfig


def spatial_loss(teacher: Tensor, student: Tensor) -> Tensor:
    r"""What is where: :math:`1 - \cos_C(T_p, S_p)`, mean over locations; the distance the anomaly map shows."""
    return 1 - F.cosine_similarity(teacher, student, dim=1).mean()


def channel_loss(teacher: Tensor, student: Tensor) -> Tensor:
    r"""Where each feature fires: :math:`1 - \cos_P(T_c, S_c)` over the locations of one channel, mean over channels."""
    return 1 - F.cosine_similarity(teacher.flatten(2), student.flatten(2), dim=2).mean()


def intra_affinity_loss(teacher: Tensor, student: Tensor, grid: int) -> Tensor:
    r"""How the places of one image relate: :math:`\lVert \hat T \hat T^\top - \hat S \hat S^\top \rVert_1 / P^2`.

    :math:`\hat T` holds the L2-normalised features of the P pooled locations.
    """
    t, s = _tokens(teacher, grid), _tokens(student, grid)  # [B, P, C]
    return (t @ t.transpose(1, 2) - s @ s.transpose(1, 2)).abs().mean()


def inter_affinity_loss(teacher: Tensor, student: Tensor, grid: int, reading: str) -> Tensor:
    r"""How images, or the two networks, relate to each other.

    ``batch``: affinities between a location in one image and the same location in every other image of the
    batch (:math:`B \times B` per location). Images of a mixed batch show different products, so the student
    keeps apart what the teacher keeps apart: the cure for cross-class interference.
    ``teacher_student``: :math:`\hat T \hat S^\top` must equal :math:`\hat T \hat T^\top` within an image.
    """
    t, s = _tokens(teacher, grid), _tokens(student, grid)  # [B, P, C]
    if reading == "batch":
        t, s = t.transpose(0, 1), s.transpose(0, 1)  # [P, B, C]
        return (t @ t.transpose(1, 2) - s @ s.transpose(1, 2)).abs().mean()
    return (t @ t.transpose(1, 2) - t @ s.transpose(1, 2)).abs().mean()


def snl_loss(teacher: list[Tensor], student: list[Tensor], config: LossConfig) -> dict[str, Tensor]:
    """The weighted terms, each summed over the levels, and their ``total``; a term of weight 0 is left out."""
    terms: dict[str, Tensor] = {}
    pairs = [(t.float(), s.float()) for t, s in zip(teacher, student, strict=True)]
    if config.spatial:
        terms["spatial"] = config.spatial * _sum([spatial_loss(t, s) for t, s in pairs])
    if config.channel:
        terms["channel"] = config.channel * _sum([channel_loss(t, s) for t, s in pairs])
    if config.intra_affinity:
        terms["intra_affinity"] = config.intra_affinity * _sum(
            [intra_affinity_loss(t, s, config.affinity_grid) for t, s in pairs]
        )
    if config.inter_affinity:
        terms["inter_affinity"] = config.inter_affinity * _sum(
            [inter_affinity_loss(t, s, config.affinity_grid, config.inter_reading) for t, s in pairs]
        )
    terms["total"] = _sum(list(terms.values()))
    return terms


def _tokens(feature: Tensor, grid: int) -> Tensor:
    """``[B, C, h, w]`` to L2-normalised ``[B, P, C]`` with P at most ``grid²``."""
    if feature.shape[2] > grid or feature.shape[3] > grid:
        feature = F.adaptive_avg_pool2d(feature, (min(feature.shape[2], grid), min(feature.shape[3], grid)))
    return F.normalize(feature.flatten(2).transpose(1, 2), dim=2)


def _sum(terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).sum()
