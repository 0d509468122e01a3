"""Defects that happen to a finished surface; each alters a ``Surface`` in place.

They change relief, colour and gloss, not pixels: the same lamp then lights the defect and the part. Lengths
are in half frame widths, strengths are drawn from ranges that a careful eye finds and a hasty one may miss.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from .surface import Field, Surface, blend, grid, noise, rgb, rough

SurfaceDefect = Callable[[Surface, np.random.Generator], None]


def scratch(surface: Surface, rng: np.random.Generator, *, colour: str) -> None:
    """A shallow groove, slightly bent, that fades at its ends and shows ``colour`` underneath."""
    x, y = _place(surface, rng)
    heading, bend = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.5)
    line = _walk(x, y, heading, rng.uniform(0.35, 0.75), lambda t: bend + 0 * t)
    groove = _stroke(surface, line, rng.uniform(0.010, 0.016), taper=True) * surface.part
    surface.height[...] -= 0.008 * groove
    _paint(surface, rgb(colour), groove * rng.uniform(0.6, 0.9))


def crack(surface: Surface, rng: np.random.Generator, *, colour: str = "15110f") -> None:
    """A jagged dark line with one or two branches."""
    x, y = _place(surface, rng)
    heading = rng.uniform(0, 2 * np.pi)
    trunk = _jagged(rng, x, y, heading, rng.uniform(0.30, 0.50))
    cover = _stroke(surface, trunk, rng.uniform(0.010, 0.015), taper=True)
    for _ in range(rng.integers(1, 3)):
        bx, by = trunk[rng.integers(len(trunk) // 4, 3 * len(trunk) // 4)]
        turn = rng.choice([-1, 1]) * rng.uniform(0.5, 0.9)
        branch = _jagged(rng, bx, by, heading + turn, rng.uniform(0.10, 0.20))
        cover = np.maximum(cover, _stroke(surface, branch, 0.008, taper=True))
    cover = cover * surface.part
    surface.height[...] -= 0.02 * cover
    _paint(surface, rgb(colour), cover * 0.85)
    surface.gloss[...] *= 1 - cover


def dent(surface: Surface, rng: np.random.Generator, *, depth: float = 0.045) -> None:
    """A dimple with a slight rim: nothing but relief."""
    x, y = _place(surface, rng)
    radius = rng.uniform(0.055, 0.085)
    across, along = _around(surface, rng, x, y, rng.uniform(0.75, 1.0))
    r2 = (across**2 + along**2) / np.float32(radius**2)
    dimple = np.exp(-r2) - 0.28 * np.exp(-np.square(np.sqrt(r2) - 1.7) * 3)
    surface.height[...] -= np.float32(depth * rng.uniform(0.8, 1.15)) * dimple * surface.part


def stain(surface: Surface, rng: np.random.Generator, *, tint: str) -> None:
    """A dried drop that filters the colour below through ``tint``: irregular, with a darker edge."""
    x, y = _place(surface, rng)
    distance = _blob(surface, rng, x, y, radius=rng.uniform(0.10, 0.17), ragged=0.28)
    body = np.clip((1 - distance) * 6, 0, 1)
    edge = np.exp(-np.square((distance - 0.88) * 7))
    cover = np.clip(body * (0.72 + 0.10 * noise(rng, surface.size, 20)) + 0.35 * edge, 0, 1) * surface.part
    film = rgb(tint) * (surface.colour + 0.02)
    _paint(surface, film, cover * np.float32(rng.uniform(0.75, 1.0)))


def rust(surface: Surface, rng: np.random.Generator) -> None:
    """Patchy corrosion: rough, matt and orange-brown."""
    x, y = _place(surface, rng)
    distance = _blob(surface, rng, x, y, radius=rng.uniform(0.13, 0.20), ragged=0.45)
    grain = rough(rng, surface.size, 34, 3)
    cover = np.clip((1 - distance) * 2.2 + 0.55 * grain, 0, 1) * np.clip((1.25 - distance) * 4, 0, 1) * surface.part
    tone = rgb("8a4a22") * (1 + 0.25 * noise(rng, surface.size, 60))[..., None]
    surface.height[...] += 0.004 * grain * cover
    _paint(surface, tone, cover * rng.uniform(0.65, 0.85))
    surface.gloss[...] *= 1 - 0.9 * cover


def hole(surface: Surface, rng: np.random.Generator, *, radius: float = 0.05, fray: float = 0.25) -> None:
    """A hole through the material, with a torn edge."""
    x, y = _place(surface, rng)
    distance = _blob(surface, rng, x, y, radius=radius * rng.uniform(0.85, 1.25), ragged=fray)
    cover = np.clip((1 - distance) * 4, 0, 1) * surface.part
    lip = np.exp(-np.square((distance - 1.15) * 4)) * surface.part
    surface.height[...] += 0.010 * lip - 0.06 * cover
    _paint(surface, rgb("17130f"), cover * 0.94)
    surface.gloss[...] *= 1 - cover


def fibre(surface: Surface, rng: np.random.Generator, *, colour: str) -> None:
    """A hair or lint that lies curled on the part and throws a small shadow."""
    x, y = _place(surface, rng)
    curl, phase, waves = rng.choice([-1, 1]) * rng.uniform(1, 7), rng.uniform(0, 2 * np.pi), rng.uniform(6, 14)
    length = rng.uniform(0.45, 0.85)
    line = _walk(x, y, rng.uniform(0, 2 * np.pi), length, lambda t: curl + 11 * np.cos(waves * t + phase))
    thread = _stroke(surface, line, rng.uniform(0.009, 0.013), taper=False)
    _cast_shadow(surface, thread, 0.018, 0.45)
    surface.height[...] += 0.012 * thread
    _paint(surface, rgb(colour), thread * 0.9)


def debris(surface: Surface, rng: np.random.Generator, *, colour: str) -> None:
    """A few chips of foreign material that lie on the part."""
    x, y = _place(surface, rng)
    for index in range(int(rng.integers(2, 5))):
        dx, dy = rng.normal(0, 0.05, 2) * (index > 0)
        distance = _blob(surface, rng, x + dx, y + dy, radius=rng.uniform(0.022, 0.036), ragged=0.35)
        cover = np.clip((1 - distance) * 2.5, 0, 1)
        _cast_shadow(surface, cover, 0.022, 0.5)
        surface.height[...] += 0.022 * cover
        _paint(surface, rgb(colour) * np.float32(rng.uniform(0.75, 1.3)), cover)
        surface.gloss[...] += (0.15 - surface.gloss) * cover


dark_fibre, pale_fibre, blue_fibre = (partial(fibre, colour=code) for code in ("221d1c", "e9e6de", "274a8c"))


def _place(surface: Surface, rng: np.random.Generator) -> tuple[float, float]:
    """A point well on the part and away from the border of the frame."""
    x, y = grid(surface.size)
    solid = cv2.erode(surface.part, np.ones((3, 3)), iterations=max(1, surface.size // 64))
    spots = np.flatnonzero((solid > 0.9) & (np.abs(x) < 0.82) & (np.abs(y) < 0.82))
    spot = spots[rng.integers(len(spots))]
    return float(x.flat[spot]), float(y.flat[spot])


def _paint(surface: Surface, colour: Field, cover: Field) -> None:
    surface.colour[...] = blend(surface.colour, colour, np.asarray(cover, np.float32))


def _cast_shadow(surface: Surface, cover: Field, reach: float, strength: float) -> None:
    pixels = reach * surface.size / 2
    thrown = cv2.warpAffine(cover, np.array([[1, 0, pixels], [0, 1, pixels]]), cover.shape[::-1])
    thrown = cv2.GaussianBlur(thrown, (0, 0), max(0.5, pixels * 0.6))
    surface.colour[...] *= (1 - strength * np.clip(thrown * (1 - cover), 0, 1))[..., None]


def _around(surface: Surface, rng: np.random.Generator, cx: float, cy: float, aspect: float) -> tuple[Field, Field]:
    """Coordinates around a point, randomly turned, the second axis stretched by ``1 / aspect``."""
    x, y = grid(surface.size)
    turn = rng.uniform(0, np.pi)
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    x, y = x - np.float32(cx), y - np.float32(cy)
    return cos * x + sin * y, (cos * y - sin * x) * np.float32(1 / aspect)


def _blob(surface: Surface, rng: np.random.Generator, cx: float, cy: float, *, radius: float, ragged: float) -> Field:
    """Distance from a point over the radius of a random outline: below 1 is inside."""
    across, along = _around(surface, rng, cx, cy, rng.uniform(0.7, 1.0))
    angle = np.arctan2(along, across)
    outline = np.ones_like(angle)
    for waves in range(2, 8):
        outline += np.float32(ragged * rng.normal() / waves) * np.cos(waves * angle + np.float32(rng.uniform(0, 6.3)))
    return np.hypot(across, along) / (np.float32(radius) * np.clip(outline, 0.45, 1.8))


def _walk(
    x: float, y: float, heading: float, length: float, curvature: Callable[[NDArray], NDArray]
) -> NDArray[np.float64]:
    """A smooth line ``[N, 2]`` through ``(x, y)`` at its middle; ``curvature`` over 0…1 in turns per unit."""
    t = np.linspace(0, 1, 60)
    turned = heading + np.cumsum(curvature(t)) * length / len(t)
    steps = np.stack([np.cos(turned), np.sin(turned)], axis=-1) * (length / len(t))
    line = np.cumsum(steps, axis=0)
    return line - line[len(t) // 2] + [x, y]


def _jagged(rng: np.random.Generator, x: float, y: float, heading: float, length: float) -> NDArray[np.float64]:
    """A line ``[N, 2]`` from ``(x, y)`` that keeps its heading but turns sharply on the way."""
    steps = max(6, int(length / 0.022))
    turned = heading + np.convolve(rng.normal(0, 0.75, steps), [0.5, 0.3, 0.2], "same")
    line = np.cumsum(np.stack([np.cos(turned), np.sin(turned)], axis=-1), axis=0) * (length / steps)
    return line + np.array([x, y])


def _stroke(surface: Surface, line: NDArray[np.float64], width: float, taper: bool) -> Field:
    """Coverage of a line of ``width``; drawn finer, so that widths below a pixel keep their weight."""
    size, fine = surface.size, 4
    points = np.round((line + 1) * (size * fine / 2)).astype(np.int32)
    low = np.clip(points.min(0) // fine - 4, 0, size - 1)
    high = np.clip(points.max(0) // fine + 5, low + 1, size)
    canvas = np.zeros(((high[1] - low[1]) * fine, (high[0] - low[0]) * fine), np.uint8)
    thickness = width * size * fine / 2
    for index, (start, end) in enumerate(pairwise(points)):
        along = (index + 0.5) / (len(points) - 1)
        local = thickness * (min(1.0, 0.25 + 3 * min(along, 1 - along)) if taper else 1.0)
        a, b = ((p - low * fine).tolist() for p in (start, end))
        cv2.line(canvas, a, b, 255, max(1, round(local)))
    cover = np.zeros((size, size), np.float32)
    shrunk = cv2.resize(canvas, tuple((high - low).tolist()), interpolation=cv2.INTER_AREA)
    cover[low[1] : high[1], low[0] : high[0]] = shrunk.astype(np.float32) / 255
    return cover
