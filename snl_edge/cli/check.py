"""`check`: what is wrong and what is doubtful about a data set, before anything is learned from it."""

from __future__ import annotations

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
    from snl_edge import provenance
    from snl_edge.counted import counted
    from snl_edge.data.check import survey
    from snl_edge.data.findings_page import show_sample, write_findings
    from snl_edge.data.layouts import open_dataset
    from snl_edge.progress import console, progress_bar

    dataset = open_dataset(data, layout.value, chosen_products(products), trains=False).with_bits(bits)
    with progress_bar("checking images") as report:
        found = survey(dataset.train, dataset.test, dataset.loose_masks, progress=report)
    notes = [finding for finding in dataset.findings if not finding.doubtful]
    doubts = [finding for finding in (*dataset.findings, *found.doubts) if finding.doubtful]
    good = sum(sample.is_good for sample in (*dataset.train, *dataset.test))
    names = {sample.product for sample in (*dataset.train, *dataset.test)}
    summary = (
        f"{counted(len(names), 'product')}, {counted(good, 'good image')}, {found.images - good} defective "
        f"({len(dataset.train)} to train on): {counted(len(found.faults), 'fault')}, {counted(len(doubts), 'doubt')}"
    )
    if as_json:
        told = {"faults": found.faults, "doubts": doubts, "notes": notes}
        say_json({"summary": summary} | {name: _plain(own) for name, own in told.items()})
    else:
        for word, findings in (("fault", found.faults), ("doubt", doubts), ("note", notes)):
            for finding in findings:
                say(f"{word}: {finding.text}")
        say(summary)
    if out is not None:
        page = write_findings(
            doubts,
            out / "index.html",
            title=f"What to look at: {data.resolve().name}",
            summary=summary,
            refused=found.faults,
            notes=notes,
            provenance={"data": f"{data} ({dataset.layout} layout)", "created": provenance.now()},
            read=show_sample([*dataset.train, *dataset.test]),
        )
        console.print(f"page: {page}")
    if found.faults:
        raise typer.Exit(1)


def _plain(findings: list[Finding]) -> list[dict[str, object]]:
    return [{"kind": f.kind, "text": f.text, "images": [str(path) for path in f.images]} for f in findings]
