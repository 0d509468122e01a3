"""A synthetic production line: eight products drawn from a seed, with defects and exact masks.

It stands in for a line where there is none: for the demo, for tests, for a first run without data. Every
picture is drawn from scratch, so it is nobody's and carries no licence.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from snl_edge.errors import ConfigError, OutputError
from snl_edge.image import save_png

from .parts.lighting import Light, expose, illuminate
from .parts.products import PRODUCTS, Product
from .parts.surface import Fault, Surface
from .samples import GOOD

DEFECTS: Mapping[str, tuple[str, ...]] = MappingProxyType({name: p.defects for name, p in PRODUCTS.items()})
"""The defects of each product."""

SIDE = 256
"""Width and height in pixels, where nobody asks for others: those of the pictures that `snl-edge demo` trains on."""
SMALLEST = 64  # pixels; below, nothing of a part can be made out
VISIBLE = 9 / 255  # a noiseless change of a display value that counts as visible: four times the camera's noise
SMALLEST_DEFECT = 2.5e-4  # of the picture's pixels
ATTEMPTS = 20


@dataclass(frozen=True)
class _Job:
    """One image to write; its seed tells it apart from all others."""

    folder: Path
    product: str
    defect: str
    split: str
    number: int
    seed: tuple[int, ...]


def render_part(
    product: str, defect: str, rng: np.random.Generator, size: int = SIDE
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Draws one part as the camera sees it.

    The part, its light and its noise depend on ``rng`` alone and not on ``defect``: the same seed gives the
    same part with and without a defect.

    Args:
        product: a key of ``PRODUCTS``.
        defect: ``"good"`` or one of ``DEFECTS[product]``.
        rng: where all randomness comes from.
        size: width and height in pixels.

    Returns:
        ``(image uint8 [size, size, 3] RGB, mask bool [size, size])``; the mask marks where the noiseless
        picture visibly differs from that of the good part, gaps of a few pixels filled.

    Raises:
        ConfigError: no such product or defect, or too small a size to show it.
    """
    recipe = _recipe(product, defect, size)
    part_seed, camera_seed, defect_rng = (np.random.SeedSequence(int(s)) for s in rng.integers(2**63, size=3))
    camera = np.random.default_rng(camera_seed)
    light = Light.near_usual(camera)
    surface = recipe.draw(np.random.default_rng(part_seed), size, None)
    picture = illuminate(surface, light)
    mask = np.zeros((size, size), bool)
    if defect != GOOD:
        good = picture
        # A defect that fell where it cannot be seen is no example of one: it is placed again.
        for attempt in defect_rng.spawn(ATTEMPTS):
            flawed = _flawed(recipe, surface, defect, part_seed, np.random.default_rng(attempt))
            picture = illuminate(flawed, light)
            mask = _visible_change(good, picture)
            if mask.sum() >= SMALLEST_DEFECT * size * size:
                break
        else:
            raise ConfigError(f"no visible {defect} fits on a {product} of {size} pixels", fix="use a larger size")
    return expose(picture, camera), mask


def write_synthetic_line(
    root: Path,
    *,
    seed: int = 0,
    train: int = 40,
    good: int = 10,
    defective: int = 10,
    size: int = SIDE,
    products: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Writes a data set in MVTec AD layout; the same arguments give the same files, byte for byte.

    A product's images do not depend on which other products are written.

    Args:
        root: the folder to write, new or empty.
        seed: the start of all randomness.
        train, good, defective: images per product: to train on, and good and defective ones to test on;
            the defective ones go round the product's defects in turn.
        size: width and height in pixels.
        products: names from ``PRODUCTS``; all of them when None.
        progress: called with (done, total) after each image.

    Raises:
        ConfigError: an unknown product, a count below zero, no training image, or too small a size.
        OutputError: the folder holds something already, or cannot be written.
    """
    names = tuple(PRODUCTS) if products is None else tuple(sorted(set(products)))
    if train < 1 or min(good, defective) < 0:
        raise ConfigError(
            f"cannot write {train} training, {good} good and {defective} defective images per product",
            fix="use at least 1 training image, and 0 or more of the others",
        )
    for name in names:
        _recipe(name, GOOD, size)
    root = Path(root)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise OutputError(f"{root} is not empty", fix="give a new folder, or remove this one first")

    jobs = [
        _Job(root / name, name, defect, split, number, (seed, zlib.crc32(name.encode()), index))
        for name in names
        for index, (defect, split, number) in enumerate(_plan(DEFECTS[name], train, good, defective))
    ]
    with ThreadPoolExecutor() as threads:
        for done, _ in enumerate(threads.map(lambda job: _write(job, size), jobs), start=1):
            if progress is not None:
                progress(done, len(jobs))


def _recipe(product: str, defect: str, size: int) -> Product:
    if product not in PRODUCTS:
        raise ConfigError(f"no synthetic product {product}", fix=f"choose among {', '.join(PRODUCTS)}")
    if defect != GOOD and defect not in DEFECTS[product]:
        choice = ", ".join((GOOD, *DEFECTS[product]))
        raise ConfigError(f"the synthetic {product} has no defect {defect}", fix=f"choose among {choice}")
    if size < SMALLEST:
        raise ConfigError(f"cannot draw parts of {size} pixels", fix=f"use a size of {SMALLEST} or more")
    return PRODUCTS[product]


def _flawed(
    recipe: Product, surface: Surface, defect: str, part_seed: np.random.SeedSequence, rng: np.random.Generator
) -> Surface:
    if defect in recipe.faults:
        return recipe.draw(np.random.default_rng(part_seed), surface.size, Fault(defect, rng))
    altered = surface.copy()
    recipe.surface_defects[defect](altered, rng)
    return altered


def _visible_change(good: NDArray[np.float32], flawed: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where two noiseless pictures differ visibly ``[H, W]``, closed as a person would outline it."""
    changed = (np.abs(flawed - good).max(axis=-1) > VISIBLE).astype(np.uint8)
    reach = max(3, 2 * (good.shape[0] // 100) + 1)
    closed = cv2.morphologyEx(changed, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    return closed.astype(bool)


def _plan(defects: Sequence[str], train: int, good: int, defective: int) -> list[tuple[str, str, int]]:
    """(defect, split, number) of every image of a product."""
    plan = [(GOOD, "train", number) for number in range(train)]
    plan += [(GOOD, "test", number) for number in range(good)]
    plan += [(defects[i % len(defects)], "test", i // len(defects)) for i in range(defective)]
    return plan


def _write(job: _Job, size: int) -> None:
    image, mask = render_part(job.product, job.defect, np.random.default_rng(job.seed), size)
    save_png(job.folder / job.split / job.defect / f"{job.number:03}.png", image)
    if job.defect != GOOD:
        save_png(job.folder / "ground_truth" / job.defect / f"{job.number:03}_mask.png", mask.astype(np.uint8) * 255)
