"""Makes ``results/summary.json``, the tables in README and docs and the picture of the ablation from the result files.

``python -m studies.summary`` writes them; ``--check`` fails if any is out of date, the picture aside:
its bytes depend on the version of matplotlib.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from snl_edge.atomic import write_text
from snl_edge.benchmarks.results import Result
from snl_edge.errors import DataError
from snl_edge.stream.config.settings_table import settings_table

from .ablation.picture import LINK, draw_study, picture_link
from .ablation.tables import (
    ablation_table,
    confirmation_table,
    headline,
    headline_figures,
    interference_table,
    peers_table,
    products_table,
)
from .command import run_command
from .detection.tables import (
    COLUMNS,
    RECOGNITION_COLUMNS,
    agreement_table,
    contamination_table,
    many_products_table,
    mean_of,
    quality_table,
    recognition_table,
    robustness_table,
)
from .detection.wins_and_failures import wins_caption
from .gpu_proof.tables import gpu_table
from .hostile.tables import command_kills_table, fuzz_table
from .line.tables import attack_table, kills_table, stream_figures, stream_table
from .precision.tables import memory_table, precision_figures, precision_table, size_table
from .result_files import FOLDER, ROOT, SUMMARY, read_results
from .speed.infer import infer_table
from .speed.presets import presets_table
from .speed.tables import (
    install_table,
    machines_table,
    ratios_table,
    speed_headlines,
    speed_table,
    teacher_table,
    training_headlines,
    training_speed_table,
)
from .tables import percent
from .thresholds.rates import thresholds_table

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
PICTURE = ROOT / "docs" / LINK
BLOCK = re.compile(r"(<!-- figures: (?P<table>[\w-]+) -->\n)(?P<body>.*?)(<!-- end of figures -->)", re.DOTALL)
STUDY = "real10"
"""The study that the headline figures and the picture come from."""
SPEED = "cpu"
"""The speed result that the headline ratios come from."""


def summary(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if something is out of date.")] = False,
) -> None:
    """Writes, or checks, everything that shows figures."""
    results = read_results()
    wanted = {FOLDER / SUMMARY: json.dumps(summarise(results), indent=1, sort_keys=True) + "\n"}
    wanted |= {page: fill(page, results) for page in PAGES}
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if check and stale:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        raise SystemExit(f"out of date: {names}. Run: python -m studies.summary")
    for path in stale:
        write_text(path, wanted[path])
    if not check:
        draw_study(results, STUDY, PICTURE)
    typer.echo(
        f"{len(results)} result files; {'all pages are up to date' if not stale else f'{len(stale)} files written'}"
    )


def summarise(results: Mapping[str, Result]) -> dict[str, Any]:
    """The headline figures of every kind of result, in percent; of single runs with the file each came from."""
    runs = {
        result.name: {
            # A metric that no product defines is left out.
            **{metric: percent(value) for metric in COLUMNS if (value := mean_of(result)[metric]) is not None},
            "products": len(result.figures["pytorch"]["products"]),
            "seeds": [result.settings["training"]["seed"]],
            "file": name,
        }
        for name, result in results.items()
        if result.kind == "quality"
    }
    recognition = {
        result.name: {
            **{metric: percent(result.figures["overall"][metric]) for metric in RECOGNITION_COLUMNS},
            "products": len(result.figures["products"]),
            "file": name,
        }
        for name, result in results.items()
        if result.kind == "recognition"
    }
    summary = {"quality": headline_figures(results, STUDY), "quality_runs": runs, "recognition": recognition}
    # Only what has been measured stands in the summary.
    others = {
        "cpu": speed_headlines(results, SPEED),
        "training": training_headlines(results),
        "stream": stream_figures(results),
    }
    return summary | {name: figures for name, figures in others.items() if figures} | precision_figures(results, STUDY)


TODAY = {
    "calibration_memory": "precision.calibration_memory",
    "command_kills": "hostile.command_kills",
    "contamination": "detection.contamination",
    "edge_install": "speed.edge_install",
    "engine_sizes": "precision.engine_sizes",
    "fuzz": "hostile.fuzz",
    "infer": "speed.infer",
    "int8": "precision.loss",
    "many_products": "detection.many_products",
    "presets": "speed.presets",
    "quality": "detection.quality",
    "recognition": "detection.recognition",
    "robustness": "detection.robustness",
    "speed": "speed.beside_peers",
    "stream": "line.throughput",
    "stream_kills": "line.kills",
    "stream_siege": "line.attack",
    "threshold_draws": "thresholds.draws",
    "training_speed": "speed.training",
}
"""What commands of result files are called now that were part of the package when they ran."""


def todays(text: str) -> str:
    """The text with commands as they are called now; the result files keep them as they ran."""
    return re.sub(r"python -m snl_edge\.benchmarks\.(\w+)", lambda match: f"python -m studies.{TODAY[match[1]]}", text)


def fill(page: Path, results: Mapping[str, Result]) -> str:
    """The text of ``page`` with every marked block made again.

    Raises:
        DataError: a block asks for a table that does not exist, or its result file is missing.
    """

    def block(match: re.Match[str]) -> str:
        kind, _, name = match["table"].partition("-")
        if kind not in TABLES:
            raise DataError(f"{page} asks for figures {match['table']!r}", "there is no such table")
        try:
            return f"{match[1]}{todays(TABLES[kind](results, name))}{match[4]}"
        except DataError as error:
            raise DataError(
                f"{page} asks for figures {match['table']!r}: {error.what}", error.why, error.fix
            ) from error

    return BLOCK.sub(block, page.read_text(encoding="utf-8"))


TABLES: dict[str, Callable[[Mapping[str, Result], str], str]] = {
    "quality": quality_table,
    "agreement": agreement_table,
    "recognition": recognition_table,
    "manyproducts": many_products_table,
    "ablation": ablation_table,
    "confirmation": confirmation_table,
    "products": products_table,
    "headline": headline,
    "interference": interference_table,
    "peers": peers_table,
    "picture": picture_link,
    "stream": stream_table,
    "attack": attack_table,
    "stopped": command_kills_table,
    "fuzz": fuzz_table,
    "kills": kills_table,
    "settings": lambda results, name: settings_table(),
    "speed": speed_table,
    "ratios": ratios_table,
    "teacher": teacher_table,
    "presets": presets_table,
    "trainingspeed": training_speed_table,
    "machines": machines_table,
    "install": install_table,
    "int8": precision_table,
    "enginesizes": size_table,
    "calibrationmemory": memory_table,
    "robustness": robustness_table,
    "wins": wins_caption,
    "gpu": gpu_table,
    "infer": infer_table,
    "contamination": contamination_table,
    "thresholds": thresholds_table,
}
"""What the first word of a block's name stands for; the rest of the name says of what (a run, a study)."""

if __name__ == "__main__":
    run_command(summary)
