"""A teacher that another installed package offers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn


@dataclass(frozen=True)
class Backbone:
    """A teacher's network.

    Attributes:
        network: ``float32 [B, 3, H, W]``, normalised, to three maps ``[B, C_l, H/s_l, W/s_l]`` at strides 4, 8 and 16.
            It must export to ONNX; no batch statistics, no sizes fixed.
        channels: ``C_l`` of the three.
        mean: of the pixels that its weights expect, for values in 0…1, RGB.
        std: likewise.
    """

    network: nn.Module
    channels: tuple[int, int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class TeacherPlugin:
    """A frozen network as teacher: entry points of ``snl_edge.teachers`` name one. A device never needs it.

    Attributes:
        build: makes the network. It gets a file of weights (``--weights FILE``), or None for those of its own, and
            whether to load any: a checkpoint fills them in otherwise.
    """

    build: Callable[[Path | None, bool], Backbone]
