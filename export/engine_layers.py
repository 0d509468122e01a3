"""What layers compute in: counted in the network that TensorRT parsed, and in the engine it made of it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from snl_edge.errors import EngineError
from snl_edge.runtime.manifest import Precision

_COUNTED = frozenset({"CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY"})
_TYPES = {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16"}
_OF_PRECISION = {"fp32": "float32", "fp16": "float16", "int8": "int8"}
_FP16_FLOOR = ("int8", "float16")
"""What convolutions of an INT8 graph may compute in: CRAM's assignment, and those that a gate kept out of INT8."""


def count_layers(trt: Any, network: Any) -> dict[str, int]:
    """Convolutions and matrix products of a strongly typed network by the type of what they read.

    One whose two operands are both restored from INT8 counts as INT8: TensorRT fuses the restoring into its kernel.

    Returns:
        counts such as ``{"convolution float16": 20, "matrix multiply float32": 6}``.
    """
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    restored = {layer.get_output(0).name for layer in layers if layer.type.name == "DEQUANTIZE"}
    counts: Counter[str] = Counter()
    for layer in layers:
        if layer.type.name in _COUNTED:
            kind = layer.type.name.lower().replace("_", " ")
            operands = [layer.get_input(index) for index in range(min(layer.num_inputs, 2))]
            int8 = len(operands) == 2 and all(operand is not None and operand.name in restored for operand in operands)
            counts[f"{kind} {'int8' if int8 else _type_name(operands[0].dtype.name)}"] += 1
    return dict(counts)


def check_precision(layers: dict[str, int], precision: Precision, onnx: Path) -> None:
    """Refuses a graph whose convolutions do not all compute in ``precision``; in an INT8 graph some may be FP16.

    Raises:
        EngineError: they do not, so the engine would not be what its name says.
    """
    wanted = _OF_PRECISION[precision]
    allowed = _FP16_FLOOR if precision == "int8" else (wanted,)
    others = {kind: n for kind, n in layers.items() if "convolution" in kind and not kind.endswith(allowed)}
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
