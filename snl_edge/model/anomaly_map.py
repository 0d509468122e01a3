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

    The distances are those of student and teacher at strides 4, 8 and 16 and, with a memory, one at stride 8 from
    what it keeps in each of its ``descriptors``. Each is divided by its mean over good images (:meth:`set_scales`).

    Bilinear upsampling followed by a Gaussian is linear and separable, so for each distance it is
    :math:`U_h D U_w^\top` with constant matrices: two small products instead of a resize and two long
    convolutions (which an edge GPU runs slowly and some backends run differently at the borders).
    The score is the largest value of the map. Everything is FP32.

    A product may have *ignored regions* (:meth:`ignore`), which do not count for the score: there its maps are exactly
    0, as no other place is that lies any distance from the memory. What lies outside is as it would be without them,
    until the map is lowered: it is smooth, so beside the border something of what lies within still shows.

    A map that is *raised* as a whole (:meth:`lowering`) is lowered before the score is taken.
    """

    scales: Tensor
    keep: Tensor | None
    """``bool [R, H, W]``: the R different sets of pixels that count; None where all do, for every product."""
    row_of: Tensor | None
    """``int64 [K]``: which of them is that of each product."""
    usual: Tensor | None
    """``float32 [2, K]``: for each product the mean of the map beyond which one counts as raised, and the raw score
    that good parts rarely exceed; None: no map ever counts as raised."""

    def __init__(self, size: tuple[int, int], config: MapConfig, *, descriptors: int) -> None:
        super().__init__()
        weights = [*config.level_weights, *[config.memory_weight / max(1, descriptors)] * descriptors]
        self.weights = [weight / sum(weights) for weight in weights]
        self.strides = (*STRIDES, *[STRIDES[1]] * descriptors)
        self.register_buffer("scales", torch.ones(len(weights)))
        # None is no part of the weights or of a graph: a model that ignores nothing is what it was before.
        self.register_buffer("keep", None)
        self.register_buffer("row_of", None)
        self.register_buffer("usual", None)
        self.config = config
        self.register_load_state_dict_pre_hook(_make_room)
        height, width = size
        for stride in STRIDES:
            self.register_buffer(f"rows_{stride}", smooth_upsampling(height // stride, height, config.sigma), False)
            self.register_buffer(f"columns_{stride}", smooth_upsampling(width // stride, width, config.sigma).T, False)

    def forward(
        self, distances: list[Tensor], product: Tensor, expected: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Distances ``float32 [B, h_l, w_l]`` to the map ``float32 [B, H, W]`` and the score ``float32 [B]``.

        ``product``, ``int32 [B]``, says what each image was recognised as: its ignored regions apply. ``expected``,
        ``float32 [B, H/8, W/8, 3]``, is what the student's three distances usually are at such places: a share of it,
        ``surprise``, is subtracted, on this grid.
        """
        # What stands on one grid is added before it is enlarged.
        grids: dict[int, Tensor] = {}
        for index, (weight, stride, distance) in enumerate(zip(self.weights, self.strides, distances, strict=True)):
            weighed = (weight * self.scales[index]) * distance
            grids[stride] = grids[stride] + weighed if stride in grids else weighed
        if expected is not None:
            factors = self.config.surprise * self.scales[:3] * torch.tensor(self.weights[:3]).to(self.scales)
            grids[STRIDES[1]] = grids[STRIDES[1]] - (expected * factors).sum(dim=3)
        enlarged = [
            cast(Tensor, getattr(self, f"rows_{stride}")) @ grid @ cast(Tensor, getattr(self, f"columns_{stride}"))
            for stride, grid in grids.items()
        ]
        anomaly_map = enlarged[0] + enlarged[1] + enlarged[2]  # [B, H, W]
        counting = self.counting(product)
        if counting is not None:
            # A product, not a choice: what is no number stays none, wherever it lies.
            anomaly_map = anomaly_map * counting
        score = anomaly_map.flatten(1).amax(dim=1)
        if self.usual is not None:
            factor = self.lowering(anomaly_map.mean(dim=(1, 2)), score, product)
            anomaly_map, score = anomaly_map * factor[:, None, None], score * factor
        return anomaly_map, score

    def lowering(self, means: Tensor, scores: Tensor, product: Tensor) -> Tensor:
        r"""What maps are multiplied by, ``float32 [B]``: 1 where they are not raised.

        With the mean :math:`m` and the largest value :math:`s` of a map, and what their product's good parts rarely
        (:mod:`snl_edge.training.raised`) exceed of both, :math:`u` and :math:`t`, that is
        :math:`\min(\max(m / u, 1), e)^{-r w}` with :math:`w` falling from 1 at :math:`s = h_1 t` to 0 at
        :math:`s = h_2 t`. Other light, noise, focus or compression raises the whole map a little; a large defect
        raises its mean, too, but its largest value more. No part of the paper.

        Args:
            means: ``float32 [B]``; pixels that do not count are 0 in them, as in ``usual``.
            scores: raw, ``float32 [B]``.
            product: ``int32 [B]``.
        """
        assert self.usual is not None
        usual_mean, usual_score = self.usual.index_select(1, product)
        first, second = self.config.raised_scores
        excess = (means / usual_mean).clamp(1.0, self.config.raised_most)
        weight = ((second - scores / usual_score) / (second - first)).clamp(0.0, 1.0)
        return excess.pow(-self.config.raised_exponent * weight)

    def set_usual(self, usual: Tensor | None) -> None:
        """Sets ``usual``, ``float32 [2, K]``."""
        self.usual = None if usual is None else usual.to(self.scales.device, torch.float32)

    def counting(self, product: Tensor) -> Tensor | None:
        """1 where a pixel counts for each image's ``product``, ``int32 [B]``, else 0: ``float32 [B, H, W]``.

        ``[1, H, W]`` where all products have the same; None where all pixels count.
        """
        if self.keep is None or self.row_of is None:
            return None
        keep = self.keep if len(self.keep) == 1 else self.keep.index_select(0, self.row_of.index_select(0, product))
        return keep.float()

    def ignore(self, regions: Tensor) -> None:
        """Sets the pixels ``bool [K, H, W]`` of each product's maps that do not count; none at all where all do."""
        if not regions.any():
            self.keep = self.row_of = None
            return
        # Products often share what is ignored, or ignore nothing: each set of pixels is stored once.
        keep, rows = torch.unique(~regions.flatten(1), dim=0, return_inverse=True)
        self.keep, self.row_of = (
            keep.unflatten(1, regions.shape[1:]).to(self.scales.device),
            rows.to(self.scales.device),
        )

    def set_scales(self, means: Tensor) -> None:
        """Sets what distances are divided by: their means ``[L]`` over good images that nothing was fitted to."""
        self.scales.copy_(1 / means.clamp_min(1e-6))


def _make_room(module: AnomalyMap, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Weights with ignored regions or usual values are read into a model that has none yet, and the reverse."""
    for name in ("keep", "row_of", "usual"):
        stored = state.get(f"{prefix}{name}")
        setattr(module, name, None if stored is None else torch.empty_like(stored, device=module.scales.device))


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
