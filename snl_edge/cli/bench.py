"""`bench`: how fast a bundle is on this machine, as a page, and against another result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from snl_edge.answer import say

from .app import WholeSentences, app
from .numbers import number, parse_numbers
from .options import parse_size


class _RunByDefault(WholeSentences):
    """``bench BUNDLE`` is short for ``bench run BUNDLE``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["run", *args]
        return super().parse_args(ctx, args)


group = typer.Typer(cls=_RunByDefault, no_args_is_help=True, rich_markup_mode=None)
app.add_typer(
    group,
    name="bench",
    help="Measure speed, memory and energy of a bundle on this machine.\n\n"
    "Example: snl-edge bench runs/line3/bundle (short for: bench run)",
)


@group.command()
def run(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.")],
    out: Annotated[Path, typer.Option(help="Result file.")] = Path("bench.json"),
    backend: Annotated[list[str] | None, typer.Option(help="Only this one (repeatable); all available if not.")] = None,
    precision: Annotated[list[str] | None, typer.Option(help="Only this one (repeatable); all if not given.")] = None,
    batches: Annotated[str, typer.Option(help="Batch sizes, up to the bundle's largest.")] = "1,4,8",
    in_flight: Annotated[str, typer.Option(help="How many batches at once, for throughput.")] = "1,2",
    frame: Annotated[
        str | None,
        typer.Option(
            help="Size of the camera's frames, WIDTHxHEIGHT; 640x480, or that of a bundle built with --frame."
        ),
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of real pictures; random noise if not given.")] = None,
    rounds: Annotated[
        int, typer.Option(min=1, max=100_000, help="Turns of every subject; 5 or more for comparisons.")
    ] = 5,
    seconds: Annotated[float, typer.Option(parser=number(0.01, 3600), help="Length of one turn of one figure.")] = 0.5,
    threads: Annotated[int | None, typer.Option(min=1, max=1024, help="CPU threads; all cores if not given.")] = None,
    device: Annotated[int, typer.Option(min=0, max=1023, help="Number of the GPU.")] = 0,
    budget_ms: Annotated[
        float | None, typer.Option(parser=number(0, 1e9), help="Count calls that take longer: missed parts.")
    ] = None,
    metrics: Annotated[Path | None, typer.Option(help="metrics.json of `snl-edge evaluate`, for the report.")] = None,
) -> None:
    """Measure every backend and precision that can run here.

    Example: snl-edge bench runs/line3/bundle --images parts/test --budget-ms 50
    """
    from dataclasses import replace

    from snl_edge.benchmarks.bench import BenchOptions, bench
    from snl_edge.benchmarks.tables import print_figures

    options = BenchOptions(
        backends=tuple(backend or ()),
        precisions=tuple(precision or ()),
        batches=parse_numbers(batches, "--batches"),
        in_flight=parse_numbers(in_flight, "--in-flight"),
        frame=parse_size(frame) if frame else None,
        images=images,
        rounds=rounds,
        seconds=seconds,
        device=device,
        budget_ms=budget_ms,
        metrics=metrics,
    )
    figures = bench(bundle, options if threads is None else replace(options, threads=threads), out)
    print_figures(figures)
    say(f"wrote {out}; next: snl-edge bench report {out}")


@group.command()
def report(
    files: Annotated[list[Path], typer.Argument(help="Result files of one machine or of several.")],
    out: Annotated[Path, typer.Option(help="The page to write; a Markdown table goes beside it.")] = Path("bench.html"),
) -> None:
    """Make one page with tables and plots out of result files.

    Example: snl-edge bench report orin.json rtx4060.json --out speed.html
    """
    from snl_edge.benchmarks.report import write_report

    html, markdown = write_report(files, out)
    say(f"wrote {html} and {markdown}")


@group.command()
def compare(
    before: Annotated[Path, typer.Argument(help="Result file to compare with.")],
    after: Annotated[Path, typer.Argument(help="Result file that is compared.")],
) -> None:
    """Say what became faster or slower, by how much and how surely.

    Example: snl-edge bench compare before.json after.json
    """
    from snl_edge.benchmarks.compare import compare_files, print_comparison

    print_comparison(compare_files(before, after))
