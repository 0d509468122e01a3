"""What the dashboard, the health endpoint and commands may see of a running line and ask of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import SnlEdgeError
from ...runtime.manifest import Colours
from ..records.actuation import Unaccounted
from ..records.record import NO_ORDER, Entry, Order

State = Literal["starting", "running", "paused", "draining", "stopped"]
Light = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Check:
    """One line of the health page."""

    name: str
    """What was looked at: ``camera left``, ``engine``, ``journal``, ``sink mqtt``, ``drift gear``."""
    light: Light
    text: str
    """One plain line: what is wrong and what to do, or that all is well."""


@dataclass(frozen=True)
class Latest:
    """The last part of one camera, to be looked at."""

    entry: Entry
    frame: NDArray[np.uint8] | None
    """``uint8 [h, w, 3]``, the inspected region; None where there was no picture."""
    anomaly_map: NDArray[np.float32] | None
    """``float32 [H, W]`` of the model's input."""
    colours: Colours = "rgb"
    """Order of those in ``frame``."""


@dataclass(frozen=True)
class Status:
    """A line's state at one moment."""

    name: str
    """The line's, from its file."""
    state: State
    shadow: bool
    recipe: str
    recipe_hash: str
    threshold: float
    product_thresholds: dict[str, float]
    products: tuple[str, ...]
    threshold_version: int
    cameras: tuple[str, ...]
    counts: dict[str, int]
    """Parts of this run by verdict (``good``, ``reject``, ``unknown``, ``failsafe``)."""
    dropped: int
    deadline_missed: int
    parts_per_second: float
    """Over the last ten seconds."""
    latency_p50_ms: float
    latency_p99_ms: float
    """From trigger to verdict, over the last 1,000 parts."""
    checks: tuple[Check, ...]
    order: Order = NO_ORDER
    """What is being made."""
    usual_thresholds: dict[str | None, tuple[float, float]] = field(default_factory=dict)
    """By product, None for those without a threshold of their own: what is set without a confirmation."""
    unaccounted: Unaccounted | None = None
    """Rejects of earlier runs whose outcome nobody knows or has acknowledged."""


class Line(Protocol):
    """A running line. Any thread may call any method; every change goes into the journal's audit with ``actor``."""

    def status(self) -> Status:
        """Its state now."""
        ...

    def latest(self, camera: str) -> Latest | None:
        """The last part of a camera; None before the first."""
        ...

    def trigger(self, camera: str, part: str | None, encoder: int | None) -> int | None:
        """A part is there now: returns its sequence number at this camera; None while the line is ending.

        Raises `ConfigError` for an unknown camera.
        """
        ...

    def set_threshold(self, value: float, product: str | None, actor: str, *, confirmed: bool = False) -> Check | None:
        """Sets a threshold in the bundle, from the next part on; returns what the golden samples said, on which it is
        tried first; None where the line has none and the value is within `Status.usual_thresholds`.

        Raises `ConfigError` for an unknown product, and for a value outside `Status.usual_thresholds` that was not
        confirmed, and for one by which a golden sample would be judged wrongly.
        """
        ...

    def pause(self, paused: bool, actor: str) -> None:
        """While paused, triggered parts get the fail-safe verdict with reason ``paused``."""
        ...

    def set_shadow(self, shadow: bool, actor: str) -> None:
        """In shadow mode parts are judged and recorded, but no actuator moves."""
        ...

    def set_order(self, order: Order, actor: str) -> None:
        """What is being made from the next trigger on; nothing is left of what was before."""
        ...

    def change_recipe(self, bundle: Path, actor: str, order: Order = NO_ORDER) -> Check:
        """Loads another bundle beside the running one, judges its golden samples, and changes over between two parts,
        and to ``order``.

        Returns what the samples said. Raises `SnlEdgeError` where the bundle cannot be run or judges one wrongly: the
        running recipe goes on.
        """
        ...

    def refused(self, change: str, error: SnlEdgeError, actor: str) -> None:
        """Puts on record what was refused before the line was asked: a recipe that is not there."""
        ...

    def acknowledge(self, last: int, actor: str) -> Unaccounted | None:
        """Notes that somebody has looked for the rejects of unknown outcome, up to the one with the id ``last``.

        Returns what was acknowledged; None if nothing was left.
        """
        ...

    def self_test(self, actor: str) -> Check:
        """Judges the golden samples now."""
        ...
