"""Packaging: a blister of capsules and a printed bottle cap."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from .surface import Fault, Field, Pose, Surface, blend, inside, noise, ramp, rgb, rounded_box

POCKETS = [(x, y) for y in (-0.585, -0.195, 0.195, 0.585) for x in (-0.365, 0.365)]
CAPSULE = (0.215, 0.094)  # half length of the straight part with one end, radius


def draw_blister(rng: np.random.Generator, size: int, fault: Fault | None = None) -> Surface:
    """Eight two-coloured capsules in an aluminium blister.

    Faults: a ``missing_capsule``, a ``wrong_capsule`` of another colour.
    """
    pose = Pose.near_centre(rng, turn=0.05)
    x, y = pose.coordinates(size)
    card = rounded_box(x, y, 0.80, 0.87, 0.09)
    part = inside(card)

    # Knurled foil: two families of fine grooves.
    knurl = np.sin((x + y) * 92) * np.sin((x - y) * 92)
    height = 0.02 * part + 0.0032 * knurl + 0.006 * noise(rng, size, 7) + 0.01 * ramp(card, 0.02)
    foil = 0.50 + 0.02 * knurl + 0.05 * noise(rng, size, 5) + 0.04 * noise(rng, size, 24)
    colour = foil[..., None] * np.array([0.98, 1.0, 1.03], np.float32)
    gloss = np.full_like(height, 0.30)

    odd = -1 if fault is None else int(fault.rng.integers(len(POCKETS)))
    for index, (px, py) in enumerate(POCKETS):
        missing = index == odd and fault is not None and fault.name == "missing_capsule"
        wrong = index == odd and fault is not None and fault.name == "wrong_capsule"
        # All drawn before anything is left out, so that a fault changes nothing else.
        jitter, turn, end = rng.uniform(-0.012, 0.012, 2), rng.uniform(-0.07, 0.07), rng.integers(2) * 2 - 1
        tint = np.float32(1 + 0.02 * rng.standard_normal())
        window = _window(pose, px, py, size)
        u, v = x[window] - np.float32(px), y[window] - np.float32(py)
        pocket = rounded_box(u, v, 0.31, 0.165, 0.16)
        in_pocket = inside_of(pocket, size)
        colour[window] = blend(colour[window], colour[window] * np.float32(0.62) + 0.03, in_pocket)
        dome = ramp(pocket, 0.06)
        height[window] = height[window] * (1 - in_pocket) + in_pocket * (0.02 - 0.035 * dome)
        gloss[window] = blend(gloss[window], np.full_like(u, 0.10), in_pocket)
        if missing:
            continue
        u, v = u - np.float32(jitter[0]), v - np.float32(jitter[1])
        u, v = u + np.float32(turn) * v, v - np.float32(turn) * u
        length, radius = CAPSULE
        reach = np.maximum(np.abs(u) - np.float32(length - radius + 0.03), 0)
        cap = (u * end) > 0
        shell = np.hypot(reach, v) - np.where(cap, radius + 0.008, radius).astype(np.float32)
        cover = inside_of(shell, size)
        round_ = np.sqrt(np.clip(1 - np.square(np.clip(shell + radius, 0, radius) / radius), 0, 1))
        tones = (rgb("7a2f8f"), rgb("f0d9e6")) if wrong else (rgb("b8322c"), rgb("f1ead8"))
        skin = np.where(cap[..., None], tones[0], tones[1]) * tint
        colour[window] = blend(colour[window], skin.astype(np.float32), cover)
        height[window] = blend(height[window], 0.03 + 0.085 * round_, cover)
        gloss[window] = blend(gloss[window], np.full_like(u, 0.55), cover)

    tone = 1 + 0.05 * noise(rng, size, 50) + 0.03 * noise(rng, size, 6)
    table = rgb("3f6f7d") * tone[..., None]
    return Surface(
        (height * part).astype(np.float32),
        np.clip(blend(table, colour, part), 0, 1).astype(np.float32),
        (gloss * part + 0.02).astype(np.float32),
        part,
    )


def draw_cap(rng: np.random.Generator, size: int, fault: Fault | None = None) -> Surface:
    """A ribbed plastic bottle cap with a printed emblem; its fault is a ``misprint``."""
    pose = Pose.near_centre(rng, turn=0.15)
    x, y = pose.coordinates(size)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    ribs = np.cos(angle * 72)
    outline = radius - np.float32(0.80) - 0.009 * ribs
    part = inside(outline)
    skirt = np.clip((radius - 0.715) / 0.085, 0, 1)  # 0 on the top, 1 at the rim
    height = 0.22 - 0.16 * skirt * skirt + 0.016 * ribs * np.clip((radius - 0.72) * 30, 0, 1)
    ring = np.abs(radius - 0.655)
    height = height + 0.014 * np.clip(1 - ring / 0.028, 0, 1) - 0.012 * ramp(radius - 0.60, 0.05)
    height = height + 0.0006 * noise(rng, size, 30) + 0.0008 * noise(rng, size, 6)

    plastic = rgb("1c63a8") * (1 + 0.02 * noise(rng, size, 5))[..., None]
    emblem = _emblem(size)
    shift = pose.matrix(size)
    shift[:, 2] += rng.uniform(-0.004, 0.004, 2) * size
    ink = np.asarray(cv2.warpAffine(emblem, shift, (size, size), flags=cv2.INTER_LINEAR), np.float32)
    if fault is not None:
        ink = _misprint(fault.rng, ink)
    ink = ink * (0.95 + 0.03 * noise(rng, size, 90))
    colour = blend(plastic.astype(np.float32), rgb("f2f1ea") * np.ones((1, 1, 1), np.float32), np.clip(ink, 0, 1))
    weave = np.sin(x * 150 + 2 * pose.dx) * np.sin(y * 150)
    belt = rgb("c9c6bd") * (1 + 0.035 * weave + 0.04 * noise(rng, size, 6))[..., None]
    return Surface(
        (height * part + 0.0012 * weave * (1 - part)).astype(np.float32),
        np.clip(blend(belt, colour, part), 0, 1).astype(np.float32),
        (0.02 + 0.33 * part).astype(np.float32),
        part,
    )


@lru_cache(maxsize=4)
def _emblem(size: int) -> Field:
    """The print of an upright cap, ``float32 [S, S]``: a drop over waves, with lettering on a ring around."""
    fine = 4 * size
    canvas = np.zeros((fine, fine), np.uint8)

    def at(px: float, py: float) -> tuple[int, int]:
        return round((px + 1) * fine / 2), round((py + 1) * fine / 2)

    t = np.linspace(0, 2 * np.pi, 200)
    drop = np.stack([0.165 * np.sin(t) * np.sin(t / 2) ** 1.1, -0.06 - 0.235 * np.cos(t)], axis=-1)
    cv2.fillPoly(canvas, [np.array([at(*p) for p in drop])], 255)
    waves = np.linspace(-0.27, 0.27, 80)
    for level in (0.255, 0.335):
        line = [at(px * (1 - 1.1 * (level - 0.255)), level + 0.022 * np.sin(px * 26)) for px in waves]
        cv2.polylines(canvas, [np.array(line)], False, 255, round(0.017 * fine))
    cv2.circle(canvas, at(0, 0), round(0.232 * fine), 255, round(0.006 * fine), cv2.LINE_AA)
    letters = "FONTE ALTA * 500 ML * "
    for index, letter in enumerate(letters):
        turn = 360 * index / len(letters)
        tile = np.zeros_like(canvas)
        (width, _), _ = cv2.getTextSize(letter, cv2.FONT_HERSHEY_DUPLEX, fine / 620, round(fine / 340))
        origin = (at(0, 0)[0] - width // 2, at(0, -0.497)[1])
        cv2.putText(tile, letter, origin, cv2.FONT_HERSHEY_DUPLEX, fine / 620, 255, round(fine / 340), cv2.LINE_AA)
        turned = cv2.getRotationMatrix2D(at(0, 0), -turn, 1)
        canvas = np.maximum(canvas, cv2.warpAffine(tile, turned, (fine, fine)))
    small = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / 255


def _misprint(rng: np.random.Generator, ink: Field) -> Field:
    """Ink that did not take in one place, or was smeared."""
    size = ink.shape[0]
    spots = np.argwhere(ink > 0.8)
    cy, cx = spots[rng.integers(len(spots))]
    rows, columns = np.mgrid[:size, :size].astype(np.float32) * (2 / size)
    reach = rng.uniform(0.14, 0.22)
    near = np.hypot(columns - cx * 2 / size, rows - cy * 2 / size) / reach + 0.35 * noise(rng, size, 26)
    patch = np.clip((1 - near) * 4, 0, 1)
    if rng.random() < 0.5:
        return ink * (1 - patch)
    shift = np.array([[1, 0, rng.uniform(0.02, 0.035) * size], [0, 1, rng.uniform(-0.02, 0.02) * size]])
    streak = cv2.blur(cv2.warpAffine(ink, shift, (size, size)), (max(1, size // 24), max(1, size // 80)))
    return np.maximum(ink, 0.8 * streak * np.clip((1.5 - near) * 2, 0, 1))


def inside_of(distance: Field, size: int) -> Field:
    """Coverage like ``inside`` for a window of a frame of ``size`` pixels."""
    return np.clip(np.float32(0.5) - distance * np.float32(size / 2), 0, 1)


def _window(pose: Pose, px: float, py: float, size: int) -> tuple[slice, slice]:
    """The pixels that a pocket at the part's ``(px, py)`` can touch."""
    cos, sin = np.cos(pose.angle) * pose.scale, np.sin(pose.angle) * pose.scale
    cx, cy = (cos * px - sin * py + pose.dx + 1) * size / 2, (sin * px + cos * py + pose.dy + 1) * size / 2
    half_x, half_y = 0.36 * size / 2, 0.21 * size / 2
    return (
        slice(max(0, int(cy - half_y)), min(size, int(cy + half_y) + 1)),
        slice(max(0, int(cx - half_x)), min(size, int(cx + half_x) + 1)),
    )
