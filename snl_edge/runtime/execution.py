"""An engine made ready to run, and the kernels compiled for it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..atomic import replacing
from ..errors import OutputError


@dataclass
class Execution:
    """An execution context and, with TensorRT-RTX, the kernels compiled for it, which must outlive it."""

    context: Any
    settings: Any = None
    kernels: Any = None
    kernel_cache: Path | None = None
    saved_bytes: int = 0

    def save_kernels(self) -> None:
        """Writes the compiled kernels if there are new ones; failing to costs the next start time, nothing else."""
        if self.kernels is None or self.kernel_cache is None:
            return
        content = self.kernels.serialize()
        if content is None or content.nbytes == self.saved_bytes:
            return
        try:
            with replacing(self.kernel_cache) as temporary:
                temporary.write_bytes(bytes(content))
            self.saved_bytes = content.nbytes
        except OutputError as error:
            logging.getLogger(__name__).warning("kernels will be compiled again at the next start: %s", error)
