"""A bundle made ready to judge: its detectors, the places where pictures wait for them, and the one in force."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from ...errors import EngineError
from ...runtime.backend import BackendName
from ...runtime.bundle import Bundle
from ...runtime.detector import Detector
from ...runtime.manifest import Precision, sha256_of
from ...runtime.signature import configured_trust
from ..records.record import NO_ORDER, Order
from ..settings import Settings


class EngineSettings(Settings):
    """What runs the bundle."""

    backend: BackendName | Literal["auto"] = "auto"
    """``auto`` takes the fastest that works here."""
    precision: Precision | Literal["auto"] = "auto"
    """``auto``: what the engine is on a GPU; on a CPU the fastest that passed the accuracy gate there."""
    device: int = Field(default=0, ge=0)
    """Number of the GPU."""
    threads: int | None = Field(default=None, ge=1, le=1024)
    """CPU threads of OpenVINO and ONNX Runtime; all cores if not given."""
    max_batch: int | None = Field(default=None, ge=1, le=4096)
    """Largest batch that is formed. If not given, the engine's own limit on a GPU, 1 on a CPU, which gains nothing."""
    max_wait_ms: float = Field(default=0.0, ge=0, le=60_000)
    """How long the first picture of a batch waits for others; 0: whatever is there goes at once."""
    in_flight: int = Field(default=1, ge=1, le=4)
    """Batches that run at once on one engine; 2 keeps a GPU busy while results are copied."""
    trusted_keys: Path | None = None
    """Folder of public keys: only bundles and engines that one of them has signed are run. If not given, what
    ``SNL_EDGE_TRUSTED_KEYS`` names."""


class InForce(NamedTuple):
    """What decides: a bundle with its thresholds, and the number under which the audit knows them."""

    bundle: Bundle
    version: int


class Recipe:
    """One bundle, one detector per batch in flight, and ``inputs``: prepared pictures, allocated once.

    Attributes:
        in_force: bundle with its thresholds, and their version; replaced as a whole when one changes, so that no
            part is judged by one and recorded with the other.
        sha256: of the engine or graph that runs.
        takes: what the graph takes; ``size`` of it is that of the maps.
        detectors: what runs it, one for each batch in flight.
        inputs: ``uint8 [slots, H, W, 3]``; frames, where the graph resizes.
        max_batch: largest batch that is formed.
        reason: which backend runs, and why.
        precision: of the engine or graph that runs.

    Args:
        waiting: how many pictures may be prepared or waiting at once.
    """

    def __init__(self, path: Path, settings: EngineSettings, waiting: int) -> None:
        self._settings = settings
        self._reloading = threading.Lock()
        self._closed = False
        self.path = path
        first = self._load()
        self.detectors = [first]
        try:
            self.detectors += [first.another() for _ in range(settings.in_flight - 1)]
        except BaseException:
            for detector in self.detectors:
                detector.close()
            raise
        self.in_force = InForce(first.bundle, 0)
        self.sha256 = sha256_of(first.backend.artifact)
        self.reason = first.backend_reason
        self.precision: Precision = first.backend.precision
        # A CPU gains nothing from a batch; its parts would only wait for each other.
        usual = first.backend.max_batch if first.backend.artifact.suffix == ".engine" else 1
        self.max_batch = min(settings.max_batch or usual, first.backend.max_batch)
        self.takes = first.bundle.manifest.input
        self.size = self.takes.size
        self.slots = waiting + self.max_batch * settings.in_flight
        self.inputs = first.backend.inputs(self.slots)
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(self.slots):
            self._free.put(slot)

    @property
    def bundle(self) -> Bundle:
        """The bundle with the thresholds in force."""
        return self.in_force.bundle

    @property
    def name(self) -> str:
        """The bundle's name."""
        return self.bundle.manifest.name

    def _load(self) -> Detector:
        settings = self._settings
        return Detector.load(
            self.path,
            backend=settings.backend,
            precision=settings.precision,
            device=settings.device,
            threads=settings.threads,
            max_batch=settings.max_batch,
            trust=configured_trust(settings.trusted_keys),
        )

    def acquire(self) -> int:
        """A free place in ``inputs``; waits for one."""
        return self._free.get()

    def release(self, slot: int) -> None:
        """Gives a place back."""
        self._free.put(slot)

    @property
    def lost(self) -> str:
        """Why only a fresh process can run it; empty while this one can."""
        return self.detectors[0].backend.lost

    def reload(self, worker: int) -> None:
        """Makes a worker's detector again: from one that still works, so that weights stay shared, or from the file.

        Raises:
            SnlEdgeError: it cannot be made, or the bundle is another than the one that the line was given.
        """
        self.detectors[worker].close()
        with self._reloading:  # a second worker finds the detector of the first
            if self._closed:
                raise EngineError(f"recipe {self.name} is not the line's any more", fix="wait for parts of the new one")
            others = [detector for detector in self.detectors if not detector.closed]
            self.detectors[worker] = others[0].another() if others else self._load_the_same()

    def _load_the_same(self) -> Detector:
        """What was loaded before: another engine would be judged by this one's thresholds and recorded as this one."""
        found = self._load()
        same = sha256_of(found.backend.artifact) == self.sha256 and found.backend.precision == self.precision
        if same and found.backend.max_batch >= self.max_batch:
            return found
        reason = found.backend_reason
        found.close()
        raise EngineError(
            f"bundle {self.path} was changed under the running line",
            f"what is in it now is {reason}",
            "change the recipe to it, restart the service, or put the old one back",
        )

    def close(self, seconds: float = 0.0) -> None:
        """Gives back what the detectors hold, once all places are free or ``seconds`` have passed."""
        self._closed = True
        end = time.monotonic() + seconds
        while self._free.qsize() < self.slots and time.monotonic() < end:
            time.sleep(0.01)
        for detector in self.detectors:
            detector.close()


@dataclass
class LineState:
    """What can change while a line runs, in one place that all its threads read. Every field is replaced as a whole, so
    a reader sees the old or the new value, never half of one."""

    recipe: Recipe
    paused: bool = False
    shadow: bool = False
    order: Order = NO_ORDER
