"""Whether a bundle is of the run in whose folder it lies: a later training leaves an old one there."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from snl_edge.scoring.scale import ScoreScale

from ..contract.run_folder import CHECKPOINT
from ..errors import BundleError
from ..outside.files import real_path
from ..outside.json_text import read_json
from .manifest import Manifest
from .remedies import build_command


def check_origin(bundle: Path, manifest: Manifest) -> None:
    """Refuses what is outdated (`why_outdated`).

    Raises:
        BundleError: it is.
    """
    if why := _why(bundle, manifest):
        raise BundleError(f"bundle {bundle} is not of the model in {real_path(bundle).parent}", why, _fix(bundle))


def why_outdated(bundle: Path, manifest: Manifest) -> str:
    """Why a bundle that lies in the folder of a run is not of its model and thresholds, and what to do; else empty.

    A bundle that lies elsewhere, as on a device, has nothing to be compared with.
    """
    why = _why(bundle, manifest)
    return f"it is not of the model in {real_path(bundle).parent}: {why}; {_fix(bundle)}" if why else ""


def _why(bundle: Path, manifest: Manifest) -> str:
    run = real_path(bundle).parent
    try:
        checkpoint = read_json(run / CHECKPOINT)
        score_scale = ScoreScale.model_validate(checkpoint["calibration"])
        weights = str(checkpoint["weights_sha256"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return ""  # no run, or one that cannot be read: whoever needs the run says so
    if manifest.weights_sha256 not in (None, weights):
        return "the run was trained again since, or what it ignores was changed"
    return "" if manifest.score_scale == score_scale else "the run's thresholds were set again since"


def _fix(bundle: Path) -> str:
    run = real_path(bundle).parent
    return f"build it again: {build_command(run, bundle)}; or move the old bundle elsewhere to go on with it"
