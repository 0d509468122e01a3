"""The products of the synthetic line, and what can be wrong with each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

import numpy as np

from .defects import (
    SurfaceDefect,
    blue_fibre,
    crack,
    dark_fibre,
    debris,
    dent,
    hole,
    pale_fibre,
    rust,
    scratch,
    stain,
)
from .electronics import draw_circuit
from .metal import draw_gear, draw_nut
from .packaging import draw_blister, draw_cap
from .surface import Fault, Surface
from .textures import draw_leather, draw_textile, draw_wood


@dataclass(frozen=True)
class Product:
    """How a product is drawn, the faults of its build, and the defects its surface can get."""

    draw: Callable[[np.random.Generator, int, Fault | None], Surface]
    faults: tuple[str, ...] = ()
    surface_defects: Mapping[str, SurfaceDefect] = field(default_factory=dict)

    @property
    def defects(self) -> tuple[str, ...]:
        """The names of all its defects."""
        return (*self.faults, *self.surface_defects)


PRODUCTS: Mapping[str, Product] = MappingProxyType(
    {
        "blister": Product(
            draw_blister,
            ("missing_capsule", "wrong_capsule"),
            {
                "crack": crack,
                "contamination": dark_fibre,
                "dent": partial(dent, depth=0.06),
            },
        ),
        "bottle_cap": Product(
            draw_cap,
            ("misprint",),
            {
                "scratch": partial(scratch, colour="bcd3ea"),
                "dent": dent,
                "contamination": partial(debris, colour="3a2d22"),
            },
        ),
        "circuit": Product(
            draw_circuit,
            ("missing_component", "open_trace"),
            {
                "scratch": partial(scratch, colour="c9a877"),
                "contamination": pale_fibre,
                "stain": partial(stain, tint="b98f3c"),
            },
        ),
        "gear": Product(
            draw_gear,
            ("missing_tooth",),
            {"scratch": partial(scratch, colour="f0f2f5"), "rust": rust, "contamination": blue_fibre},
        ),
        "hex_nut": Product(
            draw_nut,
            ("damaged_thread",),
            {
                "scratch": partial(scratch, colour="fff0c4"),
                "dent": dent,
                "stain": partial(stain, tint="8fb09c"),
            },
        ),
        "leather": Product(
            draw_leather,
            (),
            {
                "scratch": partial(scratch, colour="c99a78"),
                "hole": hole,
                "stain": partial(stain, tint="8a7a74"),
            },
        ),
        "textile": Product(
            draw_textile,
            ("missing_thread",),
            {
                "hole": partial(hole, radius=0.06, fray=0.4),
                "stain": partial(stain, tint="b59a66"),
                "contamination": dark_fibre,
            },
        ),
        "wood": Product(
            draw_wood,
            (),
            {
                "scratch": partial(scratch, colour="ecd2ab"),
                "crack": crack,
                "hole": partial(hole, radius=0.035, fray=0.12),
                "stain": partial(stain, tint="b3906e"),
            },
        ),
    }
)
