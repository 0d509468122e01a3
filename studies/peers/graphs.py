"""ONNX graphs of the peers' models with random weights: for their speed alone.

``python -m studies.peers.graphs FOLDER NAME…`` in the peers' environment (:mod:`.environment`).
Networks are built by anomalib and AnomaVision themselves with their defaults, and exported from a ready float image to
map and score: normalisation and resize, which ours does inside, are not in them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

SIZE = 256


class MapAndScore(nn.Module):
    """A peer with its two results as plain tensors."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """``float32 [1, 3, H, W]`` to anomaly map and score."""
        found: Any = self.model(pixels)
        return (found.anomaly_map, found.pred_score) if hasattr(found, "anomaly_map") else (found[1], found[0])


def reverse_distillation(backbone: str) -> nn.Module:
    """anomalib's, at strides 4, 8 and 16."""
    from .anomalib_models import reverse_distillation as build

    return build(backbone).model


def efficient_ad() -> nn.Module:
    """anomalib's EfficientAD in its small size."""
    from anomalib.models import EfficientAd  # pyright: ignore[reportMissingImports]

    bare = dict.fromkeys(("pre_processor", "post_processor", "evaluator", "visualizer"), False)
    return EfficientAd(model_size="small", **bare).model


def anomavision_padim() -> nn.Module:
    """AnomaVision's PaDiM on ResNet-18 with its defaults; mean and covariance of every patch are made up."""
    from anomavision import Padim  # pyright: ignore[reportMissingImports]
    from anomavision.algorithm.common import feature_extraction  # pyright: ignore[reportMissingImports]
    from anomavision.algorithm.common.mahalanobis import MahalanobisDistance  # pyright: ignore[reportMissingImports]

    network, _ = feature_extraction.BACKBONES["resnet18"]
    feature_extraction.BACKBONES["resnet18"] = (network, None)  # or it asks torchvision's hub
    model = Padim("resnet18")
    with torch.no_grad():
        features, _, _ = model.embeddings_extractor(
            torch.randn(1, 3, SIZE, SIZE), channel_indices=model.channel_indices, layer_indices=model.layer_indices
        )
    _, patches, width = features.shape
    model.mahalanobisDistance = MahalanobisDistance(
        torch.randn(patches, width), torch.eye(width).expand(patches, width, width).contiguous()
    )
    return model


PEERS = {
    "anomalib_rd_resnet18": lambda: reverse_distillation("resnet18"),
    "anomalib_rd_wide_resnet50_2": lambda: reverse_distillation("wide_resnet50_2"),
    "efficientad_s": efficient_ad,
    "anomavision_padim_resnet18": anomavision_padim,
}
"""What can be exported, by the file's stem."""


def export_peer(name: str, folder: Path) -> Path:
    """Writes the graph of one peer; returns its path."""
    torch.manual_seed(0)
    model = MapAndScore(PEERS[name]()).eval()
    target = folder / f"{name}.onnx"
    with torch.no_grad():
        program = torch.onnx.export(model, (torch.randn(1, 3, SIZE, SIZE),), dynamo=True, opset_version=18)
    assert program is not None
    program.save(target)
    return target


if __name__ == "__main__":
    for peer in sys.argv[2:]:
        print(export_peer(peer, Path(sys.argv[1])))
