"""What a line was told to let go by: said on the health page for as long as it is so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...runtime.manifest import Manifest
from ...runtime.tuning import standing_doubts
from ..capture.camera import Camera
from ..capture.prepare import frozen_within
from ..control.interface import Check
from ..outputs.actuators import Actuator
from ..pipeline.judgement import Rules


def standing_warnings(
    cameras: Sequence[Camera],
    rules: Rules,
    manifest: Manifest,
    actuators: Sequence[Actuator],
    deadline_ms: float | None,
) -> Iterator[Check]:
    """A line for each setting by which parts pass that would be stopped, and for each odd threshold."""
    for actuator in actuators:
        if text := actuator.too_late(deadline_ms):
            yield Check(f"time of {actuator.name or actuator.type}", "warning", text)
    for camera in cameras:
        settings = camera.settings
        if settings.product is not None and not settings.compare_product:
            text = f"parts of other products pass as {settings.product} if their score is low: compare_product is false"
            yield Check(f"product {settings.name}", "warning", text)
        if text := _frozen_unseen(camera):
            yield Check(
                f"frozen {settings.name}", "warning", f"a frozen camera passes its last picture for each part: {text}"
            )
    if rules.unknown == "pass" and any(camera.settings.product is None for camera in cameras):
        yield Check("unknown products", "warning", "they pass: rules.unknown is pass")
    for product, odd in standing_doubts(manifest).items():
        yield Check(f"threshold {product}", "warning", odd)


def _frozen_unseen(camera: Camera) -> str | None:
    """The setting by which a frozen camera is not seen; None where it is."""
    checks = camera.settings.checks
    if checks.frozen_after is None:
        return "checks.frozen_after is null"
    if camera.video and not frozen_within(checks, video=True):
        return "checks.frozen_within is 0, and in compressed video a repeated picture is not the same byte for byte"
    return None
