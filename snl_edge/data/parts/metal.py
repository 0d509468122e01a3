"""Machined parts: a spur gear and a hexagon nut."""

from __future__ import annotations

import numpy as np

from .surface import Fault, Field, Pose, Surface, blend, grid, inside, noise, profile, ramp, rgb, rough

TEETH = 22
ROOT, TIP = 0.70, 0.84


def draw_gear(rng: np.random.Generator, size: int, fault: Fault | None = None) -> Surface:
    """A turned and milled steel gear on a dark mat; its fault is a ``missing_tooth``."""
    pose = Pose.near_centre(rng, turn=np.pi / TEETH)
    x, y = pose.coordinates(size)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)

    pitch = 2 * np.pi / TEETH
    from_middle = np.abs(np.mod(angle + pitch / 2, pitch) - pitch / 2)
    flank = (from_middle - pitch * (0.33 - 1.05 * (radius - ROOT))) * radius
    tooth = np.maximum(flank, radius - TIP)
    if fault is not None and fault.name == "missing_tooth":
        tooth = np.maximum(tooth, _broken_off(fault.rng, angle, radius))
    outline = np.minimum(tooth, radius - ROOT)
    keyway = np.maximum(np.abs(x) - 0.052, np.abs(y + 0.17) - 0.09)
    bore = np.minimum(radius - 0.175, keyway)
    turn = 2 * np.pi / 6
    sector = np.mod(angle + turn / 2, turn) - turn / 2
    holes = np.hypot(radius * np.cos(sector) - 0.455, radius * np.sin(sector)) - 0.083
    void = np.minimum(bore, holes)
    solid = np.maximum(outline, -void)

    web = np.maximum(radius - 0.605, 0.30 - radius)  # the recessed ring between hub and rim
    part = inside(solid)
    height = part * 0.10 + 0.022 * ramp(solid, 0.03) - 0.030 * ramp(web, 0.035)
    lathe = profile(rng, radius, size // 3) * np.where(web < 0, np.float32(1.0), np.float32(0.6))
    # Turned faces reflect a lamp as two opposite fans, whatever the part's own turn.
    gx, gy = grid(size)
    fan = np.cos(2 * (np.arctan2(gy - pose.dy, gx - pose.dx) - np.pi / 4 - 0.06 * rng.standard_normal()))
    shade = 0.36 + 0.15 * fan * np.abs(fan) + 0.022 * lathe + 0.012 * rough(rng, size, 24, 2)
    shade = shade * np.where(web < 0, np.float32(0.80), np.float32(1.0))
    steel = shade[..., None].astype(np.float32) * np.array([1.0, 1.005, 1.02], np.float32)
    mat = _mat(rng, size, "2e3338", 0.012)
    return _place(mat, part, height, steel, gloss=0.34)


def draw_nut(rng: np.random.Generator, size: int, fault: Fault | None = None) -> Surface:
    """A brass hexagon nut on a light plate; its fault is a ``damaged_thread``."""
    pose = Pose.near_centre(rng, turn=0.12)
    x, y = pose.coordinates(size)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)

    sector = np.mod(angle, np.pi / 3) - np.pi / 6
    hexagon = radius * np.cos(sector) - 0.66
    chamfer = radius - 0.655  # the face is round; the corners fall off like a cone
    part = inside(np.maximum(hexagon, 0.235 - radius))
    height = 0.12 + 0.03 * ramp(hexagon, 0.03) - 0.42 * np.clip(chamfer, 0, 0.2)
    height = part * (height - 0.55 * np.clip(0.395 - radius, 0, 0.06))

    depth = np.clip((0.345 - radius) / 0.11, 0, 1)  # 0 at the mouth of the bore, 1 at its end in sight
    phase = 3.2 * np.power(depth, 0.8) * 2 * np.pi + angle
    flanks = np.cos(phase)
    worn = np.zeros_like(flanks)
    if fault is not None and fault.name == "damaged_thread":
        worn = _worn(fault.rng, angle, size)
        flanks = flanks * (1 - worn) + worn * (0.35 + 0.5 * noise(fault.rng, size, 46))
    in_bore = inside(radius - 0.345)
    facing = 0.62 - 0.38 * np.cos(angle - 1.25 * np.pi)  # the far wall of the bore sees the lamp
    wall = (0.09 + 0.34 * np.clip(0.5 + 0.5 * flanks, 0, 1) * facing) * (1 - 0.55 * depth)

    gx, gy = grid(size)
    fan = np.cos(2 * (np.arctan2(gy - pose.dy, gx - pose.dx) - np.pi / 4))
    shade = 0.46 + 0.07 * fan + 0.014 * profile(rng, radius, size // 4) + 0.022 * rough(rng, size, 14, 3)
    brass = shade[..., None].astype(np.float32) * np.array([1.16, 0.93, 0.50], np.float32)
    brass = blend(brass, wall[..., None].astype(np.float32) * np.array([1.1, 0.85, 0.45], np.float32), in_bore)
    plate = _mat(rng, size, "a9adb0", 0.006)
    surface = _place(plate, part, height, brass, gloss=0.28)
    surface.gloss[...] *= 1 - 0.8 * in_bore
    return surface


def _mat(rng: np.random.Generator, size: int, colour: str, relief: float) -> Surface:
    """The table: one colour, slightly rough."""
    bumps = noise(rng, size, size / 2.2) * 0.5 + noise(rng, size, 40) * 0.5
    tone = 1 + 0.05 * bumps + 0.03 * noise(rng, size, 5)
    field = np.zeros((size, size), np.float32)
    return Surface(bumps * np.float32(relief * 0.25), rgb(colour) * tone[..., None], field + 0.02, field)


def _place(table: Surface, part: Field, height: Field, colour: Field, gloss: float) -> Surface:
    part = part.astype(np.float32)
    return Surface(
        (table.height * (1 - part) + height).astype(np.float32),
        blend(table.colour, np.clip(colour, 0, 1), part).astype(np.float32),
        (table.gloss + (gloss - table.gloss) * part).astype(np.float32),
        part,
    )


def _broken_off(rng: np.random.Generator, angle: Field, radius: Field) -> Field:
    """Signed distance to what is left of one tooth: its stump has a ragged, slanting edge."""
    tooth = 2 * np.pi / TEETH * rng.integers(TEETH)
    offset = np.mod(angle - tooth + np.pi, 2 * np.pi) - np.pi
    slant = rng.uniform(-0.25, 0.25) * offset + 0.006 * np.sin(angle * 90 + rng.uniform(0, 6))
    left_over = radius - (ROOT + rng.uniform(0.005, 0.06) + slant)
    return np.where(np.abs(offset) < np.pi / TEETH, left_over, np.float32(-1))


def _worn(rng: np.random.Generator, angle: Field, size: int) -> Field:
    """1 over a stretch of the thread where its flanks are crushed."""
    middle, half = rng.uniform(-np.pi, np.pi), rng.uniform(0.3, 0.55)
    offset = np.abs(np.mod(angle - middle + np.pi, 2 * np.pi) - np.pi)
    return np.clip((half - offset) / 0.12 + 0.2 * noise(rng, size, 20), 0, 1)
