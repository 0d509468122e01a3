"""How a study runs as a command, and how it ends: an error of ours is one line and an exit code, no traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import typer

from snl_edge.errors import SnlEdgeError


def run_command(command: Callable[..., Any]) -> None:
    """Runs ``command`` with its options from the command line; an error begins with the module's name."""
    try:
        typer.run(command)
    except SnlEdgeError as error:
        spec = getattr(sys.modules["__main__"], "__spec__", None)
        print(f"{spec.name if spec else command.__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
