"""The synthetic line as a camera: parts drawn in advance, shown at a set rate or as fast as they are taken."""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from snl_edge.data.parts.products import PRODUCTS
from snl_edge.data.samples import GOOD
from snl_edge.data.synthetic import DEFECTS, SIDE, SMALLEST, render_part

from ..settings import Settings, Share
from .base import Colour, EndOfPictures


class SyntheticSettings(Settings):
    """Drawn parts: a line to try things on, and to measure with."""

    type: Literal["synthetic"] = "synthetic"
    products: tuple[str, ...] = ("gear",)
    """Which of the synthetic products come, mixed."""
    rate: float | None = Field(default=None, gt=0)
    """Pictures a second; as fast as they are taken if not given."""
    defective: Share = 0.1
    """Share of defective parts."""
    pictures: int = Field(default=64, ge=2)
    """How many are drawn at the start and then shown again and again, in an order that differs each time."""
    size: int = Field(default=SIDE, ge=SMALLEST)
    """Width and height in pixels."""
    count: int | None = Field(default=None, ge=1)
    """End after so many; endless if not given."""
    seed: int = 0
    """The same seed gives the same pictures in the same order."""

    @field_validator("products")
    @classmethod
    def _known(cls, products: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(products) - set(PRODUCTS))
        if unknown or not products:
            named = ", ".join(unknown) if products else "product"
            raise ValueError(f"there is no {named}; choose of {', '.join(PRODUCTS)}")
        return products


class SyntheticSource:
    """Shows pictures that are drawn once, when it is first opened."""

    video = False
    colour: Colour = "rgb"

    def __init__(self, settings: SyntheticSettings) -> None:
        self._settings = settings
        self.live = settings.rate is not None
        self.received: float | None = None
        self._pictures: Sequence[NDArray[np.uint8]] = ()
        self._order = np.random.default_rng(settings.seed)
        self._left: list[int] = []
        self._shown = 0
        self._next = 0.0

    def open(self) -> None:
        """Draws the pictures."""
        if not self._pictures:
            self._pictures = draw_parts(self._settings)
        self._next = time.monotonic()

    def read(self) -> NDArray[np.uint8]:
        """The next picture, at its time."""
        if self._settings.count is not None and self._shown >= self._settings.count:
            raise EndOfPictures
        if self._settings.rate is not None:
            self._next = max(self._next, time.monotonic() - 1 / self._settings.rate)
            time.sleep(max(0.0, self._next - time.monotonic()))
            self._next += 1 / self._settings.rate
            self.received = time.monotonic()
        if not self._left:
            self._left = self._order.permutation(len(self._pictures)).tolist()
        self._shown += 1
        return self._pictures[self._left.pop()]

    def close(self) -> None:
        """Holds nothing but memory."""


def draw_parts(settings: SyntheticSettings) -> list[NDArray[np.uint8]]:
    """The pictures ``uint8 [size, size, 3]`` RGB that these settings describe, drawn again."""
    drawn: list[NDArray[np.uint8]] = []
    flawed = 0
    for index in range(settings.pictures):
        product = settings.products[index % len(settings.products)]
        rng = np.random.default_rng((settings.seed, zlib.crc32(product.encode()), index))
        defect = GOOD
        if round((index + 1) * settings.defective) > round(index * settings.defective):
            defect = DEFECTS[product][flawed % len(DEFECTS[product])]
            flawed += 1
        drawn.append(render_part(product, defect, rng, settings.size)[0])
    return drawn
