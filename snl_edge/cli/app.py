"""The command line's root: its help, `--version`, and how an error ends."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from snl_edge.answer import NobodyReadsError, complain, forget_stdout, open_stdout, say
from snl_edge.errors import SnlEdgeError
from snl_edge.stopping import status_of
from snl_edge.version import __version__


@contextmanager
def _stops_told() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as stop:  # typer would end with 130 whatever the signal, and say nothing
        complain("interrupted.")
        raise SystemExit(status_of(stop)) from stop


class WholeSentences(TyperGroup):
    """Wraps the sentence that describes a command where typer would cut it off; a stop keeps its signal's status."""

    def make_context(self, *names: Any, **more: Any) -> Any:
        """Reads the arguments."""
        with _stops_told():
            return super().make_context(*names, **more)

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that was named."""
        with _stops_told():
            return super().invoke(ctx)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes name and sentence of every command."""
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [(name, command.get_short_help_str(limit=200)) for name, command in commands if command]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


app = typer.Typer(
    cls=WholeSentences,
    help="One visual anomaly detector for every product on the line.\n\n"
    "The way of one model: train → evaluate → build → infer. New here? Run: snl-edge demo",
    no_args_is_help=True,
    # Plain: rich's help imports pygments and a Markdown parser, half a second on a small device.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        say(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Runs a command; an error of ours becomes one line on stderr and exit code 1.

    A reader of stdout that has gone gives 141, as the shell says of a program that SIGPIPE ended.
    """
    try:
        open_stdout()
        _run()
    except SnlEdgeError as error:
        forget_stdout()
        complain(str(error))
        sys.exit(error.exit_code)
    except NobodyReadsError:
        forget_stdout()
        sys.exit(141)
    except MemoryError:
        forget_stdout()
        complain("this machine has not enough free memory for that.")
        sys.exit(1)


def _run() -> None:
    try:
        app()
    finally:
        sys.stdout.flush()
