"""The teacher: a frozen pretrained CNN that describes an image by features at strides 4, 8 and 16."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import timm
import torch
from timm.models import FeatureInfo
from torch import Tensor, nn

from snl_edge.entry_points import faults_told, load_plugin
from snl_edge.errors import CheckpointError, ConfigError

from .config import PLUGIN, TeacherConfig
from .teacher_plugin import TeacherPlugin
from .weights import load_pretrained

STRIDES = (4, 8, 16)


class Standardise(nn.Module):
    """Shifts and scales every channel of one level to mean 0 and variance 1 over the training images.

    ImageNet features have channels of very different size, and a cosine over raw features listens to the
    largest few. Standardised targets weigh all channels alike (as in EfficientAD, arXiv 2303.14535, sec. 3.3);
    our addition to SNL. Always computed in FP32.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("scale", torch.ones(1, channels, 1, 1))

    def forward(self, feature: Tensor) -> Tensor:
        """``[B, C, h, w]`` of any float type to ``float32 [B, C, h, w]``."""
        return (feature.float() - self.mean) * self.scale


class Teacher(nn.Module):
    """Features of an image at strides 4, 8, 16; never trained, always in evaluation mode.

    Stages deeper than stride 16 are cut off, so they cost nothing.

    Args:
        config: architecture and where its weights come from.
        pretrained: load the weights; off when a checkpoint will fill them in.

    Raises:
        ConfigError: timm has no such architecture, or it has no features at these strides.
        CheckpointError: the weights are not available or do not fit.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: TeacherConfig, *, pretrained: bool = True) -> None:
        super().__init__()
        self.config = config
        self.backbone, self.channels, pixel_mean, pixel_std = build_backbone(config, pretrained=pretrained)
        self.register_buffer("mean", 255 * torch.tensor(pixel_mean).view(1, 3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(pixel_std).view(1, 3, 1, 1))
        self.standardise = nn.ModuleList(Standardise(c) for c in self.channels)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Teacher:
        """Stays in evaluation mode whatever ``mode`` says."""
        return super().train(False)

    def normalise(self, images: Tensor) -> Tensor:
        """``uint8 [B, H, W, 3]`` RGB to the network's input ``float32 [B, 3, H, W]``."""
        # Cast first: TensorRT has no transposition of bytes.
        return (images.float().permute(0, 3, 1, 2) - self.mean) / self.std

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Normalised ``[B, 3, H, W]`` to standardised ``float32 [B, C_l, H/s_l, W/s_l]``, one per stride."""
        return [s(f) for s, f in zip(self.standardise, self.backbone(pixels), strict=True)]

    def set_statistics(self, means: list[Tensor], variances: list[Tensor]) -> None:
        """Sets the channel statistics, each ``[C_l]``, measured on raw features of the training images."""
        for standardise, mean, variance in zip(self.standardise, means, variances, strict=True):
            module = cast(Standardise, standardise)
            module.mean.copy_(mean.view_as(module.mean))
            # A dead channel (variance 0) stays silent instead of amplifying rounding noise.
            module.scale.copy_(variance.add(1e-6).rsqrt().mul(variance > 1e-8).view_as(module.scale))


def build_backbone(
    config: TeacherConfig, *, pretrained: bool
) -> tuple[nn.Module, list[int], tuple[float, ...], tuple[float, ...]]:
    """Builds the feature network, cut after stride 16.

    Returns:
        the network (``[B, 3, H, W]`` to three maps), its channels per level, and the pixel mean and
        standard deviation that its weights expect (for values in 0…1).

    Raises:
        ConfigError: timm has no such architecture, or it has no features at strides 4, 8, 16.
        CheckpointError: the weights are not available or do not fit.
    """
    name = config.architecture
    if name.startswith(PLUGIN):
        return _from_plugin(name.removeprefix(PLUGIN), config.weights, pretrained=pretrained)
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('_')[0]}*")[:3]
        hint = f"did you mean {', '.join(near)}?" if near else "list them with timm.list_models()"
        raise ConfigError(f"timm has no architecture {name!r}", fix=hint)
    try:
        probe = timm.create_model(name, pretrained=False, features_only=True)
        reductions = list(cast(FeatureInfo, probe.feature_info).reduction())
        levels = tuple(reductions.index(stride) for stride in STRIDES)
    except (RuntimeError, ValueError, AttributeError, AssertionError) as error:
        raise ConfigError(
            f"{name} has no feature maps at strides 4, 8 and 16",
            fix="choose a CNN such as resnet18 or wide_resnet50_2",
        ) from error
    if pretrained and config.weights != "timm":
        full = timm.create_model(name, pretrained=False)
        load_pretrained(full, name, config.weights)
        backbone = timm.create_model(name, pretrained=False, features_only=True, out_indices=levels)
        _copy_shared(full, backbone)
    else:
        try:
            backbone = timm.create_model(name, pretrained=pretrained, features_only=True, out_indices=levels)
        except Exception as error:  # the hub client raises its own, httpx's and urllib's errors
            raise CheckpointError(
                f"cannot download the weights of {name}",
                str(error).split("\n")[0][:120],
                "connect to the network once, or give a local file with --weights FILE.safetensors",
            ) from error
    _trim(backbone)
    settings = timm.get_pretrained_cfg(name)
    mean, std = (settings.mean, settings.std) if settings else ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    return backbone, list(cast(FeatureInfo, backbone.feature_info).channels()), mean, std


def _from_plugin(
    name: str, weights: str, *, pretrained: bool
) -> tuple[nn.Module, list[int], tuple[float, ...], tuple[float, ...]]:
    if pretrained and weights in ("timm", "packaged"):
        raise ConfigError(
            f"the weights {weights!r} are not those of the plug-in {name}",
            fix="give --weights plugin for those that it brings, or a file",
        )
    plugin = load_plugin("snl_edge.teachers", name, TeacherPlugin)
    side = 64
    with torch.no_grad(), faults_told(f"the teacher {name} cannot be made"):
        made = plugin.build(None if weights == "plugin" else Path(weights), pretrained)
        maps = made.network.eval()(torch.zeros(1, 3, side, side))
        found = [tuple(one.shape) for one in maps]
    if found != [(1, channels, side // s, side // s) for channels, s in zip(made.channels, STRIDES, strict=True)]:
        raise ConfigError(
            f"the teacher {name} gives maps of {', '.join(map(str, found))} for a picture of {side}x{side}",
            f"{list(made.channels)} channels at strides 4, 8 and 16 were promised",
            "correct the plug-in",
        )
    return made.network, list(made.channels), made.mean, made.std


def _trim(backbone: nn.Module) -> None:
    """Removes trailing stages that no output depends on: timm keeps and runs them in some architectures."""
    with torch.enable_grad():
        torch.stack([f.sum() for f in backbone.eval()(torch.zeros(1, 3, 64, 64))]).sum().backward()
    used = {id(p) for p in backbone.parameters() if p.grad is not None}
    backbone.zero_grad(set_to_none=True)
    for module in list(backbone.modules()):
        if isinstance(module, nn.Sequential):
            while len(module) and (own := list(module[-1].parameters())) and not any(id(p) in used for p in own):
                del module[-1]


def _copy_shared(full: nn.Module, features: nn.Module) -> None:
    """Copies the tensors of a classifier into its feature extractor, which renames ``a.b`` to ``a_b`` in places."""
    source = {name.replace(".", "_"): value for name, value in full.state_dict().items()}
    state = {name: source[name.replace(".", "_")] for name in features.state_dict()}
    features.load_state_dict(state)
