"""The frozen teacher's features: its channel statistics, and batches from a cache where that saves time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from snl_edge.data.loader import ImageStore
from snl_edge.model.snl import Snl

from .config import TrainingConfig


class FeatureSource:
    """Gives (pixels, teacher features) of training batches.

    On a CPU, and when images are not augmented, the features of every image are kept as FP16 if they fit in
    ``budget`` bytes: the teacher then runs once per image instead of once per step. On a GPU
    the teacher is faster than the transfer of its features, so it always runs.
    """

    def __init__(
        self, model: Snl, store: ImageStore, training: TrainingConfig, device: torch.device, budget: int
    ) -> None:
        self.model, self.store, self.device = model, store, device
        height, width = model.config.size
        cells = [c * (height // s) * (width // s) for c, s in zip(model.teacher.channels, (4, 8, 16), strict=True)]
        self.caches = device.type == "cpu" and training.augment == "none" and 2 * sum(cells) * len(store) <= budget
        self._cache: list[Tensor] = []

    @torch.no_grad()
    def prepare(self, batch_size: int, progress: Callable[[int, int], None]) -> None:
        """Fills the cache, with one pass over all images, where there is to be one."""
        if not self.caches:
            return
        count = len(self.store)
        for start in range(0, count, batch_size):
            indices = range(start, min(start + batch_size, count))
            for level, feature in enumerate(self.model.teacher.backbone(self._pixels(indices))):
                if start == 0:
                    self._cache.append(torch.empty(count, *feature.shape[1:], dtype=torch.float16))
                self._cache[level][start : indices.stop] = feature.half()
            progress(indices.stop, count)

    @torch.no_grad()
    def measure_statistics(
        self, chosen: Sequence[int], batch_size: int, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> None:
        """Sets the teacher's channel statistics, where it has any, to those of the images ``chosen``."""
        teacher, count = self.model.teacher, len(chosen)
        if not teacher.config.standardise:
            return
        sums = [torch.zeros(2, c, dtype=torch.float64, device=self.device) for c in teacher.channels]
        cells = [0, 0, 0]
        for start in range(0, count, batch_size):
            for level, feature in enumerate(self._raw(chosen[start : start + batch_size])):
                values = feature.double()
                sums[level] += torch.stack([values.sum((0, 2, 3)), values.square().sum((0, 2, 3))])
                cells[level] += feature.shape[0] * feature.shape[2] * feature.shape[3]
            progress(min(start + batch_size, count), count)
        means = [s[0] / n for s, n in zip(sums, cells, strict=True)]
        variances = [(s[1] / n - m.square()).clamp_min(0) for s, n, m in zip(sums, cells, means, strict=True)]
        teacher.set_statistics([m.float() for m in means], [v.float() for v in variances])

    @torch.no_grad()
    def features(self, indices: Sequence[int]) -> list[Tensor]:
        """The teacher's features of the images at ``indices``, standardised as it does by now."""
        return [s(f) for s, f in zip(self.model.teacher.standardise, self._raw(indices), strict=True)]

    @torch.no_grad()
    def batch(self, indices: Sequence[int], augment: Callable[[Tensor], Tensor]) -> tuple[Tensor | None, list[Tensor]]:
        """Normalised pixels ``[B, 3, H, W]`` (None where nobody needs them) and standardised features."""
        if self._cache:
            features = [f.contiguous(memory_format=torch.channels_last) for f in self.features(indices)]
            forward = self.model.config.student.direction == "forward"
            return (self._pixels(indices) if forward else None), features
        pixels = augment(self._pixels(indices))
        return pixels, self.model.teacher(pixels)

    def _raw(self, indices: Sequence[int]) -> list[Tensor]:
        if self._cache:
            return [level[list(indices)] for level in self._cache]
        return self.model.teacher.backbone(self._pixels(indices))

    def _pixels(self, indices: Sequence[int]) -> Tensor:
        images = torch.from_numpy(self.store.batch(indices))
        return self.model.teacher.normalise(images.to(self.device, non_blocking=True))
