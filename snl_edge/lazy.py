"""Public names that a module imports when they are first asked for, so that importing it loads nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def imported_when_asked(module: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` (PEP 562) of the module called ``module``.

    Args:
        module: its ``__name__``.
        homes: where each name is at home below the package, as ``runtime.bundle.Bundle``.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, _, own = homes[name].rpartition(".")
        value = getattr(import_module(f"{__package__}.{home}"), own)
        setattr(sys.modules[module], name, value)
        return value

    return get, lambda: sorted({*vars(sys.modules[module]), *homes})
