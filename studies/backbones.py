"""Our model on the backbones that peers have, too: what is compared at equal backbone."""

from __future__ import annotations

from snl_edge.model.config import MemoryConfig, SnlConfig, StudentConfig, TeacherConfig
from snl_edge.model.presets import preset

MODELS: dict[str, SnlConfig] = {
    "edge": preset("edge"),
    "resnet18": SnlConfig(
        teacher=TeacherConfig(architecture="resnet18"),
        student=StudentConfig(embedding=192, separable=True),
        memory=MemoryConfig(dimensions=192, search=45, finalists=4),
    ),
    "wide_resnet50_2": preset("accurate"),
}
"""By the group of peers that each stands beside; ResNet-18 is no preset, as it has not been measured on real parts."""
