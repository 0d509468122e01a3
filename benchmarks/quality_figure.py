"""How well the measured bundle detects, where that is known: a fast wrong answer is worth nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from snl_edge.errors import DataError
from snl_edge.outside.files import reason
from snl_edge.outside.json_text import read_json
from snl_edge.runtime.bundle import Bundle

SHOWN = ("image_auroc", "pixel_auroc", "aupro")


def quality_of(bundle: Bundle, metrics: Path | None) -> dict[str, float] | None:
    """Means over products, as fractions: from the file that `snl-edge evaluate` wrote, else from the manifest.

    Raises:
        DataError: the file is none of evaluate's.
    """
    content: Any = bundle.manifest.metrics
    if metrics is not None:
        try:
            content = read_json(metrics)
        except (OSError, ValueError) as error:
            raise DataError(
                f"cannot read {metrics}", reason(error), "give the metrics.json that `snl-edge evaluate` wrote"
            ) from error
    mean = content.get("mean") if isinstance(content, dict) else None
    if not isinstance(mean, dict):
        if metrics is not None:
            raise DataError(f"{metrics} holds no metrics", fix="give the metrics.json that `snl-edge evaluate` wrote")
        return None
    return {name: value for name in SHOWN if isinstance(value := mean.get(name), float)}
