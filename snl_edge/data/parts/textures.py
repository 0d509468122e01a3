"""Endless materials that fill the frame: twill cloth, leather and planed wood."""

from __future__ import annotations

import cv2
import numpy as np

from .surface import Fault, Field, Pose, Surface, noise, rgb, rough

THREADS = 46  # across the frame, in both directions
PEBBLES = 44


def draw_textile(rng: np.random.Generator, size: int, fault: Fault | None = None) -> Surface:
    """A 2/2 twill of blue warp and pale weft; its fault is a ``missing_thread``."""
    pose = Pose.near_centre(rng, turn=0.03, shift=0.05)
    x, y = pose.coordinates(size)
    pitch = 2 / THREADS
    u = (x + 0.012 * noise(rng, size, 4)) / pitch + 200
    v = (y + 0.012 * noise(rng, size, 4)) / pitch + 200
    column, row = np.floor(u).astype(np.int32), np.floor(v).astype(np.int32)
    across, along = np.mod(u, 1) - 0.5, np.mod(v, 1) - 0.5  # -0.5…0.5 within a thread

    warp_up = np.mod(column - row, 4) < 2
    thickness = rng.normal(0, 1, (2, 400)).astype(np.float32)
    gone = np.zeros_like(warp_up)
    if fault is not None:
        pick = 200 + int(fault.rng.integers(-THREADS // 3, THREADS // 3))
        start = fault.rng.uniform(-0.7, 0.1)
        gone = (row == pick) & (x > start) & (x < start + fault.rng.uniform(0.45, 0.8))
        warp_up = warp_up | gone
    warp_round = np.sqrt(np.clip(1 - np.square(2.1 * across), 0, 1))
    weft_round = np.sqrt(np.clip(1 - np.square(2.1 * along), 0, 1))
    # A thread dives at the ends of its float of two.
    warp_bow = np.cos(np.pi * (np.mod(v - column.astype(np.float32), 2) - 1) * 0.5) * 0.5
    weft_bow = np.cos(np.pi * (np.mod(u - row.astype(np.float32), 2) - 1) * 0.5) * 0.5
    relief = np.where(warp_up, 0.35 * warp_round + 0.35 * warp_bow, 0.35 * weft_round + 0.35 * weft_bow)
    relief = np.where(gone, relief - 0.35, relief)

    fibre = np.where(warp_up, noise(rng, size, 40, 0.3), noise(rng, size, 120, 3.0))
    slub = np.where(warp_up, thickness[0][column % 400], thickness[1][row % 400])
    tone = (1 + 0.05 * slub + 0.07 * fibre + 0.03 * noise(rng, size, 5)) * (0.55 + 0.45 * np.clip(relief * 2, 0, 1))
    colour = np.where(warp_up[..., None], rgb("39527d"), rgb("c3bda9")) * tone[..., None]
    return _fill(relief * pitch * 0.62 + 0.004 * noise(rng, size, 5), colour, 0.03)


def draw_leather(rng: np.random.Generator, size: int, fault: Fault | None = None) -> Surface:
    """Full-grain leather: pebbles of varying size between fine creases, slightly glossy."""
    del fault
    rows, columns = np.mgrid[:PEBBLES, :PEBBLES] + rng.uniform(0, 0.95, (2, PEBBLES, PEBBLES))
    py, px = (np.stack([rows, columns]) * (size / PEBBLES)).astype(np.intp)
    empty = np.full((size, size), 255, np.uint8)
    empty[py, px] = 0
    distance = cv2.distanceTransform(empty, cv2.DIST_L2, 3) * np.float32(2 / size)
    distance = cv2.GaussianBlur(distance, (0, 0), size / 256 * 0.6)
    pebble = np.clip(1 - np.square(distance / np.float32(0.047)), 0, 1)  # domes that meet in sharp creases
    folds = rough(rng, size, 9, 3)
    height = 0.0105 * pebble * (1 + 0.25 * folds) + 0.0018 * folds + 0.0025 * noise(rng, size, 3)
    tone = 0.25 + 0.72 * pebble + 0.05 * folds + 0.05 * noise(rng, size, 4)
    colour = rgb("8a5130") * tone[..., None] * np.array([1.0, 0.98, 0.95], np.float32)
    return _fill(height, colour, 0.13)


def draw_wood(rng: np.random.Generator, size: int, fault: Fault | None = None) -> Surface:
    """Planed oak: growth rings cut lengthwise, pores, and rays."""
    del fault
    pose = Pose.near_centre(rng, turn=0.05, shift=0.5)
    x, y = pose.coordinates(size)
    bend = 0.06 * noise(rng, size, 2, 0.5) + 0.012 * noise(rng, size, 3, 0.15)
    ring = (x + bend + 0.5 * np.square(y * 0.5 + rng.uniform(-0.4, 0.4))) * 6.5 + 20
    position = np.mod(ring, 1)
    years = rng.normal(0, 1, 60).astype(np.float32)[np.clip(ring, 0, 58).astype(np.intp)]
    # Late wood darkens slowly towards the end of each year and stops at once.
    late = (np.power(position, 2.2) * (0.85 + 0.2 * years)) * np.clip((1 - position) * 14, 0, 1)
    fibre = 0.6 * noise(rng, size, 10, 0.07) + 0.5 * noise(rng, size, 24, 0.11)
    pores = np.clip(1.6 * (noise(rng, size, 28, 0.12) - 0.95 - 0.7 * position), 0, 1)  # in the early wood
    tone = 1 + 0.075 * fibre + 0.04 * noise(rng, size, 3)
    colour = rgb("d3a878") + (rgb("96653a") - rgb("d3a878")) * np.clip(late, 0, 1)[..., None]
    colour = colour * (tone * (1 - 0.38 * pores))[..., None]
    return _fill(0.0012 * fibre - 0.003 * pores + 0.001 * late, colour, 0.06)


def _fill(height: Field, colour: Field, gloss: float) -> Surface:
    ones = np.ones(height.shape, np.float32)
    return Surface(height.astype(np.float32), np.clip(colour, 0, 1).astype(np.float32), gloss * ones, ones)
