"""`threshold` and `inspect`: looking at a bundle and setting it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snl_edge.answer import say, say_json
from snl_edge.errors import ConfigError
from snl_edge.extras import require

from .app import app
from .options import Json


@app.command()
def threshold(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.")],
    value: Annotated[float | None, typer.Argument(help="The new threshold; shows those in force if not given.")] = None,
    product: Annotated[str | None, typer.Option(help="Of this product; needed where there are several.")] = None,
    unknown: Annotated[
        float | None, typer.Option(help="New limit of the product distance: above it a product is unknown.")
    ] = None,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Set a value far from that of training, which is refused otherwise.")
    ] = False,
    reset: Annotated[
        bool, typer.Option("--reset", help="Back to what training chose, of --product or of all that was changed.")
    ] = False,
    by: Annotated[
        str | None, typer.Option(help="Who changes it, for the bundle's history; your user and machine if not given.")
    ] = None,
    why: Annotated[str, typer.Option(help="Why, in a sentence for the history.")] = "",
) -> None:
    """Show or set the thresholds in force; nothing has to be built again. The bundle's history keeps every change.

    Example: snl-edge threshold line3/ 0.55 --product gear

    Or: snl-edge threshold line3/ --unknown 1.3
    """
    from snl_edge.progress import console
    from snl_edge.runtime.bundle import Bundle
    from snl_edge.runtime.manifest import KNOWN
    from snl_edge.runtime.threshold_table import threshold_table
    from snl_edge.runtime.thresholds import Thresholds
    from snl_edge.runtime.tuning import require_confirmed, standing_doubts, unusual, unusual_limit

    opened = Bundle.open(bundle)
    products = opened.manifest.products
    if reset and not (value is None and unknown is None):
        raise ConfigError("--reset takes no new value", fix="leave out one of the two")
    if value is not None and product is None:
        if len(products) > 1:
            raise ConfigError(
                f"bundle {bundle} has {len(products)} products, each with a threshold of its own",
                "one value does not fit all: their good parts score differently",
                f"name one with --product: {', '.join(products)}",
            )
        product = next(iter(products))
    changed = opened.with_tuning_reset(product) if reset else opened
    if value is not None:
        changed = changed.with_threshold(value, product)
        require_confirmed(unusual(opened.manifest, product, value), confirm)
    if unknown is not None:
        changed = changed.with_unknown_limit(unknown)
        require_confirmed(unusual_limit(unknown), confirm)
    if changed is opened and (by is not None or why):
        raise ConfigError("--by and --why go with a change", fix="give a value, --unknown or --reset")
    opened = changed.save(by=by, why=why)
    for text in threshold_table(opened):
        say(text)
    limit = opened.manifest.unknown_limit
    last = opened.history.last(Thresholds(unknown_limit=limit)) if limit != KNOWN else None
    say(f"(unknown product, above distance): {limit:.3f}{f', set by {last.author}' if last else ''}")
    for odd in standing_doubts(opened.manifest).values():
        console.print(f"doubtful: {odd}")


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="Run folder, bundle, ONNX graph or engine.")],
    as_json: Json = False,
    long: Annotated[bool, typer.Option("--long", help="All of a bundle: every product, gate and change.")] = False,
) -> None:
    """Say what a file or folder of ours is, where it came from, and whether it is intact. --json tells every detail.

    Example: snl-edge inspect runs/line3/bundle
    """
    from snl_edge.inspection.inspect import describe
    from snl_edge.workflow.needs import require_for_run

    require_for_run(path)
    if path.suffix == ".onnx":
        require(f"the graph {path}", "onnx", "onnxsim", extra="train")
    found = describe(path)
    if as_json:
        say_json(found.record)
    else:
        for line in found.lines if long or not found.short else found.short:
            say(line)
