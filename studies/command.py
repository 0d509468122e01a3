"""How a benchmark runs as a command, and how it ends: an error of ours is one line and an exit code, no traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import typer

from snl_edge.errors import SnlEdgeError


def run_command(command: Callable[..., Any]) -> None:
    """Runs ``command`` with its options from the command line."""
    try:
        typer.run(command)
    except SnlEdgeError as error:
        print(f"{command.__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
