"""Mixed precision: the fewest layers that must stay out of INT8 for the gate to pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class _Judged(Protocol):
    @property
    def passed(self) -> bool: ...


Tried = TypeVar("Tried", bound=_Judged)


@dataclass(frozen=True)
class Search(Generic[Tried]):
    """What was found: the layers spared, what the gate said, and how many graphs were judged."""

    spared: tuple[str, ...]
    outcome: Tried
    judged: int


def fewest_spared(
    worst_first: Sequence[str], attempt: Callable[[tuple[str, ...]], Tried], most: int | None = None
) -> Search[Tried]:
    """Spares the worst layers, as few as the gate lets through.

    A gate run costs minutes, so the number is found by doubling and then halving, as if more spared layers never
    made the gate fail: of that there is no promise, but what is returned was judged itself.

    Args:
        worst_first: layers by the damage they do.
        attempt: builds the INT8 graph without these layers and judges it.
        most: largest number of layers spared; half of them if not given, since a graph that needs more is FP16.

    Returns:
        the smallest passing number of layers, or the last attempt if none passes.
    """
    most = len(worst_first) // 2 if most is None else most
    tried: dict[int, Tried] = {}

    def passes(count: int) -> bool:
        tried[count] = attempt(tuple(worst_first[:count]))
        return tried[count].passed

    count = 0
    while not passes(count):
        if count >= most:
            return Search(tuple(worst_first[:count]), tried[count], len(tried))
        count = min(max(1, 2 * count), most)
    failing = max((n for n in tried if n < count), default=-1)
    while count - failing > 1:
        middle = (failing + count) // 2
        if passes(middle):
            count = middle
        else:
            failing = middle
    return Search(tuple(worst_first[:count]), tried[count], len(tried))
