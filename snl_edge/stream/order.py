"""What is being made: order, lot, operator and what else the plant wants to find beside a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Order:
    """Records of parts that are triggered from then on carry it; all of it is plain text of one line."""

    order: str | None = None
    """The order's number."""
    lot: str | None = None
    operator: str | None = None
    """Who works at the line, as told; nobody checks it."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Whatever else, by name."""

    def __bool__(self) -> bool:
        return self != NO_ORDER

    def __str__(self) -> str:
        own = (("order", self.order), ("lot", self.lot), ("operator", self.operator))
        named = [f"{name} {value}" for name, value in own if value is not None]
        return ", ".join([*named, *(f"{name} {value}" for name, value in self.fields.items())]) or "no order"

    def plain(self) -> dict[str, object]:
        """As JSON has it."""
        return asdict(self)


NO_ORDER = Order()
