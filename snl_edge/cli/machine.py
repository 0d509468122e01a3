"""`doctor` and `demo`: this machine, and a first look at the product."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snl_edge.answer import say_json
from snl_edge.extras import GRAPHS, require

from .app import app
from .options import Json


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine can do and what to install for the rest.

    Example: snl-edge doctor
    """
    from snl_edge.doctor import examine, print_findings

    findings = examine()
    if as_json:
        say_json(findings)
    else:
        print_findings(findings)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo"),
    quick: Annotated[
        bool, typer.Option("--quick", help="Two products and a few steps: shows that all works, not how well.")
    ] = False,
) -> None:
    """Draw a synthetic production line, then train, evaluate, build FP16 and infer on it.

    Example: snl-edge demo
    """
    require("the demo", *GRAPHS, extra="train")
    from snl_edge.demo import run_demo

    run_demo(out, quick=quick)
