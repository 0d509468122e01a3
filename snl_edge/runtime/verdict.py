"""What is said of one picture: good, reject or unknown, why, and where the map is above the threshold.

One definition for the line, `infer` and Python.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..contract.graph import Prediction
from ..opencv import cv2
from .manifest import Manifest, Precision
from .tuning import UNKNOWN

VerdictKind = Literal["good", "reject", "unknown"]
Objection = Literal["mismatch", "unlearned", "region"]
"""What recognition holds against a named product: taken for another one, like none that the model learned, or taken for
one whose ignored regions may hide a defect (where the two are not compared)."""
MOST_REGIONS = 16
"""Of a part; those with the highest peaks."""
_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Blob:
    """One connected region of the anomaly map above the threshold.

    Positions are shares (0 to 1) of the inspected region's width and height, so they hold for any resolution.
    """

    x: float
    """Left edge."""
    y: float
    """Upper edge."""
    width: float
    height: float
    area: float
    """Share of the region that the blob covers."""
    peak: float
    """Largest value of the map in it."""


class Box(NamedTuple):
    """A rectangle in pixels of a picture."""

    x: int
    """Leftmost column."""
    y: int
    """Uppermost row."""
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Region:
    """A `Blob` on one picture."""

    box: Box
    """The smallest rectangle of whole pixels of the picture that holds it."""
    area: float
    """Share (0 to 1) of the picture that it covers."""
    peak: float
    """Largest value of the map in it, on the scale of the score."""


@dataclass(frozen=True)
class Decision:
    """What is decided about one frame; score and threshold are on the score scale."""

    kind: VerdictKind
    """``unknown``: like no product that the model learned, or taken for another one than the caller named, so neither
    good nor a reject of one."""
    score: float
    threshold: float | None
    """What the score was held against: the threshold of the product, or the caller's. It tells ``reject`` from
    ``good``, and from ``unknown`` near a product; None so far from every product that no score makes a reject of it."""
    product: str | None
    """As named by the caller, else as recognised; None where it is unknown."""
    product_distance: float
    """From the nearest product that the model learned; 1 is the default limit of what is known."""
    recognised: str | None = None
    """The product that the graph saw, whatever the caller named; None where nothing recognises products."""
    objection: Objection | None = None
    """Why a part of a named product is not ``good``, whatever its score."""
    doubt: str = ""
    """Why it may not be trusted as it stands, in one line; empty where it may."""

    @property
    def reject(self) -> bool:
        """Whether the part is defective. An unknown product is not, yet it is not ``good`` either."""
        return self.kind == "reject"

    @property
    def good(self) -> bool:
        """Whether the part may pass."""
        return self.kind == "good"

    @property
    def relation(self) -> float | None:
        """Score over threshold, which compares parts of different products: above 1 is a reject. None without one."""
        return None if self.threshold is None else self.score / self.threshold


@dataclass(frozen=True, kw_only=True, eq=False)
class Verdict(Decision):
    """A decision with what shows where."""

    anomaly_map: NDArray[np.float32]
    """``float32 [H, W]`` of the model's input, not of the frame; on the scale of the score."""
    regions: tuple[Region, ...] = ()
    """Where the map is above the threshold, in pixels of the frame, highest peak first, 16 at most; none where the
    score is not."""
    doubts: tuple[str, ...] = ()
    """All that is doubtful, a line each: ``doubt``, and thresholds that are far from those of training."""

    def to_dict(self) -> dict[str, Any]:
        """What `snl-edge infer --json` says of a picture, but its path: numbers, strings, lists and None.

        The scheme is ``docs/infer.schema.json``. Scores, thresholds, distances and what follows have 6
        decimals; ``reason`` is `objection`.
        """
        return {
            "verdict": self.kind,
            "product": self.product,
            "recognised": self.recognised,
            "product_distance": round(self.product_distance, _DECIMALS),
            "score": round(self.score, _DECIMALS),
            "threshold": written(self.threshold),
            "relation": written(self.relation),
            "regions": [
                {"box": list(one.box), "area": round(one.area, _DECIMALS), "peak": round(one.peak, _DECIMALS)}
                for one in self.regions
            ],
            "reason": self.objection,
            "doubts": list(self.doubts),
        }


