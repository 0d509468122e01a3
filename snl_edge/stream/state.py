"""What can change while a line runs, in one place that all its threads read."""

from __future__ import annotations

from dataclasses import dataclass

from .order import NO_ORDER, Order
from .recipe import Recipe


@dataclass
class LineState:
    """Every field is replaced as a whole, so a reader sees the old or the new value, never half of one."""

    recipe: Recipe
    paused: bool = False
    shadow: bool = False
    order: Order = NO_ORDER
