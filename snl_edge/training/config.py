"""How a model is trained; stored with the checkpoint, so a run can be repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from snl_edge.contract.run_folder import CHECKPOINT, IMAGES
from snl_edge.outside.json_text import read_json
from snl_edge.runtime.manifest import Bits


def image_list(run: Path) -> Path:
    """Where the run in the folder ``run`` keeps what it used its images for; there may be no such file.

    ``checkpoint.json`` names it, so that one file switches a run from one model to the next as a whole.
    """
    try:
        named = read_json(run / CHECKPOINT)["images"]
    except (OSError, ValueError, KeyError, TypeError):
        named = IMAGES  # no run, or one of before the name was noted; who needs the run says what is wrong with it
    return run / Path(str(named)).name


class CameraConfig(BaseModel):
    """How far the camera may change without a good part being stopped: what training adds changed copies for.

    Lengths are in pixels of the model's input. A change goes either way, anywhere up to what is given here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    copies: int = Field(default=2, ge=1, le=100)
    """Changed copies of each training image."""
    gain: float = Field(default=0.2, ge=0, le=1)
    """0.2: brighter by a factor of up to 1.2, or darker by one."""
    warmth: float = Field(default=0.1, ge=0, lt=1)
    """White balance: red times 1.1 and blue times 0.9, or the other way round."""
    turn: float = Field(default=4.0, ge=0, le=45)
    """Degrees."""
    shift: float = Field(default=5.0, ge=0, le=1000)
    """Along each side."""
    blur: float = Field(default=1.0, ge=0, le=100)
    """Standard deviation of a Gaussian."""
    noise: float = Field(default=5.0, ge=0, le=255)
    """Standard deviation, in grey levels of 255."""
    jpeg: int = Field(default=70, ge=1, le=99)
    """Lowest quality of a JPEG at the model's size."""
    thresholds: bool = False
    """Set thresholds on changed copies, too: hardly a good part is stopped then whatever the camera changes, but
    thresholds are those of the largest changes, and on ten real products half again as many defects escaped."""
    memory_share: float = Field(default=0.1, gt=0, lt=1)
    """Share of copies' patches among those that the memory chooses its centres from. More tolerance costs detection:
    a patch that lies near a changed one is no longer far from all that is normal."""


class TrainingConfig(BaseModel):
    """Settings of one training run."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    steps: int = Field(default=1200, ge=1, le=10_000_000)
    """Steps of the student; 1 to 10 million."""
    batch_size: int = Field(default=16, ge=2, le=4096)
    """Images per step, 2 to 4096."""
    learning_rate: float = Field(default=2e-3, gt=0, le=1)
    """Its peak."""
    weight_decay: float = Field(default=1e-4, ge=0, le=10)
    """Of AdamW."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises; it then falls along a cosine."""
    clip: float = Field(default=1.0, gt=0, le=1e6)
    """Largest norm of the gradient."""
    augment: Literal["none", "flips", "dihedral"] = "none"
    """Mirror images at random (``flips``), or turn them by quarter turns as well (``dihedral``, square inputs)."""
    camera: CameraConfig | None = CameraConfig()
    """What the camera may change; None: nothing, a good part must look as in the training images."""
    holdout: float = Field(default=0.1, gt=0, le=0.5)
    """Share of each product's parts kept out of training (:func:`snl_edge.training.split.assign_roles`)."""
    trust: bool = False
    """Use images that look unlike all others of their product, too."""
    false_reject_budget: float = Field(default=0.01, gt=0, lt=0.5)
    """Share of good parts that the threshold may reject."""
    start_weights: str | None = None
    """SHA-256 of the weights that the student started with; None where it started from nothing."""
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Same seed, images and machine: same model."""
    bits: Bits | None = None
    """How many bits the camera filled of 16-bit files, which the bundle hands on to the device; None: nobody said."""
    cache_gib: float = Field(default=4.0, ge=0, le=65536)
    """Memory for decoded images and teacher features."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """``auto`` takes a CUDA GPU if there is one."""