def written(value: float | None) -> float | None:
    """As `Verdict.to_dict` writes it."""
    return None if value is None else round(value, _DECIMALS)


def decide(
    manifest: Manifest,
    precision: Precision,
    score: float | np.float32,
    nearest: int | np.int32,
    distance: float | np.float32,
    named: str | None = None,
    threshold: float | None = None,
    *,
    compare: bool = True,
) -> Decision:
    """What follows from the graph's scores for one picture, by the thresholds in force in ``manifest``.

    Args:
        manifest: of the bundle that ran.
        precision: of the graph or engine that ran.
        score, nearest, distance: the graph's outputs.
        named: the product, where the caller knows it: its threshold decides, and what is above it is its reject.
        threshold: decides instead of those of the manifest.
        compare: whether a named product is compared with the recognised one. Then nothing is good that would not be
            without the name, nor what the graph took for another product. Without it the caller's word is taken, but
            where a picture was taken for a product whose ignored regions may hide a defect: it is never good.
    """
    product = manifest.products[nearest] if named is None else named
    limit = manifest.threshold_for(product, precision) if threshold is None else threshold
    above = not float(score) <= limit  # what is no number is not below anything
    # A defect moves a picture, too. What is nearer to its product than to the next one is that product's reject; what
    # may be neither a reject nor known never passes.
    reach = max(manifest.unknown_limit, manifest.reject_limit(product))
    furthest = reach if above else manifest.unknown_limit
    # A distance is compared as the float32 it is: 1.0 from the graph is not above 1.0.
    known = named is not None or float(distance) <= furthest
    recognised = manifest.products[nearest]
    objection, doubt = None, ""
    if named is not None:
        objection, doubt = _objection(manifest, recognised, float(distance), named, furthest if compare else None)
    kind: VerdictKind = "unknown" if not known else "reject" if above else "unknown" if objection else "good"
    told = None if kind == "unknown" else product
    # Beyond the reach of its product no score would have made it a reject.
    held = limit if named is not None or float(distance) <= reach else None
    return Decision(kind, float(score), held, told, float(distance), recognised, objection, doubt)


def _objection(
    manifest: Manifest, recognised: str, distance: float, named: str, furthest: float | None
) -> tuple[Objection | None, str]:
    """What recognition holds against ``named``, and what is doubtful in one line.

    ``furthest`` is the distance up to which it is known; None where the two are not compared.
    """
    doubt = _misplaced(manifest, recognised, named)
    if furthest is not None and not distance <= furthest:
        far = f"like no learned product: {distance:.3g} from {recognised}, the limit is {furthest:.3g}"
        return "unlearned", doubt or far
    if furthest is not None and recognised != named:
        return "mismatch", doubt or f"taken for {recognised}, not for {named}"
    return "region" if manifest.hides_more(recognised, named) else None, doubt


def _misplaced(manifest: Manifest, recognised: str, named: str) -> str:
    """What it means for ignored regions that the graph took a picture of ``named`` for ``recognised``."""
    if manifest.hides_more(recognised, named):
        return f"taken for {recognised}, whose ignored regions were left out: a defect of {named} may lie there"
    if named != recognised and named in manifest.ignored and recognised not in manifest.ignored:
        return f"taken for {recognised}: the ignored regions of {named} were not left out"
    return ""


class Judged(NamedTuple):
    """What a `Judge` says of one picture, without what only some callers need."""

    decision: Decision
    blobs: tuple[Blob, ...]
    """Where the map is above the threshold, highest peak first; none where the score is not."""
    odd: tuple[str, ...]
    """What is doubtful of the thresholds that concern it, a line each."""


