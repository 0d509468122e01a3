"""Named models for users who do not want to choose every part."""

from __future__ import annotations

from snl_edge.errors import ConfigError

from .config import SnlConfig, StudentConfig, TeacherConfig

PRESETS: dict[str, SnlConfig] = {
    "edge": SnlConfig(
        teacher=TeacherConfig(architecture="tf_efficientnet_lite0", weights="packaged"),
        student=StudentConfig(embedding=128),
    ),
    "balanced": SnlConfig(
        teacher=TeacherConfig(architecture="resnet18"),
        student=StudentConfig(embedding=192),
    ),
    "accurate": SnlConfig(
        teacher=TeacherConfig(architecture="wide_resnet50_2"),
        student=StudentConfig(embedding=384),
    ),
}


def preset(name: str) -> SnlConfig:
    """The configuration called ``name``.

    Raises:
        ConfigError: there is no such preset.
    """
    if name not in PRESETS:
        raise ConfigError(f"there is no preset {name!r}", fix=f"choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
