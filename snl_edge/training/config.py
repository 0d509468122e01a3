"""How a model is trained; stored with the checkpoint, so a run can be repeated."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from snl_edge.bit_depth import Bits

CHECKPOINT = "checkpoint.json"
"""The file that makes a folder a run folder."""


class TrainingConfig(BaseModel):
    """Settings of one training run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=1200, ge=1)
    batch_size: int = Field(default=16, ge=2)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises; it then falls along a cosine."""
    clip: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""
    augment: Literal["none", "flips", "dihedral"] = "none"
    """Mirror images at random (``flips``), or turn them by quarter turns as well (``dihedral``, square inputs)."""
    holdout: float = Field(default=0.1, gt=0, le=0.5)
    """Share of each product's parts kept out of training (:func:`snl_edge.training.split.assign_roles`)."""
    trust: bool = False
    """Use images that look unlike all others of their product, too."""
    false_reject_budget: float = Field(default=0.01, gt=0, lt=0.5)
    """Share of good parts that the threshold may reject."""
    start_weights: str | None = None
    """SHA-256 of the weights that the student started with; None where it started from nothing."""
    seed: int = Field(default=0, ge=0)
    bits: Bits | None = None
    """How many bits the camera filled of 16-bit files, which the bundle hands on to the device; None: nobody said."""
    cache_gib: float = Field(default=4.0, ge=0)
    """Memory for decoded images and teacher features."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