@dataclass(frozen=True, eq=False)
class Judge:
    """The one way from the graph's outputs to what is said of a picture: for `detect`, for `infer`, for the line and
    for its golden samples.

    Attributes:
        manifest: of the bundle that ran, with the thresholds in force.
        precision: of the graph or engine that ran.
        named, threshold, compare: as for `decide`.
        ignored: the pixels ``bool [H, W]`` of the map that do not count, as a camera's mask has them; None if all do.
            The score is then the maximum of the others.
        odd: what is doubtful of thresholds, by product, as `tuning.standing_doubts` tells.
    """

    manifest: Manifest
    precision: Precision
    named: str | None = None
    threshold: float | None = None
    compare: bool = True
    ignored: NDArray[np.bool_] | None = None
    odd: Mapping[str, str] = field(default_factory=dict)

    def needs_map(self, score: float, nearest: int, distance: float) -> bool:
        """Whether `judge` cannot do without the map: where pixels are ignored, or the picture is not good."""
        return self.ignored is not None or not self._decide(score, nearest, distance).good

    def judge(
        self,
        anomaly_map: NDArray[np.float32] | None,
        score: float | np.float32,
        nearest: int | np.int32,
        distance: float | np.float32,
    ) -> Judged:
        """Judges one picture by the graph's outputs for it.

        ``anomaly_map``, ``float32 [H, W]``, may be None where `needs_map` says no. Ignored pixels of it become 0.
        """
        if self.ignored is not None:
            assert anomaly_map is not None
            anomaly_map[self.ignored] = 0.0
            score = float(anomaly_map.max())
        decision = self._decide(score, nearest, distance)
        blobs: tuple[Blob, ...] = ()
        if decision.threshold is not None and decision.score > decision.threshold:
            assert anomaly_map is not None
            blobs = find_blobs(anomaly_map, decision.threshold)
        concerned = (decision.product or self.named or decision.recognised, UNKNOWN)
        return Judged(decision, blobs, tuple(filter(None, (self.odd.get(name or "") for name in concerned))))

    def verdict(self, prediction: Prediction, index: int, size: tuple[int, int]) -> Verdict:
        """The verdict on image ``index`` of a prediction; its regions are in pixels of ``size = (height, width)``."""
        score, nearest, distance = (output[index] for output in prediction.scores)
        anomaly_map = prediction.anomaly_map[index]
        decision, blobs, odd = self.judge(anomaly_map, score, nearest, distance)
        return Verdict(
            **vars(decision),
            anomaly_map=anomaly_map,
            regions=tuple(on_picture(blob, size) for blob in blobs),
            doubts=tuple(filter(None, (decision.doubt, *odd))),
        )

    def _decide(self, score: float | np.float32, nearest: int | np.int32, distance: float | np.float32) -> Decision:
        return decide(
            self.manifest, self.precision, score, nearest, distance, self.named, self.threshold, compare=self.compare
        )


def find_blobs(anomaly_map: NDArray[np.float32], threshold: float) -> tuple[Blob, ...]:
    """The connected regions of the map ``float32 [H, W]`` above the threshold, highest peak first."""
    height, width = anomaly_map.shape
    above = (anomaly_map > threshold).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(above, connectivity=8)
    peaks = np.zeros(count, np.float32)  # of noise there are thousands: none is looked at by itself
    np.maximum.at(peaks, labels.ravel(), np.where(above, anomaly_map, 0).ravel())  # pyright: ignore[reportArgumentType]
    highest = 1 + np.argsort(-peaks[1:], kind="stable")[:MOST_REGIONS]
    blobs: list[Blob] = []
    for label in highest:
        x, y, w, h, area = map(int, stats[label])
        blobs.append(Blob(x / width, y / height, w / width, h / height, area / (width * height), float(peaks[label])))
    return tuple(blobs)


def on_picture(blob: Blob, size: tuple[int, int]) -> Region:
    """A blob in the pixels of a picture of ``size = (height, width)``."""
    height, width = size
    left, right = _whole(blob.x, blob.x + blob.width, width)
    top, bottom = _whole(blob.y, blob.y + blob.height, height)
    return Region(Box(left, top, right - left, bottom - top), blob.area, blob.peak)


def _whole(start: float, end: float, pixels: int) -> tuple[int, int]:
    """The whole pixels that a stretch, in shares of them all, touches; rounding of the shares touches none."""
    first = min(math.floor(start * pixels + 1e-6), pixels - 1)
    return first, max(first + 1, min(pixels, math.ceil(end * pixels - 1e-6)))
