"""snl-edge: one visual anomaly detector for every product on the line, from PyTorch to a TensorRT engine.

``Detector`` and ``Verdict`` are loaded when they are first asked for: importing the package takes nothing.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .runtime.detector import Detector
    from .runtime.verdict import Verdict

__all__ = ["Detector", "Verdict", "__version__"]
__version__ = version("snl-edge")


def __getattr__(name: str) -> Any:
    if name == "Detector":
        from .runtime.detector import Detector

        return Detector
    if name == "Verdict":
        from .runtime.verdict import Verdict

        return Verdict
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
