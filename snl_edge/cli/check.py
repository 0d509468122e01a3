"""`check`: what is wrong and what is doubtful about a data set, before anything is learned from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snl_edge.answer import say, say_json

from .app import app
from .options import Bits, Data, Json, Layout, LayoutOption, Products, chosen_products

if TYPE_CHECKING:
    from snl_edge.data.findings import Finding


@app.command()
def check(
    data: Data,
    out: Annotated[Path | None, typer.Option(help="Folder for a page that shows the images of each finding.")] = None,
    bits: Bits = None,
    layout: LayoutOption = Layout.auto,
    products: Products = None,
    as_json: Json = False,
) -> None:
    """Look at every image and mask of a data set: what cannot be used, and what is doubtful.

    Ends with status 1 if something cannot be used, else with 0.

    Example: snl-edge check parts/ --out parts-check/
    """
    from snl_edge.data.layouts import open_dataset
    from snl_edge.progress import console
    from snl_edge.workflow import datasets

    dataset = open_dataset(data, layout.value, chosen_products(products), trains=False)
    found = datasets.check(dataset, page=None if out is None else out / "index.html", bits=bits)
    if as_json:
        told = {"faults": found.faults, "doubts": found.doubts, "notes": found.notes}
        say_json({"summary": found.summary} | {name: _plain(own) for name, own in told.items()})
    else:
        for word, findings in (("fault", found.faults), ("doubt", found.doubts), ("note", found.notes)):
            for finding in findings:
                say(f"{word}: {finding.text}")
        say(found.summary)
    if found.page is not None:
        console.print(f"page: {found.page}")
    if found.faults:
        raise typer.Exit(1)


def _plain(findings: Sequence[Finding]) -> list[dict[str, object]]:
    return [{"kind": f.kind, "text": f.text, "images": [str(path) for path in f.images]} for f in findings]
