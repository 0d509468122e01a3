"""anomalib's models as anomalib makes them, but on our backbone with our weights.

The only module that imports anomalib; it runs in the environment of :mod:`.environment`. Networks, losses,
optimisers and every hyper-parameter are those of anomalib's Lightning modules with their defaults.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from unittest import mock

import timm
import torch
from anomalib.models import Patchcore, ReverseDistillation, Stfpm  # pyright: ignore[reportMissingImports]
from anomalib.models.components import TimmFeatureExtractor  # pyright: ignore[reportMissingImports]
from anomalib.models.image.stfpm import torch_model as stfpm_module  # pyright: ignore[reportMissingImports]
from timm.models import FeatureInfo
from torch import Tensor, nn

from snl_edge.errors import CheckpointError
from snl_edge.model.config import TeacherConfig
from snl_edge.model.teacher import STRIDES, build_backbone

BARE = {"post_processor": False, "evaluator": False, "visualizer": False}
"""Parts of a Lightning module that belong to anomalib's own evaluation; ours takes their place."""


def stfpm(teacher: TeacherConfig) -> Any:
    """STFPM at strides 4, 8 and 16; the student starts from random weights."""
    # The model asks timm's hub for weights, whatever one says; ours come from elsewhere.
    offline = mock.patch.object(stfpm_module, "TimmFeatureExtractor", _without_hub)
    with offline:
        module = Stfpm(teacher.architecture, layers_at(teacher.architecture, STRIDES), pre_processor=False, **BARE)
    give_weights(module.model.teacher_model, teacher, STRIDES)
    return module


def patchcore(teacher: TeacherConfig) -> Any:
    """PatchCore on strides 8 and 16."""
    layers = layers_at(teacher.architecture, (8, 16))
    module = Patchcore(teacher.architecture, layers, pre_trained=False, pre_processor=False, **BARE)
    give_weights(module.model.feature_extractor, teacher, (8, 16))
    return module


def reverse_distillation(architecture: str) -> Any:
    """Reverse Distillation with an encoder of random weights: for its speed alone."""
    return ReverseDistillation(architecture, layers_at(architecture, STRIDES), pre_trained=False, **BARE)


def layers_at(architecture: str, strides: Sequence[int]) -> list[str]:
    """timm's names of the layers of ``architecture`` that end at ``strides``."""
    network = timm.create_model(architecture, pretrained=False, features_only=True)
    info = cast(FeatureInfo, network.feature_info)
    names = dict(zip(info.reduction(), info.module_name(), strict=True))
    return [names[stride] for stride in strides]


def give_weights(extractor: nn.Module, teacher: TeacherConfig, strides: Sequence[int]) -> None:
    """Loads our teacher's weights into anomalib's ``extractor`` and checks that it then gives our teacher's features.

    Raises:
        CheckpointError: the weights are not available, or the features differ.
    """
    ours = build_backbone(teacher, pretrained=True)[0].eval()
    network = cast(nn.Module, extractor.feature_extractor)
    # Ours has no layers beyond stride 16; the extractor may, and uses none of them.
    unknown = network.load_state_dict(ours.state_dict(), strict=False).unexpected_keys
    pixels = torch.linspace(-1, 1, 3 * 64 * 64).view(1, 3, 64, 64)
    with torch.no_grad():
        expected: dict[int, Tensor] = dict(zip(STRIDES, ours(pixels), strict=True))
        found = list(extractor.eval()(pixels).values())
    same = all(torch.allclose(f, expected[stride], atol=1e-4) for f, stride in zip(found, strides, strict=True))
    if unknown or not same:
        raise CheckpointError(
            f"anomalib's {teacher.architecture} differs from ours",
            f"{len(unknown)} unknown tensors" if unknown else "its features differ",
            "compare how both build it with timm",
        )


def _without_hub(**options: Any) -> nn.Module:
    return TimmFeatureExtractor(**{**options, "pre_trained": False})
