"""The command line's root: its help, `--version`, and how an error ends."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from snl_edge import __version__
from snl_edge.errors import SnlEdgeError

app = typer.Typer(
    help="One visual anomaly detector for every product on the line.\n\n"
    "The way of one model: train → evaluate → build → infer. New here? Run: snl-edge demo",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point: runs a command; an error of ours becomes one line on stderr and exit code 1, Ctrl-C 130."""
    try:
        app()
    except SnlEdgeError as error:
        print(f"snl-edge: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("snl-edge: interrupted.", file=sys.stderr)
        sys.exit(130)
