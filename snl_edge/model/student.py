"""The students: they reproduce the teacher's features on good images and fail on anomalies."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import StudentConfig, TeacherConfig
from .cram import Cram
from .teacher import build_backbone


class ReverseStudent(nn.Module):
    """Reverse distillation: teacher features → bottleneck → CRAM → decoder → the same features again.

    After RD4AD (Deng & Li, arXiv 2201.10703): a multi-scale fusion squeezes all levels into one small
    embedding at stride 32, and a mirrored decoder restores them from coarse to fine. Our blocks are
    lighter than RD4AD's mirrored WideResNet; the embedding's width and the decoder's depth are settings.
    """

    def __init__(self, channels: list[int], config: StudentConfig) -> None:
        super().__init__()
        # Half as wide as the teacher's level, within bounds: light, and in a first trial more room lowered pixel AUROC.
        fine, middle, coarse = (
            min(max(own // 2, least), most)
            for own, least, most in zip(channels, (24, 48, 96), (64, 128, 256), strict=True)
        )
        separable = config.separable
        self.fusion = MultiScaleFusion(channels, config.embedding, separable=separable)
        self.cram = Cram(config.embedding, config.cram) if config.cram else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.decode_coarse = DecoderStage(config.embedding, coarse, config.depth, separable=separable)
        self.decode_middle = DecoderStage(coarse, middle, config.depth, separable=separable)
        self.decode_fine = DecoderStage(middle, fine, config.depth, separable=separable)
        # Linear heads: a target of either sign must not pass through a ReLU.
        self.head_coarse = nn.Conv2d(coarse, channels[2], 1)
        self.head_middle = nn.Conv2d(middle, channels[1], 1)
        self.head_fine = nn.Conv2d(fine, channels[0], 1)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Teacher features ``[B, C_l, H/s_l, W/s_l]`` (s = 4, 8, 16) to their reproductions of the same shapes."""
        embedding = self.dropout(self.cram(self.fusion(features)))  # [B, E, H/32, W/32]
        coarse = self.decode_coarse(embedding)  # [B, ·, H/16, W/16]
        middle = self.decode_middle(coarse)  # [B, ·, H/8, W/8]
        fine = self.decode_fine(middle)  # [B, ·, H/4, W/4]
        return [self.head_fine(fine), self.head_middle(middle), self.head_coarse(coarse)]


class ForwardStudent(nn.Module):
    """Forward distillation: a second network of the teacher's architecture, fed by the image itself.

    As STFPM (arXiv 2103.04257), trained from random weights, with a CRAM on each stage's output. Our
    reading: the module stands on the branch that is compared with the teacher, so a stage still feeds the
    next one with its own features.
    """

    def __init__(self, channels: list[int], config: StudentConfig, teacher: TeacherConfig) -> None:
        super().__init__()
        self.backbone, *_ = build_backbone(teacher, pretrained=False)
        self.cram = nn.ModuleList(Cram(c, config.cram) if config.cram else nn.Identity() for c in channels)
        self.heads = nn.ModuleList(nn.Conv2d(c, c, 1) for c in channels)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Normalised pixels ``[B, 3, H, W]`` to features of the teacher's shapes."""
        stages = self.backbone(pixels)
        return [head(cram(f)) for head, cram, f in zip(self.heads, self.cram, stages, strict=True)]


class MultiScaleFusion(nn.Module):
    """Brings the three levels to stride 16, mixes them, and halves the grid once more: the bottleneck."""

    def __init__(self, channels: list[int], embedding: int, *, separable: bool) -> None:
        super().__init__()
        fine, middle, coarse = channels
        between, width = min(2 * fine, 128), min(coarse, 256)
        conv = _separable if separable else _conv
        self.fine = nn.Sequential(conv(fine, between, stride=2), conv(between, width, stride=2))
        self.middle = conv(middle, width, stride=2)
        self.coarse = nn.Identity() if width == coarse else _conv(coarse, width, kernel=1)
        self.mix = _conv(3 * width, 2 * embedding, kernel=1)
        self.squeeze = nn.Sequential(
            conv(2 * embedding, embedding, stride=2), ResidualBlock(embedding, separable=separable)
        )
        self.project = nn.Conv2d(embedding, embedding, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Three levels to the embedding ``[B, E, H/32, W/32]``."""
        fine, middle, coarse = features
        mixed = self.mix(torch.cat([self.fine(fine), self.middle(middle), self.coarse(coarse)], dim=1))
        return self.project(self.squeeze(mixed))


class DecoderStage(nn.Module):
    """Doubles the grid, then refines: ``[B, C, h, w]`` to ``[B, D, 2h, 2w]``."""

    def __init__(self, channels: int, out_channels: int, depth: int, *, separable: bool) -> None:
        super().__init__()
        # Kernel = stride: no overlap, hence no checkerboard of unevenly summed pixels, and no wasted work.
        self.enlarge = nn.ConvTranspose2d(channels, out_channels, 2, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.refine = nn.Sequential(*(ResidualBlock(out_channels, separable=separable) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        """Enlarges and refines ``x``."""
        return self.refine(torch.relu(self.norm(self.enlarge(x))))


class ResidualBlock(nn.Module):
    """The basic residual block of ResNet (arXiv 1512.03385), channels and grid unchanged."""

    def __init__(self, channels: int, *, separable: bool) -> None:
        super().__init__()
        conv = _separable if separable else _conv
        self.first = conv(channels, channels)
        self.second = conv(channels, channels, activation=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, h, w]`` to ``[B, C, h, w]``."""
        return torch.relu(x + self.second(self.first(x)))


def _separable(channels: int, out: int, *, stride: int = 1, activation: bool = True) -> nn.Sequential:
    """A 3×3 convolution of every channel by itself, then one of all channels at each place: a fraction of the work."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
        *_conv(channels, out, kernel=1, activation=activation),
    )


def _conv(channels: int, out: int, *, kernel: int = 3, stride: int = 1, activation: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out),
    ]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if activation else nn.Sequential(*layers)
