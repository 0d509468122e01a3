"""Frames for a graph that resizes by itself: they must be exactly those it was made for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, DataError
from ..image import fit_to_input, swapped
from .manifest import InputSpec

FRONT = "frame."
"""Nodes and constants whose names begin so make a frame into the model's input; they compute in whole numbers."""


def as_images(picture: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.uint8]:
    """What the graph takes of a picture ``uint8 [h, w, 3]`` RGB: ``uint8 [H, W, 3]``.

    Raises:
        DataError: the graph takes frames, and the picture has another size.
    """
    if spec.frame is None:
        return fit_to_input(picture, spec.size)
    if reason := misfit(picture.shape, spec):
        raise DataError(*reason)
    return swapped(picture) if spec.colours == "bgr" else np.ascontiguousarray(picture)


def stretched(picture: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.uint8]:
    """As `as_images`, with pictures of another size brought to the frame's: to hold graphs against each other."""
    return as_images(fit_to_input(picture, spec.image_size), spec)


def misfit(shape: tuple[int, ...], spec: InputSpec) -> tuple[str, str, str] | None:
    """Why a picture of ``shape = (height, width, …)`` is no frame for this graph, and what to do: for an error. None if
    it is one."""
    (height, width), frame = shape[:2], spec.frame
    if frame is None or (height, width) == frame.size:
        return None
    return (
        f"the frame is {width}x{height}",
        f"the bundle was built for {frame.width}x{frame.height} alone, and resizes on the device",
        f"set camera and region to that size, or build with --frame {width}x{height}, or without --frame",
    )


def drawn_side(spec: InputSpec) -> int:
    """Side in pixels of the square pictures that the synthetic line draws for this graph.

    Raises:
        ConfigError: the graph takes frames alone that are not square.
    """
    if spec.frame is None:
        return spec.height
    if spec.frame.height != spec.frame.width:
        raise ConfigError(
            f"the synthetic line cannot draw frames of {spec.frame.width}x{spec.frame.height}",
            "its pictures are square",
            "give a bundle that was built without --frame",
        )
    return spec.frame.height
