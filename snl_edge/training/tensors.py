"""Writing tensors as safetensors, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from snl_edge.atomic import replacing


def save_tensors(tensors: Mapping[str, Tensor], target: Path, metadata: dict[str, str] | None = None) -> None:
    """Writes the tensors, wherever they are.

    Raises:
        OutputError: the file cannot be written.
    """
    held = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with replacing(target) as temporary:
        try:
            save_file(held, temporary, metadata)
        except SafetensorError as error:  # what the disk said, as an error of the format
            raise OSError(str(error)) from error
