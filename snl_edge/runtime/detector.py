"""The Detector: a bundle, loaded, and a verdict for every frame."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ..arguments import require_switch
from ..contract.graph import Prediction, Scores
from ..errors import DataError, ResultError
from ..image import Fitter
from .arguments import require_sizes, require_threshold
from .backend import Backend, closed
from .bundle import Bundle
from .declared_frames import FrameColours, Pixels, declared_frames, described, require_unmasked
from .selection import select_backend
from .signature import Trust
from .tuning import standing_doubts, unusual
from .verdict import Judge, Verdict

_log = logging.getLogger(__name__)
_CLOSE_S = 10.0
_detectors: weakref.WeakSet[Detector] = weakref.WeakSet()


def _free_of_locks() -> None:
    """A child of a fork: a thread that was inside a detector is not here to leave it."""
    for detector in _detectors:
        detector._lock = threading.Lock()


os.register_at_fork(after_in_child=_free_of_locks)


class _Staging(threading.local):
    """A thread's place for fitted frames, ``uint8 [max batch, H, W, 3]``, and what fits them."""

    def __init__(self, count: int, size: tuple[int, int]) -> None:
        self.frames = np.empty((count, *size, 3), np.uint8)
        self.fitter = Fitter()


class Detector:
    """Runs a bundle. Several threads may share one detector: their batches run one after the other.

    Once it is closed every call is refused, also one that waits its turn; whoever closes waits for the batch that runs.

    Attributes:
        bundle: the bundle it was loaded from.
        backend: what runs the graph.
        backend_reason: which backend that is and, for ``auto``, why not a faster one.
    """

    def __init__(self, bundle: Bundle, backend: Backend, backend_reason: str) -> None:
        self.bundle = bundle
        self.backend = backend
        self.backend_reason = backend_reason
        self._lock = threading.Lock()
        self._closed = False
        self._odd = standing_doubts(bundle.manifest)
        _detectors.add(self)
        self._staging = _Staging(backend.max_batch, bundle.manifest.input.image_size)

    @classmethod
    def load(
        cls,
        bundle: Path | str,
        *,
        backend: str = "auto",
        precision: str = "auto",
        device: int = 0,
        threads: int | None = None,
        max_batch: int | None = None,
        trust: Trust | None = None,
    ) -> Detector:
        """Opens and checks a bundle and loads a backend for it; other arguments and errors as `select_backend`.

        Example:
            ```python
            from snl_edge import Detector, read_image

            with Detector.load("runs/line3/bundle") as detector:
                (verdict,) = detector.detect(read_image("part.png"), colours="rgb")
            print(verdict.kind, verdict.product, verdict.relation)
            ```

        Args:
            trust: whose signatures count; what the environment says if not given.

        Raises:
            BundleError: the bundle is incomplete or damaged, or nobody who is trusted has signed it.
        """
        opened = Bundle.open(bundle, trust)
        return cls(opened, *select_backend(opened, backend, precision, device, threads, max_batch))

    def another(self) -> Detector:
        """A second one on the same bundle, for a batch that runs at the same time; they share the weights.

        Raises:
            EngineError: there is no room for its buffers, or this one is closed.
        """
        self._require_open()
        return Detector(self.bundle, self.backend.another(), self.backend_reason)

    def detect(
        self,
        images: Sequence[Pixels] | Pixels,
        product: str | None = None,
        *,
        colours: FrameColours | None = None,
        bits: int | None = None,
        threshold: float | None = None,
        compare: bool = True,
        sizes: Sequence[tuple[int, int]] | None = None,
        out: Prediction | None = None,
    ) -> list[Verdict]:
        """Judges one frame or several, of any size, in batches.

        A bundle that was built for frames of one size takes these alone. A single one, or an array of several, in the
        colours it was built for, goes to the backend as it is.

        Args:
            images: one frame, a sequence of frames, or an array of several; each ``[h, w, 3]``, or ``[h, w]`` where
                ``colours`` is ``grey``; ``uint8``, or ``uint16`` where the depth is known.
            product: what the frames show: its threshold decides. If not given, each frame's product is recognised, and
                its threshold decides.
            colours: ``rgb``, ``bgr`` (as OpenCV reads) or ``grey``, of all frames. If not given they are what the
                bundle takes: RGB, or the order it was built for with ``--frame-colours``, which cannot be told from the
                pixels. What `read_image` gives is ``rgb``.
            bits: how many the camera filled of ``uint16`` frames, 8 to 16. If not given, as many as in training.
            threshold: decides instead of those of the bundle.
            compare: whether ``product`` is compared with what is recognised, so that parts of other products are
                ``unknown``; without it they pass as ``product`` if their score is low.
            sizes: ``(height, width)`` of the pictures that the frames were made from, for the regions of the verdicts;
                those of the frames if not given.
            out: as for `predict`; the maps of the verdicts are then views of it.

        Returns:
            a verdict for each frame, in order; of one frame a list of one.

        Raises:
            DataError: a frame has another type or shape, another size than the bundle was built for, or is not what is
                said of it.
            ConfigError: the product is unknown, or threshold, colours or bits cannot be.
            EngineError: the backend failed, its result is no number, or the detector is closed.
        """
        self._require_open()
        compare = require_switch(compare, "compare")
        if threshold is not None:
            threshold = require_threshold(threshold)
        manifest = self.bundle.manifest
        manifest.threshold_for(product)  # refuses a product that was not learned, frames or none
        frames = declared_frames(images, manifest.input, colours, bits)
        count, step = len(frames), self.backend.max_batch
        sizes = [frame.shape[:2] for frame in frames] if sizes is None else require_sizes(sizes, count)
        whole = self._outputs(count, out)
        for start in range(0, count, step):
            # Outside the lock: while one thread's batch runs, another's is made ready.
            ready = self._made_ready(frames[start : start + step])
            self._run(ready, whole.part(start, start + step))
        self._check_outputs(whole)
        odd = self._odd
        if threshold is not None:
            odd = odd | {name: unusual(manifest, name, threshold) for name in manifest.products}
        judge = Judge(manifest, self.backend.precision, product, threshold, compare=compare, odd=odd)
        return [judge.verdict(whole, index, size) for index, size in enumerate(sizes)]

    def _made_ready(self, frames: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.uint8]:
        """One batch as the backend takes it: frames fitted to the input, or as they are where the graph does that."""
        takes = self.bundle.manifest.input
        if takes.frame is not None and isinstance(frames, np.ndarray):
            return np.ascontiguousarray(frames)
        if takes.frame is not None and len(frames) == 1:
            return np.ascontiguousarray(frames[0])[None]
        staging, fitter = self._staging.frames, self._staging.fitter
        for place, frame in zip(staging, frames, strict=False):
            fitter.fit(frame, takes.image_size, place)
        return staging[: len(frames)]

    def predict(self, images: NDArray[np.uint8], *, out: Prediction | None = None) -> Prediction:
        """Runs ``uint8 [B, H, W, 3]`` of the input's size, split into batches that the backend takes.

        Args:
            images: the batch.
            out: contiguous arrays of at least B images (`Prediction.empty`) to write into, so that a steady stream
                allocates nothing; new arrays when not given.

        Returns:
            the graph's outputs, in arrays that are the caller's own, or in views of ``out``.

        Raises:
            DataError: the images have another type or shape, or ``out`` does not fit.
            EngineError: the backend failed, or a result is no number: such a part must not pass as good.
        """
        self._check_images(images)
        whole = self._outputs(len(images), out)
        step = self.backend.max_batch
        for start in range(0, len(images), step):
            self._run(np.ascontiguousarray(images[start : start + step]), whole.part(start, start + step))
        self._check_outputs(whole)
        return whole

    def inspect(
        self, images: NDArray[np.uint8], wanted: Callable[[Scores], Sequence[int]]
    ) -> tuple[Scores, dict[int, NDArray[np.float32]]]:
        """Runs one batch ``uint8 [B, H, W, 3]`` and brings only those maps to the host that somebody wants to see.

        Args:
            images: at most the backend's ``max_batch``; fastest from its ``inputs``.
            wanted: is told the scores and says which images' maps are wanted.

        Returns:
            the scores, and by number of the image its map ``float32 [H, W]``; all of it the caller's own.

        Raises:
            DataError: the images have another type or shape, or are too many for one batch.
            EngineError: as `predict`.
        """
        self._check_images(images)
        if not 1 <= len(images) <= self.backend.max_batch:
            raise DataError(
                f"{len(images)} images are no batch",
                f"it takes 1 to {self.backend.max_batch}",
                "use predict() for more",
            )
        with self._lock:
            self._require_open()
            scores = Scores(*(output.copy() for output in self.backend.run(images)))
            self._check_scores(scores)
            # An older graph may hide a value of the map that is no number from its score.
            vouched = self.bundle.manifest.scores_vouch_for_maps
            rows = [int(row) for row in wanted(scores)] if vouched else list(range(len(images)))
            maps = {row: own.copy() for row, own in zip(rows, self.backend.maps(rows), strict=True)}
        for own in maps.values():
            self._check_finite(own)
        return scores, maps

    def _check_images(self, images: NDArray[np.uint8]) -> None:
        size = self.bundle.manifest.input.image_size
        plain = isinstance(images, np.ndarray) and not isinstance(images, np.ma.MaskedArray)
        if not plain or images.dtype != np.uint8 or images.shape[1:] != (*size, 3):
            require_unmasked(images, "images")
            raise DataError(
                f"images are {described(images)}",
                f"the input is uint8 [B, {size[0]}, {size[1]}, 3]",
                "use detect() for frames",
            )

    def _run(self, images: NDArray[np.uint8], into: Prediction) -> None:
        """Runs one batch that the backend takes."""
        with self._lock:
            self._require_open()
            for target, output in zip(into, self.backend.infer(images), strict=True):
                np.copyto(target, output)

    def _outputs(self, count: int, out: Prediction | None) -> Prediction:
        size = self.bundle.manifest.input.size
        if out is None:
            return Prediction.empty(count, size)
        if not isinstance(out, Prediction):
            raise DataError(f"out is {described(out)}", fix="make it with Prediction.empty")
        if len(out.score) < count or out.anomaly_map.shape[1:] != size:
            raise DataError(
                f"out has room for {described(out.anomaly_map)}",
                f"the results are {count} maps of {size[0]} x {size[1]}",
                "make it with Prediction.empty",
            )
        return out.part(0, count)

    def _check_outputs(self, whole: Prediction) -> None:
        self._check_finite(whole.anomaly_map)  # a score is a maximum, which may pass over NaN
        self._check_scores(whole.scores)

    def _check_scores(self, scores: Scores) -> None:
        self._check_finite(scores.score)
        self._check_finite(scores.product_distance)
        products = len(self.bundle.manifest.products)
        if not 0 <= scores.product.min(initial=0) <= scores.product.max(initial=0) < products:
            raise ResultError(
                f"{self.backend.description} recognised a product that the manifest does not list",
                f"it lists {products}, and the graph says {scores.product.min()} to {scores.product.max()}",
                "train and build again with this snl-edge",
            )

    def _check_finite(self, output: NDArray[np.float32]) -> None:
        # Extremes are numbers only if all are, and unlike isfinite() of a map they need no array.
        if not (np.isfinite(output.min(initial=0)) and np.isfinite(output.max(initial=0))):
            raise ResultError(
                f"{self.backend.description} gave a score, map or distance with no finite number",
                "numbers overflowed in the graph",
                f"run the fp32 graph, and check the bundle: snl-edge inspect {self.bundle.path}",
            )

    def _require_open(self) -> None:
        if self._closed:
            raise closed()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def close(self) -> None:
        """Gives back what the backend holds; calls are refused from now on. A second call does nothing."""
        self._closed = True
        # A call that hangs in a driver holds the lock for ever: whoever closes must not hang with it.
        if not self._lock.acquire(timeout=_CLOSE_S):
            _log.error("not closed: a call of %s has been running for %.0f s", self.backend.description, _CLOSE_S)
            return
        try:
            self.backend.close()
        finally:
            self._lock.release()

    def __enter__(self) -> Detector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
