"""`ignore`: regions of a product that do not count."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snl_edge.answer import say

from .app import app
from .options import RUN, Layout, LayoutOption


@app.command()
def ignore(
    run: Annotated[
        Path, typer.Argument(help="Run folder that `train` wrote; a bundle only to show its regions.")
    ] = RUN,
    product: Annotated[
        str | None, typer.Option(help="Whose regions to set or show; shows those of all if not given.")
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(help="Image in which all that is not black is ignored, or .json with polygons.")
    ] = None,
    polygon: Annotated[
        list[str] | None,
        typer.Option(help='Corners as "x,y x,y x,y", in pixels of the product\'s images (repeatable).'),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Ignore nothing of this product any more.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="The data set that the run was trained on: thresholds are set again on it.")
    ] = None,
    layout: LayoutOption = Layout.auto,
) -> None:
    """Show or set the regions of a product that do not count: a date code, a moving belt, a clamp.

    What is given takes the place of what the product ignored before. Thresholds are set again; bundles have to be
    built again.

    Example: snl-edge ignore runs/line3 --product gear --mask gear-ignored.png --data parts/

    Or: snl-edge ignore runs/line3 --product gear --polygon "10,10 90,10 90,40 10,40" --data parts/
    """
    from snl_edge.errors import ConfigError
    from snl_edge.runtime.manifest import FILE as MANIFEST

    changes = mask is not None or bool(polygon) or clear
    if not changes:
        _show(run, product)
        return
    if (run / MANIFEST).is_file():
        raise ConfigError(
            f"{run} is a bundle: what it ignores is part of its graphs",
            fix="change it in the run folder, and build the bundle again",
        )
    if product is None or (clear and (mask is not None or polygon)):
        raise ConfigError(
            "it is not clear what to ignore",
            "a change needs --product, and either --mask or --polygon, or --clear",
            "see `snl-edge ignore --help`",
        )
    if data is None:
        raise ConfigError(
            "--data is missing",
            "thresholds rest on good images, which are judged again",
            "add --data with the folder the model was trained on",
        )
    from snl_edge.workflow.needs import require_for_run

    require_for_run(run)
    from snl_edge.data.layouts import open_dataset
    from snl_edge.progress import console
    from snl_edge.runtime.remedies import build_command
    from snl_edge.workflow import runs

    dataset = open_dataset(data, layout.value, trains=False)
    changed = runs.ignore(run, dataset, product, mask=mask, polygons=polygon or (), clear=clear)
    console.print(
        f"{changed.share:.1%} of the picture of {product} does not count"
        + (f": look at {changed.picture}" if changed.picture else "")
        + f"; its threshold was {changed.threshold_before:.3f} and is {changed.threshold:.3f}"
    )
    for doubt in changed.doubts:
        console.print(f"doubt: {doubt}", markup=False, highlight=False)
    for bundle in changed.refused:
        console.print(f"{bundle} is of the regions before and refused from now on", style="bold")
    console.print(f"bundles that lie elsewhere judge as before; build again: {build_command(run)}")


def _show(path: Path, wanted: str | None) -> None:
    from snl_edge.errors import ConfigError
    from snl_edge.runtime.bundle import Bundle
    from snl_edge.runtime.ignored import read_ignored
    from snl_edge.runtime.manifest import FILE as MANIFEST

    if (path / MANIFEST).is_file():
        bundle = Bundle.open(path)
        regions, products = read_ignored(bundle), bundle.manifest.products
        pictures = {product: path / own.picture for product, own in bundle.manifest.ignored.items()}
    else:
        from snl_edge.workflow.needs import require_for_run

        require_for_run(path)
        from snl_edge.training.checkpoint import read_checkpoint
        from snl_edge.training.ignored import PICTURES, regions_of

        regions, products = regions_of(path), read_checkpoint(path).products
        pictures = {product: path / PICTURES / f"{product}.png" for product in regions}
    if wanted is not None and wanted not in products:
        raise ConfigError(f"unknown product {wanted!r}", f"{path} knows {', '.join(products)}", "give one of these")
    for product in products if wanted is None else (wanted,):
        if product not in regions:
            say(f"{product}: nothing is ignored")
            continue
        rows, columns = regions[product].nonzero()
        height, width = regions[product].shape
        say(
            f"{product}: {regions[product].mean():.1%} of the picture is ignored, between "
            f"{columns.min() / width:.0%} and {(columns.max() + 1) / width:.0%} of its width, "
            f"{rows.min() / height:.0%} and {(rows.max() + 1) / height:.0%} of its height: {pictures[product]}"
        )
