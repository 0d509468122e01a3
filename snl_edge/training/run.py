"""A finished training run, for who goes on from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from snl_edge.model.snl import Snl

    from .checkpoint import Checkpoint


@dataclass(frozen=True)
class Run:
    """A run folder and what its ``checkpoint.json`` says; made by :func:`snl_edge.train` and :func:`snl_edge.load_run`.

    Attributes:
        path: the folder.
        checkpoint: model and training settings, products, thresholds, provenance.
    """

    path: Path
    checkpoint: Checkpoint

    @property
    def products(self) -> tuple[str, ...]:
        """What the model learned, in the graph's order."""
        return self.checkpoint.products

    def model(self, device: str | torch.device = "cpu") -> Snl:
        """The PyTorch model with its weights, in evaluation mode on ``device``; see :class:`snl_edge.model.snl.Snl`.

        Raises:
            CheckpointError: the weights are missing or damaged, or do not fit.
        """
        from .checkpoint import load_model

        return load_model(self.path, device=device)[0]
