"""Packages that only some work needs: which extra brings them."""

from __future__ import annotations

import importlib.util

from .errors import ConfigError

TRAINING = ("torch", "timm", "safetensors", "matplotlib", "scipy")
"""What training imports."""
GRAPHS = ("torch", "timm", "onnx", "onnxsim")
"""What graphs are made with."""


def installed(module: str) -> bool:
    """Whether ``module`` can be imported; nothing is."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its parent is not there either
        return False


def require(what: str, *modules: str, extra: str) -> None:
    """Refuses work whose packages are not installed, with the extra that brings them.

    Args:
        what: the work, as in ``training``.
        modules: what it imports.
        extra: of ours.

    Raises:
        ConfigError: a module is missing.
    """
    if missing := [module for module in modules if not installed(module)]:
        raise ConfigError(
            f"{what} needs {', '.join(missing)}",
            "the base install leaves them out",
            f'run: pip install "snl-edge[{extra}]"',
        )
