"""Which packages work on a run folder needs."""

from __future__ import annotations

from pathlib import Path

from snl_edge.contract.run_folder import CHECKPOINT
from snl_edge.extras import GRAPHS, require


def require_for_run(path: Path) -> None:
    """Refuses a run folder where torch is missing; a bundle does not need it.

    Raises:
        ConfigError: the extra to install.
    """
    if (path / CHECKPOINT).exists():
        require(f"the run folder {path}", "safetensors", *GRAPHS, extra="train")
