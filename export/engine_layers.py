"""What layers compute in: counted in the network that TensorRT parsed, and in the engine it made of it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from snl_edge.errors import EngineError

_COUNTED = frozenset({"CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY"})
_TYPES = {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16"}
_OF_PRECISION = {"fp32": "float32", "fp16": "float16"}


def count_layers(trt: Any, network: Any) -> dict[str, int]:
    """Convolutions and matrix products of a strongly typed network by the type of what they read.

    Returns:
        counts such as ``{"convolution float16": 20, "matrix multiply float32": 6}``.
    """
    counts: Counter[str] = Counter()
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.type.name in _COUNTED:
            kind = layer.type.name.lower().replace("_", " ")
            counts[f"{kind} {_type_name(layer.get_input(0).dtype.name)}"] += 1
    return dict(counts)


def check_precision(layers: dict[str, int], precision: Literal["fp32", "fp16"], onnx: Path) -> None:
    """Refuses a graph whose convolutions do not all compute in ``precision``.

    Raises:
        EngineError: they do not, so the engine would not be what its name says.
    """
    wanted = _OF_PRECISION[precision]
    others = {kind: n for kind, n in layers.items() if "convolution" in kind and not kind.endswith(wanted)}
    if others or not any(kind == f"convolution {wanted}" for kind in layers):
        shown = ", ".join(f"{count} × {kind}" for kind, count in layers.items()) or "no convolution at all"
        raise EngineError(f"{onnx} is no {precision} graph", f"it has {shown}", "give the graph of this precision")


def count_engine_layers(trt: Any, engine: Any) -> dict[str, int]:
    """Layers of a finished engine by the type of their first output, as the engine inspector tells it.

    Fusion leaves fewer layers than the network had. Empty where the engine tells no types.
    """
    told = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    try:
        layers = json.loads(told).get("Layers", [])
    except ValueError:  # no JSON: this engine tells nothing of its layers
        return {}
    counts: Counter[str] = Counter()
    for layer in layers:
        outputs = layer.get("Outputs", []) if isinstance(layer, dict) else []
        if outputs and isinstance(outputs[0], dict):
            counts[f"engine layer {_inspected_type(outputs[0].get('Format/Datatype', ''))}"] += 1
    return dict(counts)


def _inspected_type(told: str) -> str:
    """``Half`` and ``FP16`` both occur, within words about the memory format."""
    for words, name in ((("half", "fp16"), "float16"), (("float", "fp32"), "float32"), (("int8",), "int8")):
        if any(word in told.lower() for word in words):
            return name
    return "other"


def _type_name(name: str) -> str:
    return _TYPES.get(name, name.lower())
