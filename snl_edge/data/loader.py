"""Batches of decoded images for training: read once, kept in memory as far as a budget allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from snl_edge.image import fit_to_input
from snl_edge.outside.decoding_memory import decoding_memory

from .samples import Sample


class ImageStore:
    """Gives ``uint8 [B, H, W, 3]`` batches by index; decodes in threads and keeps what fits in ``budget`` bytes.

    Images that do not fit together are decoded again at every call: slower, never out of memory.
    """

    def __init__(self, samples: Sequence[Sample], size: tuple[int, int], budget: int) -> None:
        self.samples = samples
        self.size = size
        needed = len(samples) * size[0] * size[1] * 3
        self.cached_bytes = needed if needed <= budget else 0
        self._images = np.empty((len(samples), *size, 3), np.uint8) if self.cached_bytes else None
        self._filled = np.zeros(len(samples), bool)
        self._threads = ThreadPoolExecutor()

    def __len__(self) -> int:
        return len(self.samples)

    def batch(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """The images at ``indices`` as ``uint8 [B, H, W, 3]``."""
        return np.stack(list(self._threads.map(self._image, indices)))

    def batches(self, size: int) -> Iterator[tuple[range, NDArray[np.uint8]]]:
        """All images in order, up to ``size`` at a time: their indices and ``uint8 [B, H, W, 3]``."""
        for start in range(0, len(self), size):
            indices = range(start, min(start + size, len(self)))
            yield indices, self.batch(indices)

    def part(self, indices: Sequence[int]) -> ImageStore:
        """The images at ``indices`` as a store of their own, which this one keeps and decodes."""
        return _Part(self, indices)

    def _image(self, index: int) -> NDArray[np.uint8]:
        if self._filled[index]:
            return self._images[index]  # pyright: ignore[reportOptionalSubscript]
        with decoding_memory.held():
            image = fit_to_input(self.samples[index].read(), self.size)
        if self._images is not None:
            self._images[index] = image
            self._filled[index] = True
        return image


class _Part(ImageStore):
    def __init__(self, whole: ImageStore, indices: Sequence[int]) -> None:
        self.samples = [whole.samples[i] for i in indices]
        self.size = whole.size
        self.cached_bytes = 0
        self._whole, self._indices = whole, indices

    def batch(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        return self._whole.batch([self._indices[i] for i in indices])
