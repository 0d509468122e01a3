"""The fused graph's input and outputs: names, types and shapes, and what a batch of them is in NumPy.

Export writes graphs by this, backends bind and read them by it, and engines of TensorRT are held against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

BATCH = "batch"
"""Name of the one dynamic dimension."""
METADATA_KEY = "snl_edge"
"""Under which a graph's ONNX metadata describes it."""
_TYPE_NAMES = {"uint8": "UINT8", "int32": "INT32", "float32": "FLOAT"}
"""As ``onnx.TensorProto.DataType`` and ``tensorrt.DataType`` spell them."""


Batch = TypeVar("Batch", int, str)


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of the graph."""

    name: str
    dtype: str
    """NumPy's name."""
    dims: tuple[str | int, ...]
    """`BATCH`, or a name (``height``, ``width``) that each graph fixes, or a number."""

    @property
    def type_name(self) -> str:
        """The data type, as ONNX and TensorRT spell it."""
        return _TYPE_NAMES[self.dtype]

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.dims)

    def shape(self, batch: Batch, size: tuple[int, int]) -> tuple[Batch | int, ...]:
        """The shape for ``batch`` images, or with the name of that dimension, where ``size = (height, width)``."""
        known: dict[str, Batch | int] = {BATCH: batch, "height": size[0], "width": size[1]}
        return tuple(known[dim] if isinstance(dim, str) else dim for dim in self.dims)


IMAGES = TensorSpec("images", "uint8", (BATCH, "height", "width", 3))
"""RGB at the model's size; of a graph that resizes by itself, the camera's frames in its size and order of colours."""
ANOMALY_MAP = TensorSpec("anomaly_map", "float32", (BATCH, "height", "width"))
SCORE = TensorSpec("score", "float32", (BATCH,))
PRODUCT = TensorSpec("product", "int32", (BATCH,))
PRODUCT_DISTANCE = TensorSpec("product_distance", "float32", (BATCH,))
OUTPUTS = (ANOMALY_MAP, SCORE, PRODUCT, PRODUCT_DISTANCE)
"""In the graph's order, which is that of `Prediction`."""
SCORES = OUTPUTS[1:]
"""Those that decide; in the order of `Scores`."""
TENSORS: Mapping[str, TensorSpec] = {tensor.name: tensor for tensor in (IMAGES, *OUTPUTS)}
"""All of them, by name."""
SIGNATURE: Mapping[str, tuple[str, int]] = {name: (tensor.type_name, tensor.rank) for name, tensor in TENSORS.items()}
"""Type and rank of all of them: what a file must have to be a fused graph."""


class Scores(NamedTuple):
    """What decides on a batch of images: the graph's outputs but for the map."""

    score: NDArray[np.float32]
    """As in `Prediction`."""
    product: NDArray[np.int32]
    """As in `Prediction`."""
    product_distance: NDArray[np.float32]
    """As in `Prediction`."""


class Prediction(NamedTuple):
    """The graph's outputs, by the graph's names and in its order."""

    anomaly_map: NDArray[np.float32]
    """``float32 [B, H, W]``, on the scale of the score."""
    score: NDArray[np.float32]
    """``float32 [B]``; the threshold of the product decides, 0.5 where it has none of its own."""
    product: NDArray[np.int32]
    """``int32 [B]``, the nearest product: index into the manifest's ``products``."""
    product_distance: NDArray[np.float32]
    """``float32 [B]``, distance from that product; above 1 is unknown by default."""

    @classmethod
    def empty(cls, batch: int, size: tuple[int, int]) -> Prediction:
        """Arrays for ``batch`` images of ``size = (height, width)``, not filled."""
        return cls(*(np.empty(tensor.shape(batch, size), tensor.dtype) for tensor in OUTPUTS))

    @property
    def scores(self) -> Scores:
        """All but the maps."""
        return Scores(self.score, self.product, self.product_distance)

    def part(self, start: int, stop: int) -> Prediction:
        """Views of the images from ``start`` to before ``stop``."""
        return Prediction(
            self.anomaly_map[start:stop],
            self.score[start:stop],
            self.product[start:stop],
            self.product_distance[start:stop],
        )
