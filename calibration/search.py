"""Mixed precision: the fewest layers that must stay out of INT8 for the gate to pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from snl_edge.export.qdq import Layer

from .sensitivity import Sensitivity
from .table import TensorRange

SHARE = 0.1
"""Of the damage: what a layer must take away to stay FP16 without being asked."""
BUDGET = 0.1
"""Of the multiplications: what such layers may have together."""


class _Judged(Protocol):
    @property
    def passed(self) -> bool: ...


Tried = TypeVar("Tried", bound=_Judged)


@dataclass(frozen=True)
class Search(Generic[Tried]):
    """What was found: the layers excluded, what the gate said, and how many graphs were judged."""

    excluded: tuple[str, ...]
    outcome: Tried
    judged: int


def fewest_excluded(
    worst_first: Sequence[str], attempt: Callable[[tuple[str, ...]], Tried], guess: int = 1
) -> Search[Tried]:
    """Excludes the worst layers, as few as the gate lets through.

    A gate run costs minutes, so the number is sought around ``guess`` with growing steps and then halved, as if more
    excluded layers never made the gate fail: of that there is no promise, but what is returned was judged itself. At
    most half of the layers are excluded: a graph that needs more is better FP16.

    Args:
        worst_first: layers by the damage they do.
        attempt: builds the INT8 graph without these layers and judges it.
        guess: how many layers to begin with, once the graph with all of them has failed.

    Returns:
        the smallest passing number of layers, or the last attempt if none passes.
    """
    most = len(worst_first) // 2
    tried: dict[int, Tried] = {}

    def passes(count: int) -> bool:
        tried[count] = attempt(tuple(worst_first[:count]))
        return tried[count].passed

    def found(count: int) -> Search[Tried]:
        return Search(tuple(worst_first[:count]), tried[count], len(tried))

    if passes(0):
        return found(0)
    failing, passing, step = 0, min(max(guess, 1), most), 1
    if passes(passing):
        while passing - step > failing and passes(passing - step):
            passing, step = passing - step, 2 * step
        failing = max(count for count, outcome in tried.items() if not outcome.passed and count < passing)
    else:
        failing = passing
        while True:
            if failing >= most:
                return found(failing)
            passing, step = min(failing + step, most), 2 * step
            if passes(passing):
                break
            failing = passing
    while passing - failing > 1:
        middle = (failing + passing) // 2
        if passes(middle):
            passing = middle
        else:
            failing = middle
    return found(passing)


def disproportionate(layers: Sequence[Layer], tensors: Mapping[str, TensorRange]) -> tuple[str, ...]:
    """Layers that compute little, and whose input does much of the damage if it is INT8: their names, worst first.

    Such is the first depthwise convolution of a MobileNet: it subtracts large neighbours from each other, and what
    rounding leaves of the difference is all that later layers see. Ranges tell it without a labelled image, so nothing
    is fitted to a test set here. Damages of tensors are taken to be independent: their squares add up.

    Args:
        layers: all that can be INT8.
        tensors: of the calibration table; only one that a single layer reads counts.
    """
    macs = {layer.name: layer.macs for layer in layers}
    room = BUDGET * sum(macs.values())
    damages = {name: tensor.map_errors[tensor.method] ** 2 for name, tensor in tensors.items()}
    left = sum(damages.values())
    chosen: list[str] = []
    for name in sorted(damages, key=lambda name: -damages[name]):
        if damages[name] < SHARE * left:
            break
        reader = tensors[name].read_by[0]
        if len(tensors[name].read_by) == 1 and macs.get(reader, room) < room:
            chosen.append(reader)
            room -= macs[reader]
            left -= damages[name]
    return tuple(chosen)


def guess_excluded(sensitivity: Sensitivity, share: float) -> int:
    """How many of the worst layers to exclude so that about ``share`` of the damage is left.

    As if the squares of the layers' damages added up.
    """
    left = whole = sensitivity.all_int8.map**2
    for count, layer in enumerate(sensitivity.worst_first()):
        if left <= share**2 * whole:
            return count
        left -= max(whole - layer.excluded.map**2, 0.0)
    return len(sensitivity.layers)
