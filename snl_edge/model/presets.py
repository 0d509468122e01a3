"""Named models for users who do not want to choose every part."""

from __future__ import annotations

from snl_edge.arguments import require_text
from snl_edge.errors import ConfigError

from .config import Descriptor, MapConfig, MemoryConfig, SnlConfig, StudentConfig, TeacherConfig

ALL_DESCRIPTORS: tuple[Descriptor, ...] = ("pooled", "local", "unit")
"""They see different defects and err differently on good parts (docs/ablation.md)."""

EDGE = SnlConfig(
    teacher=TeacherConfig(architecture="tf_efficientnet_lite0", weights="packaged"),
    student=StudentConfig(embedding=128, separable=True),
    memory=MemoryConfig(centres=1536, descriptors=ALL_DESCRIPTORS, search=29, finalists=4),
    anomaly_map=MapConfig(level_weights=(1.0, 1.0, 1.0), memory_weight=12.0, surprise=0.5, sigma=3.0),
)
PRESETS: dict[str, SnlConfig] = {
    "edge": EDGE,
    "balanced": EDGE.model_copy(
        update={"memory": MemoryConfig(centres=4096, descriptors=ALL_DESCRIPTORS, search=29, finalists=8)}
    ),
    "accurate": SnlConfig(
        teacher=TeacherConfig(architecture="wide_resnet50_2"),
        student=StudentConfig(embedding=384),
        memory=MemoryConfig(dimensions=256),
    ),
}
"""Dimensions of the memory were tried with the `edge` teacher alone, whose patches have 152 channels. By itself, over
ten real products and three seeds, its memory lost 0.06 points of image AUROC in 96 dimensions and 0.3 in 64; with one
seed, 0.1 in 76 and 0.9 in 25 (the share of `accurate`, whose many channels repeat each other)."""


def preset(name: str) -> SnlConfig:
    """The configuration called ``name``.

    Raises:
        ConfigError: there is no such preset.
    """
    if require_text(name, "a preset") not in PRESETS:
        raise ConfigError(f"there is no preset {name!r}", fix=f"choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
