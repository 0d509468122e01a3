"""One batch in flight on the GPU: a stream, every buffer allocated once, and the engine made ready to run on it.

A context must be current (`cuda.current`) whenever a method runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..contract.graph import ANOMALY_MAP, IMAGES, SCORES, Prediction, Scores
from ..errors import EngineError
from .cuda_memory import Buffer, Outputs, PageLockedImages
from .cuda_stream import Stopwatch, new_stream
from .execution import CapturedExecution, Execution, SelfCapturingExecution
from .loaded_engine import LoadedEngine


class Lane:
    """Takes batches one after the other. Nothing lies on the GPU before `prepare`, nothing after `free`.

    Args:
        loaded: the engine, which it shares with other lanes.
        max_batch: the largest batch.
    """

    def __init__(self, loaded: LoadedEngine, max_batch: int) -> None:
        self.loaded = loaded
        self.max_batch = max_batch
        self.execution: Execution
        self._stream: Any = None
        self._images: Buffer | None = None
        self._map: Buffer | None = None
        self._scores: Outputs | None = None
        loaded.acquire()

    def prepare(self) -> None:
        """Allocates everything, and runs every batch size once.

        Raises:
            EngineError: TensorRT refuses.
        """
        loaded, batch = self.loaded, self.max_batch
        mapped = loaded.gpu.integrated
        self._stream = new_stream()
        self._images = Buffer((batch, *loaded.takes.image_size, 3), np.uint8, mapped=mapped)
        self._map = Buffer((batch, *loaded.takes.size), np.float32, mapped=mapped)
        self._scores = scores = Outputs(
            {tensor.name: (tensor.shape(batch, loaded.takes.size), np.dtype(tensor.dtype)) for tensor in SCORES},
            mapped=mapped,
        )
        self._images.host[:] = 0
        self._images.upload(self._images.host, self._stream)
        addresses = {IMAGES.name: self._images.address, ANOMALY_MAP.name: self._map.address, **scores.addresses}
        kind = SelfCapturingExecution if loaded.flavour.is_rtx else CapturedExecution
        self.execution = kind(loaded, self._stream, addresses, lambda: scores.download(self._stream))
        for size in range(1, batch + 1):
            self.execution.prepare(size)
        loaded.save_kernels()

    def run(self, images: NDArray[np.uint8]) -> Scores:
        """Runs ``uint8 [B, H, W, 3]``; the scores lie in page-locked memory, overwritten by the next call."""
        self._begin(images)
        self._stream.synchronize()
        return self._found(len(images))

    def infer(self, images: NDArray[np.uint8]) -> Prediction:
        """As `run`, and brings the maps along."""
        assert self._map is not None
        self._begin(images)
        maps = self._map.download(self._stream, 0, len(images))
        self._stream.synchronize()
        return Prediction(maps, *self._found(len(images)))

    def maps(self, rows: Sequence[int]) -> list[NDArray[np.float32]]:
        """The maps ``float32 [H, W]`` of these images of the last run; overwritten by the next call."""
        assert self._map is not None
        found = [self._map.download(self._stream, row, row + 1)[0] for row in rows]
        self._stream.synchronize()
        return found

    def engine_seconds(self, images: NDArray[np.uint8]) -> float:
        """Seconds that the engine took for this batch, by the GPU's clock."""
        self._upload(images)
        with Stopwatch(self._stream) as stopwatch:
            self.execution.enqueue(len(images))
        seconds = stopwatch.seconds()
        self._stream.synchronize()
        return seconds

    def lock_images(self, count: int) -> NDArray[np.uint8]:
        """Memory ``uint8 [count, H, W, 3]``, zeros, from which images are copied to the GPU without a stop."""
        block = PageLockedImages(count, self.loaded.takes.image_size)
        self.loaded.locked.append(block)
        return block.images

    def free(self) -> None:
        """Gives everything back, in the order in which it depends on each other; the GPU has nothing left to do."""
        if hasattr(self, "execution"):
            self.execution.free()
            del self.execution
        self._images = self._map = self._scores = self._stream = None
        self.loaded.release()
        del self.loaded

    def _begin(self, images: NDArray[np.uint8]) -> None:
        self._upload(images)
        self.execution.enqueue(len(images))

    def _upload(self, images: NDArray[np.uint8]) -> None:
        assert self._images is not None
        expected = self._images.host.shape[1:]
        if images.shape[1:] != expected or images.dtype != np.uint8 or not 1 <= len(images) <= self.max_batch:
            raise EngineError(
                f"a batch is {images.dtype} {list(images.shape)}",
                f"this engine was made ready for uint8 [1 to {self.max_batch}, {', '.join(map(str, expected))}]",
                "give such batches",
            )
        direct = any(block.holds(images) for block in self.loaded.locked)
        self._images.upload(images, self._stream, direct=direct)

    def _found(self, batch: int) -> Scores:
        assert self._scores is not None
        host = self._scores.host
        return Scores(*(host[tensor.name][:batch] for tensor in SCORES))
