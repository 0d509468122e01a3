"""The roofline: the least time that arithmetic and memory traffic allow a graph, and the share of it that is reached.

After Williams, Waterman, Patterson, "Roofline" (CACM 52(4), 2009).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from snl_edge.errors import ExportError


def graph_roofline(counts: Mapping[str, Any], ceilings: Mapping[str, float], batch: int, milliseconds: float) -> dict:
    """The least milliseconds that ``batch`` images could take, what sets that limit, and the share of it reached.

    The bytes are those that must be moved however well a runtime fuses: weights once, input and output of each image.
    """
    flops = counts["flops"] * batch
    moved = counts["weight_bytes"] + counts["io_bytes"] * batch
    arithmetic = 1e3 * flops / ceilings["flops_per_second"]
    memory = 1e3 * moved / ceilings["bytes_per_second"]
    least = max(arithmetic, memory)
    return {
        "least_ms": round(least, 4),
        "bound": "arithmetic" if arithmetic >= memory else "memory",
        "fraction": round(least / milliseconds, 4),
        "flops_per_byte": round(flops / moved, 1),
    }


def counts_of(graph: Path) -> dict[str, Any] | str:
    """Counts for one image, or why they are not available here."""
    if find_spec("onnx") is None:
        return "no roofline: counting a graph needs onnx (pip install onnx)"
    from .graph_counts import count_graph

    try:
        return count_graph(graph)
    except ExportError as error:
        return f"no roofline: {error}"
