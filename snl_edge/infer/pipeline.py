"""Pictures decoded side by side, judged in batches, drawn side by side; their lines come in order.

As fast as the slowest of the three, and no more pictures are in memory than keep it so.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..decode import decode
from ..errors import OutputError, ResultError, SnlEdgeError
from ..image import Fitter, opened_image, to_uint8
from ..outside.image_pages import more_pictures
from ..outside.shown import shown
from ..runtime.detector import Detector
from ..runtime.frame import as_images
from ..runtime.verdict import Verdict
from . import overlay_file
from .lines import Line, judged
from .names import bytes_of, text_of
from .overlay_file import OverlayStyle
from .unchanged import sha256_of_file, sha256_of_picture


@dataclass(frozen=True)
class Rules:
    """By what pictures are judged; see `Detector.detect`."""

    threshold: float | None = None
    product: str | None = None
    compare: bool = True


@dataclass(frozen=True)
class Overlays:
    """Where overlays go; names by picture."""

    folder: Path
    names: Mapping[Path, str]
    style: OverlayStyle


@dataclass(frozen=True)
class _Ready:
    """A picture on its way to the engine."""

    path: Path
    sha256: str
    frame: NDArray[np.uint8]
    """As the detector takes it."""
    size: tuple[int, int]
    """``(height, width)`` of the picture."""
    largest: int | None
    more: str
    """What else the file holds; empty where that is nothing."""
    base: NDArray[np.uint8] | None
    """``uint8 [h, w, 3]`` RGB to draw upon; None where nothing is drawn."""


@dataclass(frozen=True)
class _Failed:
    path: Path
    sha256: str | None
    """None where it cannot be read."""
    why: str


class _Preparing(threading.local):
    def __init__(self) -> None:
        self.fitter = Fitter()


class Pipeline:
    """Judges files with a detector.

    Args:
        detector: its ``max_batch`` is how many go to it at once.
        rules: by what they are judged.
        overlays: where their overlays go; None for none.
        threads: that decode and draw; as many as cores if not given.
    """

    def __init__(
        self, detector: Detector, rules: Rules, overlays: Overlays | None = None, threads: int | None = None
    ) -> None:
        self._detector, self._rules, self._overlays = detector, rules, overlays
        self._takes = detector.bundle.manifest.input
        self._ignores = bool(detector.bundle.manifest.ignored)
        self._batch = detector.backend.max_batch
        self._threads = threads or len(os.sched_getaffinity(0))
        # While a batch is judged the next one is decoded, with another to spare where one picture takes longer.
        self._ahead = 2 * (self._batch + self._threads)
        # Pictures to draw upon may be as large as a camera's, and are kept until they are drawn.
        whole = overlays is not None and not overlays.style.longest
        if whole or self._takes.frame is not None:
            self._ahead = self._batch + self._threads
        self._undrawn = self._batch + self._threads
        self._preparing = _Preparing()

    def lines(self, paths: Sequence[Path], start: int = 0) -> Generator[Line, None, None]:
        """The line of each picture from number ``start`` on, in order, each as soon as it is judged and drawn.

        A batch is made of the same pictures wherever the call starts, so that their scores are the same to the last
        bit.

        Raises:
            EngineError: the backend failed; a result that is no number is the error of its picture.
        """
        begin = start - start % self._batch
        waiting = iter(paths[begin:])
        with ThreadPoolExecutor(self._threads, "infer") as pool:
            coming: deque[Future[_Ready | _Failed]] = deque()
            drawn: deque[tuple[Line, Future[str] | None]] = deque()
            number = begin

            def decode_ahead() -> None:
                while len(coming) < self._ahead and (path := next(waiting, None)) is not None:
                    coming.append(pool.submit(self._prepare, path))

            try:
                decode_ahead()
                while coming:
                    batch = [coming.popleft().result() for _ in range(min(self._batch, len(coming)))]
                    decode_ahead()
                    for one, said in zip(batch, self._judge(batch), strict=True):
                        if number >= start:
                            drawn.append(self._drawing(pool, one, said))
                        number += 1
                    while drawn and (_is_done(drawn[0]) or len(drawn) > self._undrawn):
                        yield _finished(*drawn.popleft())
                while drawn:
                    yield _finished(*drawn.popleft())
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _prepare(self, path: Path) -> _Ready | _Failed:
        """Everything before the engine, on a thread of its own; whatever is wrong with the file costs no other."""
        sha256: str | None = None
        try:
            with opened_image(path, str(path)) as encoded:
                sha256 = sha256_of_picture(encoded)
                return self._decoded(path, encoded, sha256)
        except (SnlEdgeError, OSError) as error:
            why = str(error) if isinstance(error, SnlEdgeError) else f"cannot read {path}: {error.strerror or error}."
        except Exception as error:  # a decoder raises what its parsing happens to raise, and MemoryError
            why = f"{path} cannot be judged: {type(error).__name__} {error}."
        return _Failed(path, sha256 or sha256_of_file(path), text_of(why))

    def _decoded(self, path: Path, encoded: bytes, sha256: str) -> _Ready:
        stored, more = decode(encoded, path), more_pictures(encoded)
        largest = int(stored.max()) if stored.dtype == np.uint16 and self._takes.bits is None else None
        picture = to_uint8(stored, self._takes.bits, path)
        if self._takes.frame is None:
            frame = self._preparing.fitter.fit(picture, self._takes.size)
        else:
            frame = as_images(picture, self._takes)
        base = None if self._overlays is None else self._overlays.style.sized(picture)
        return _Ready(path, sha256, frame, picture.shape[:2], largest, more, base)

    def _judge(self, batch: Sequence[_Ready | _Failed]) -> list[Verdict | str]:
        """A verdict of each, or what is wrong with it."""
        ready = [one for one in batch if isinstance(one, _Ready)]
        try:
            verdicts: list[Verdict | str] = [*self._detect(ready)]
        except ResultError:
            verdicts = [self._alone(one) for one in ready]  # one of them is to blame, not all
        found = iter(verdicts)
        return [one.why if isinstance(one, _Failed) else next(found) for one in batch]

    def _alone(self, one: _Ready) -> Verdict | str:
        try:
            return self._detect([one])[0]
        except ResultError as error:
            return text_of(f"{one.path} cannot be judged: {error}")

    def _detect(self, ready: Sequence[_Ready]) -> list[Verdict]:
        return self._detector.detect(
            [one.frame for one in ready],
            self._rules.product,
            threshold=self._rules.threshold,
            compare=self._rules.compare,
            sizes=[one.size for one in ready],
        )

    def _drawing(
        self, pool: ThreadPoolExecutor, one: _Ready | _Failed, said: Verdict | str
    ) -> tuple[Line, Future[str] | None]:
        """The picture's line, and its overlay where one is being drawn."""
        name: Line = {"path": text_of(one.path)}
        if (encoded := bytes_of(one.path)) is not None:
            name["path_bytes"] = encoded
        if one.sha256 is not None:
            name["sha256"] = one.sha256
        if isinstance(one, _Failed) or isinstance(said, str):
            return name | {"error": said}, None
        line = judged(name, said, one.largest, one.more)
        return line, None if self._overlays is None else pool.submit(self._draw, self._overlays, one, said)

    def _draw(self, overlays: Overlays, one: _Ready, verdict: Verdict) -> str:
        assert one.base is not None
        target = overlays.folder / overlays.names[one.path]
        drawn = overlay_file.draw(one.base, verdict, one.size, ignores=self._ignores, name=shown(one.path.name))
        overlay_file.write(target, drawn, overlays.style)
        return text_of(target)


def _is_done(one: tuple[Line, Future[str] | None]) -> bool:
    return one[1] is None or one[1].done()


def _finished(line: Line, overlay: Future[str] | None) -> Line:
    """The line with what became of its overlay; a disk that is full, or a name it does not take, costs only that."""
    if overlay is None:
        return line
    try:
        return line | {"overlay": overlay.result()}
    except OutputError as error:
        return line | {"error": text_of(str(error))}
    except Exception as error:  # nothing about one picture costs the others
        return line | {"error": text_of(f"its overlay cannot be drawn: {type(error).__name__} {error}.")}
