"""A finished training run, for who goes on from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from snl_edge.errors import ConfigError
from snl_edge.outside.shown import brief

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
            ConfigError: there is no such device.
        """
        import torch

        from .checkpoint import load_model

        try:
            chosen = torch.device(device) if isinstance(device, str | torch.device) else None
            if chosen is not None:
                torch.empty(0, device=chosen)
        except (RuntimeError, AssertionError):  # what torch says of a device takes several lines
            chosen = None
        if chosen is None:
            raise ConfigError(f"device cannot be {brief(device)}", fix="give cpu, or cuda where a GPU is")
        return load_model(self.path, device=chosen)[0]
