"""What a line was told to let go by: said on the health page for as long as it is so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..runtime.manifest import Manifest
from ..runtime.tuning import standing_doubts
from .camera import CameraSettings
from .control import Check
from .judging import Rules


def standing_warnings(cameras: Sequence[CameraSettings], rules: Rules, manifest: Manifest) -> Iterator[Check]:
    """A line for each setting by which parts pass that recognition would stop, and for each odd threshold."""
    for camera in cameras:
        if camera.product is not None and not camera.compare_product:
            text = f"parts of other products pass as {camera.product} if their score is low: compare_product is false"
            yield Check(f"product {camera.name}", "warning", text)
    if rules.unknown == "pass" and any(camera.product is None for camera in cameras):
        yield Check("unknown products", "warning", "they pass: rules.unknown is pass")
    for product, odd in standing_doubts(manifest).items():
        yield Check(f"threshold {product}", "warning", odd)
