"""A part before light falls on it: relief, colour and gloss of everything in the frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating]  # float32 wherever it is kept


@dataclass(frozen=True)
class Surface:
    """What the camera looks down upon; lengths are in half frame widths, so that any size draws the same.

    Attributes:
        height: ``float32 [S, S]``, the relief above the table.
        colour: ``float32 [S, S, 3]``, linear RGB reflectance.
        gloss: ``float32 [S, S]``, strength of the specular reflection.
        part: ``float32 [S, S]``, how much of each pixel the part covers; defects lie on the part.
    """

    height: Field
    colour: Field
    gloss: Field
    part: Field

    @property
    def size(self) -> int:
        """Width and height in pixels."""
        return self.height.shape[0]

    def copy(self) -> Surface:
        """A surface that can be altered without touching this one."""
        return replace(self, height=self.height.copy(), colour=self.colour.copy(), gloss=self.gloss.copy())


@dataclass(frozen=True)
class Fault:
    """A defect that is a matter of how the part is built: its name, and what decides where and how much."""

    name: str
    rng: np.random.Generator


def rgb(code: str) -> Field:
    """Linear reflectance of a colour written as hexadecimal sRGB, with gamma taken as 2."""
    return (np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)], np.float32) / 255) ** 2


@lru_cache(maxsize=4)
def grid(size: int) -> tuple[Field, Field]:
    """Pixel centres ``(x, y)``, each ``float32 [S, S]`` in -1…1; x runs right, y down."""
    axis = ((np.arange(size) + 0.5) * (2 / size) - 1).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    x.setflags(write=False)
    y.setflags(write=False)
    return x, y


@dataclass(frozen=True)
class Pose:
    """Where the part lies in the frame: turned by ``angle`` radians, then scaled, then shifted."""

    angle: float
    scale: float
    dx: float
    dy: float

    @staticmethod
    def near_centre(rng: np.random.Generator, turn: float = 0.06, shift: float = 0.025) -> Pose:
        """A part in its fixture: turned by up to ``turn`` radians and shifted by up to ``shift``."""
        angle, dx, dy = rng.uniform(-1, 1, 3) * (turn, shift, shift)
        return Pose(float(angle), float(rng.uniform(0.985, 1.015)), float(dx), float(dy))

    def coordinates(self, size: int) -> tuple[Field, Field]:
        """The part's own coordinates ``(x, y)`` of every pixel, ``float32 [S, S]``."""
        x, y = grid(size)
        cos, sin = np.float32(np.cos(self.angle) / self.scale), np.float32(np.sin(self.angle) / self.scale)
        x, y = x - np.float32(self.dx), y - np.float32(self.dy)
        return cos * x + sin * y, cos * y - sin * x

    def matrix(self, size: int) -> NDArray[np.float64]:
        """The affine map ``[2, 3]`` from pixels of an upright drawing to pixels of the frame."""
        cos, sin = np.cos(self.angle) * self.scale, np.sin(self.angle) * self.scale
        half = (size - 1) / 2
        shift = np.array([self.dx, self.dy]) * size / 2 + half
        linear = np.array([[cos, -sin], [sin, cos]])
        return np.column_stack([linear, shift - linear @ [half, half]])


def noise(rng: np.random.Generator, size: int, cells: float, stretch: float = 1.0) -> Field:
    """Smooth noise ``float32 [S, S]``, deviation about 0.6: ``cells`` bumps down, ``cells / stretch`` across."""
    rows, columns = max(2, round(cells)), max(2, round(cells / stretch))
    values = rng.standard_normal((rows + 2, columns + 2), np.float32)
    return cv2.resize(values, (size, size), interpolation=cv2.INTER_CUBIC)  # pyright: ignore[reportReturnType]


def rough(rng: np.random.Generator, size: int, cells: float, octaves: int = 3) -> Field:
    """Fractal noise: ``octaves`` layers of ``noise``, each twice as fine and half as strong."""
    layers = [noise(rng, size, cells * 2**i) * np.float32(0.5**i) for i in range(octaves)]
    return np.asarray(np.sum(layers, axis=0, dtype=np.float32))


def profile(rng: np.random.Generator, radius: Field, rings: int) -> Field:
    """Noise that depends on ``radius`` alone, like the marks of a lathe; about ``rings`` per unit."""
    steps = rings * 2
    values = rng.standard_normal(steps + 1).astype(np.float32)
    return values[np.clip(radius * rings, 0, steps).astype(np.intp)]


def inside(distance: Field) -> Field:
    """Coverage 0…1 of a shape given by its signed distance (negative within), antialiased over one pixel."""
    return np.clip(np.float32(0.5) - distance * np.float32(distance.shape[0] / 2), 0, 1)


def ramp(distance: Field, width: float) -> Field:
    """0 at the edge of a shape and outside, 1 from ``width`` inwards on, rounded like a quarter circle."""
    t = np.clip(distance * np.float32(-1 / width), 0, 1)
    return np.sqrt(t * (2 - t))


def rounded_box(x: Field, y: Field, half_width: float, half_height: float, radius: float) -> Field:
    """Signed distance to a rectangle with rounded corners."""
    outside_x = np.abs(x) - np.float32(half_width - radius)
    outside_y = np.abs(y) - np.float32(half_height - radius)
    corner = np.hypot(np.maximum(outside_x, 0), np.maximum(outside_y, 0))
    return corner + np.minimum(np.maximum(outside_x, outside_y), 0) - np.float32(radius)


def blend(below: Field, above: Field, alpha: Field) -> Field:
    """``above`` over ``below`` with coverage ``alpha [S, S]``; colours or plain fields."""
    weight = alpha[..., None] if below.ndim == 3 and alpha.ndim == 2 else alpha
    return below + (above - below) * weight
