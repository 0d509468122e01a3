"""Whether a bundle is of the run in whose folder it lies: a later training leaves an old one there."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from snl_edge.calibration.score import ScoreCalibration

from ..errors import BundleError
from ..training.config import CHECKPOINT
from .manifest import Manifest


def check_origin(bundle: Path, manifest: Manifest) -> None:
    """Refuses a bundle that lies in the folder of a run and is of an earlier model, or of earlier thresholds, of it.

    A bundle that lies elsewhere, as on a device, has nothing to be compared with.

    Raises:
        BundleError: it is outdated.
    """
    run = bundle.resolve().parent
    try:
        checkpoint = json.loads((run / CHECKPOINT).read_text(encoding="utf-8"))
        calibration = ScoreCalibration.model_validate(checkpoint["calibration"])
        weights = str(checkpoint["weights_sha256"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return  # no run, or one that cannot be read: whoever needs the run says so
    if manifest.weights_sha256 not in (None, weights):
        raise _outdated(bundle, run, "the run was trained anew since, or what it ignores was changed")
    if manifest.calibration != calibration:
        raise _outdated(bundle, run, "the run's thresholds were set anew since")


def _outdated(bundle: Path, run: Path, why: str) -> BundleError:
    return BundleError(
        f"bundle {bundle} is not of the model in {run}",
        why,
        f"build it again: snl-edge build {run}; or move the old bundle elsewhere to go on with it",
    )
