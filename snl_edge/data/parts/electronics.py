"""A populated printed circuit board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np

from .surface import Fault, Field, Pose, Surface, blend, inside, noise, ramp, rgb, rounded_box

FINE = 3  # the design is drawn so many times finer, then shrunk
# Resistors and capacitors: (x, y, upright, kind), in half frame widths.
CHIPS = [
    (-0.56, -0.60, False, "R"), (-0.56, -0.44, False, "R"), (-0.56, -0.28, False, "C"), (-0.20, -0.62, True, "C"),
    (0.00, -0.62, True, "R"), (0.20, -0.62, True, "R"), (0.60, 0.42, False, "C"), (0.60, 0.58, False, "R"),
    (-0.62, 0.42, True, "C"), (-0.44, 0.42, True, "R"), (0.60, -0.60, False, "R"),
]  # fmt: skip
TRACES = [
    [(-0.48, -0.60), (-0.36, -0.60), (-0.28, -0.52), (-0.28, -0.20)],
    [(-0.48, -0.44), (-0.40, -0.44), (-0.36, -0.40), (-0.36, -0.08), (-0.30, -0.08)],
    [(-0.64, -0.44), (-0.74, -0.34), (-0.74, 0.10), (-0.66, 0.18), (-0.30, 0.18)],
    [(-0.64, -0.28), (-0.68, -0.24), (-0.68, 0.02), (-0.62, 0.06), (-0.30, 0.06)],
    [(-0.20, -0.54), (-0.20, -0.44), (-0.12, -0.36), (-0.12, -0.24)],
    [(0.00, -0.54), (0.00, -0.24)],
    [(0.20, -0.54), (0.20, -0.44), (0.12, -0.36), (0.12, -0.24)],
    [(0.20, -0.70), (0.28, -0.76), (0.46, -0.76), (0.52, -0.70), (0.52, -0.60)],
    [(0.68, -0.60), (0.76, -0.52), (0.76, 0.34), (0.68, 0.42)],
    [(0.30, -0.12), (0.46, -0.12), (0.52, -0.18), (0.52, -0.32), (0.60, -0.40)],
    [(0.30, 0.00), (0.62, 0.00), (0.68, 0.06), (0.68, 0.22)],
    [(0.30, 0.12), (0.42, 0.12), (0.46, 0.16), (0.46, 0.36), (0.52, 0.42)],
    [(0.12, 0.30), (0.12, 0.42), (0.20, 0.50), (0.44, 0.50), (0.52, 0.58)],
    [(0.00, 0.30), (0.00, 0.62)],
    [(-0.12, 0.30), (-0.12, 0.42), (-0.16, 0.46), (-0.16, 0.66), (-0.12, 0.70)],
    [(-0.44, 0.50), (-0.44, 0.58), (-0.36, 0.66), (-0.30, 0.66)],
    [(-0.62, 0.50), (-0.62, 0.68), (-0.54, 0.76), (-0.30, 0.76)],
]
VIAS = [
    (-0.28, -0.20),
    (0.60, -0.40),
    (0.68, 0.22),
    (0.00, 0.62),
    (-0.12, 0.70),
    (-0.30, 0.66),
    (-0.30, 0.76),
    (0.20, 0.74),
]
PITCH = 0.12  # of the controller's legs
LEGS = [(step * PITCH, y) for step in (-1, 0, 1) for y in (-0.24, 0.29)]
SIDE_LEGS = [(x, step * PITCH + 0.03) for step in (-1, 0, 1) for x in (-0.275, 0.275)]
LABELS = [("R1", -0.80, -0.58), ("R2", -0.80, -0.42), ("C1", -0.80, -0.27), ("J4", 0.30, 0.76), ("REV B", 0.00, 0.82)]
COLOURS = {  # from the bottom up
    "copper": "2f8a55", "print": "dfe6df", "pad": "d9b768", "hole": "14181a",
    "solder": "b9bdc2", "body": "26282b", "ceramic": "b08d62", "mark": "b4b8b6",
}  # fmt: skip
MASK_COLOUR = "14623c"


@dataclass(frozen=True)
class _Design:
    """The upright board: relief, reflectance, gloss; drawn once per size and missing component."""

    height: Field
    colour: Field
    gloss: Field


def draw_circuit(rng: np.random.Generator, size: int, fault: Fault | None = None) -> Surface:
    """A green board with a controller and chip components.

    Faults: a ``missing_component``, an ``open_trace``.
    """
    pose = Pose.near_centre(rng, turn=0.035)
    without = None
    if fault is not None and fault.name == "missing_component":
        without = int(fault.rng.integers(len(CHIPS)))
    design = _design(size, without)
    if fault is not None and fault.name == "open_trace":
        design = _interrupted(design, fault.rng)
    matrix = pose.matrix(size)
    height, colour, gloss = (
        cv2.warpAffine(field, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for field in (design.height, design.colour, design.gloss)
    )
    x, y = pose.coordinates(size)
    edge = rounded_box(x, y, 0.90, 0.90, 0.05)
    part = inside(edge)
    tone = 1 + 0.035 * noise(rng, size, 5) + 0.02 * noise(rng, size, 60)
    table = rgb("8d8f92") * (1 + 0.04 * noise(rng, size, 90) + 0.03 * noise(rng, size, 6))[..., None]
    return Surface(
        ((height + 0.05 + 0.01 * ramp(edge, 0.012)) * part).astype(np.float32),
        np.clip(blend(table, colour * tone[..., None], part), 0, 1).astype(np.float32),
        (gloss * part + 0.01).astype(np.float32),
        part,
    )


class _Layers:
    """Black canvases, one per material, on which an upright board is drawn in half frame widths."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.fine = FINE * size
        self.canvas = {name: np.zeros((self.fine, self.fine), np.uint8) for name in COLOURS}

    def at(self, x: float, y: float) -> tuple[int, int]:
        return round((x + 1) * self.fine / 2), round((y + 1) * self.fine / 2)

    def line(self, layer: str, points: Sequence[tuple[float, float]], width: float) -> None:
        pixels = np.array([self.at(x, y) for x, y in points])
        cv2.polylines(self.canvas[layer], [pixels], False, 255, max(1, round(width * self.fine)))

    def disc(self, layer: str, centre: tuple[float, float], radius: float) -> None:
        cv2.circle(self.canvas[layer], self.at(*centre), round(radius * self.fine), 255, -1)

    def box(self, layer: str, centre: tuple[float, float], box: tuple[float, float], outline: float = 0) -> None:
        """A filled box, or the outline of one."""
        (x, y), (width, height) = centre, box
        corners = self.at(x - width / 2, y - height / 2), self.at(x + width / 2, y + height / 2)
        thickness = max(1, round(outline * self.fine)) if outline else -1
        cv2.rectangle(self.canvas[layer], *corners, 255, thickness)

    def text(self, layer: str, text: str, centre: tuple[float, float], height: float, upright: bool = False) -> None:
        scale, thickness = height * self.fine / 44, max(1, round(height * self.fine / 18))
        (width, rise), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
        x, y = self.at(*centre)
        tile = np.zeros_like(self.canvas[layer])
        origin = (x - width // 2, y + rise // 2)
        cv2.putText(tile, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thickness, cv2.LINE_AA)
        if upright:
            tile = cv2.warpAffine(tile, cv2.getRotationMatrix2D((x, y), 90, 1), tile.shape)
        np.maximum(self.canvas[layer], tile, out=self.canvas[layer])

    def covers(self) -> dict[str, Field]:
        """How much of each pixel each material covers, ``float32 [S, S]``."""
        return {
            name: cv2.resize(canvas, (self.size, self.size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
            for name, canvas in self.canvas.items()
        }


@lru_cache(maxsize=2 * (len(CHIPS) + 1))
def _design(size: int, without: int | None) -> _Design:
    """The upright board, without one of its ``CHIPS`` if so asked."""
    layers = _Layers(size)
    _draw_copper(layers)
    _draw_controller(layers)
    for index, chip in enumerate(CHIPS):
        _draw_chip(layers, *chip, mounted=index != without)
    for text, x, y in LABELS:
        layers.text("print", text, (x, y), 0.034)

    cover = layers.covers()
    colour = np.broadcast_to(rgb(MASK_COLOUR), (size, size, 3))
    for name, code in COLOURS.items():
        colour = blend(colour, rgb(code), cover[name])
    soft = {name: cv2.GaussianBlur(field, (0, 0), size / 256 * 0.8) for name, field in cover.items()}
    raised = np.maximum(soft["body"] * 0.055, np.maximum(soft["ceramic"] * 0.05, soft["solder"] * 0.035))
    height = 0.006 * soft["copper"] + 0.004 * soft["pad"] + raised - 0.03 * soft["hole"]
    gloss = 0.10 + 0.25 * cover["pad"] + 0.30 * cover["solder"] - 0.06 * cover["body"]
    return _Design(height.astype(np.float32), colour.astype(np.float32), gloss.astype(np.float32))


def _draw_copper(layers: _Layers) -> None:
    for trace in TRACES:
        layers.line("copper", trace, 0.017)
    for via in VIAS:
        layers.disc("pad", via, 0.017)
        layers.disc("hole", via, 0.007)
    for corner in ((-0.80, -0.80), (0.80, -0.80), (-0.80, 0.80), (0.80, 0.80)):
        layers.disc("pad", corner, 0.032)
        layers.disc("hole", corner, 0.021)


def _draw_controller(layers: _Layers) -> None:
    for legs, pad, leg in ((LEGS, (0.062, 0.12), (0.040, 0.10)), (SIDE_LEGS, (0.12, 0.062), (0.10, 0.040))):
        for centre in legs:
            layers.box("pad", centre, pad)
            layers.box("solder", centre, leg)
    layers.box("body", (0, 0.025), (0.44, 0.42))
    layers.disc("mark", (-0.165, -0.13), 0.010)
    layers.text("mark", "SNL-42", (0, -0.005), 0.048)
    layers.text("mark", "2611 EDGE", (0, 0.085), 0.035)


def _draw_chip(layers: _Layers, x: float, y: float, upright: bool, kind: str, *, mounted: bool) -> None:
    def lying(length: float, width: float) -> tuple[float, float]:
        return (width, length) if upright else (length, width)

    for side in (-0.075, 0.075):
        layers.box("pad", (x, y + side) if upright else (x + side, y), lying(0.06, 0.085))
    layers.box("print", (x, y), lying(0.235, 0.119), outline=0.005)
    if not mounted:
        return
    layers.box("solder", (x, y), lying(0.16, 0.074))
    layers.box("body" if kind == "R" else "ceramic", (x, y), lying(0.09, 0.074))
    if kind == "R":
        layers.text("mark", "103", (x, y), 0.020, upright)


def _interrupted(design: _Design, rng: np.random.Generator) -> _Design:
    """The board with a gap etched into one straight piece of a trace."""
    size = design.height.shape[0]
    pieces = [(a, b) for trace in TRACES for a, b in pairwise(trace)]
    pieces = [(a, b) for a, b in pieces if np.hypot(b[0] - a[0], b[1] - a[1]) > 0.17]
    (ax, ay), (bx, by) = pieces[rng.integers(len(pieces))]
    along = rng.uniform(0.35, 0.65)
    x, y = Pose(float(np.arctan2(by - ay, bx - ax)), 1, ax + along * (bx - ax), ay + along * (by - ay)).coordinates(
        size
    )
    gap = inside(rounded_box(x, y, rng.uniform(0.022, 0.035), 0.024, 0.012))
    bare = rgb(MASK_COLOUR) * (1 - 0.1 * np.abs(y[..., None] * 20))
    return _Design(design.height * (1 - gap), blend(design.colour, bare, gap).astype(np.float32), design.gloss)
