"""Pages that the code itself writes: commands from typer, settings from pydantic, the API from its docstrings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from typer.cli import get_docs_for_click
from typer.main import get_command

import snl_edge
from snl_edge import SnlConfig, TrainingConfig, plugins
from snl_edge.cli import app
from snl_edge.stream.config.settings_table import rows, settings_table

ROLE = re.compile(r":(?:class|func|mod|meth|attr):(`[^`]+`)")
RECORDS = {
    "Manifest": (
        "`manifest.json` of a bundle.",
        [
            f"runtime.manifest.{name}"
            for name in ("Manifest", "InputSpec", "ProductReference", "IgnoredRegion", "Lineage")
        ],
    ),
    "Engine": ("The side file of an engine.", ["runtime.engine_record.EngineRecord"]),
    "Checkpoint": ("`checkpoint.json` of a run folder.", ["training.checkpoint.Checkpoint"]),
    "Record": (
        "What the journal keeps of a part. Sinks send it [as a message](../sinks.md#the-message) "
        "([JSON Schema](../verdict.schema.json)), and `infer` writes [lines](../infer.md) "
        "([JSON Schema](../infer.schema.json)).",
        ["stream.records.record.Record", "stream.records.record.Entry", "stream.outputs.sinks.message.Message"],
    ),
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages."""
    for name, text in pages():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def pages() -> Iterator[tuple[str, str]]:
    """Name and Markdown of each page."""
    yield "commands", commands()
    words = "`x[]` is a list; `x(kind)` belongs to that kind only."
    yield "settings-line", f"# Settings of a line\n\n{words}\n\n{settings_table()}"
    yield "settings-training", training()
    yield "python", python()
    yield "plugins", plug_ins()
    yield "records", records()


def commands() -> str:
    """What ``--help`` says, of every command."""
    command: Any = get_command(app)
    with command.make_context("snl-edge", [], resilient_parsing=True) as context:
        text = get_docs_for_click(obj=command, ctx=context, name="snl-edge")
    return re.sub(r"^# .*", "# Commands", text, count=1)


def training() -> str:
    """Tables of both configurations."""
    return f"""# Settings of training

## Training

Fields of `TrainingConfig`; `snl-edge train` has an option for those that are changed often.

{table(TrainingConfig)}

## Model

Fields of `SnlConfig`, as `train --set NAME=VALUE` takes them. Defaults are its own; [presets](../figures.md#presets)
change some.

{table(SnlConfig)}"""


def table(model: type[BaseModel]) -> str:
    """A Markdown table of a model's settings.

    Raises:
        ValueError: one has no description.
    """
    found = list(rows(model))
    if dumb := [name for name, _, _, meaning in found if not meaning]:
        raise ValueError(f"settings of {model.__name__} without a description: {', '.join(dumb)}")
    lines = [f"| `{name}` | {takes} | {default} | {ROLE.sub(_name, text)} |" for name, takes, default, text in found]
    return "\n".join(["| setting | takes | default | meaning |", "|---|---|---|---|", *lines, ""])


def _name(role: re.Match[str]) -> str:
    return role[1]


def python() -> str:
    """Every public name."""
    blocks = [
        block(f"snl_edge.{home}", name)
        for name, home in sorted(snl_edge._HOMES.items(), key=lambda one: (one[0][0].isupper(), one[0]))
        if name != "__version__"
    ]
    return "# Python\n\n`from snl_edge import …` ([how](../api.md)).\n\n" + "\n".join(blocks) + errors()


def errors() -> str:
    """The family."""
    return "\n## Errors\n\n::: snl_edge.errors\n    options: {show_root_heading: false, members_order: source}\n"


def plug_ins() -> str:
    """What ``snl_edge.plugins`` has."""
    homes = {name: home for name, home in plugins._HOMES.items() if name != "CameraError"}  # it is among the errors
    blocks = [block(f"snl_edge.{home}", name) for name, home in homes.items()]
    return "# Plug-ins\n\n`from snl_edge.plugins import …` ([how](../plugins.md)).\n\n" + "\n".join(blocks)


def records() -> str:
    """What files hold."""
    text = "# Manifest and records\n\nHow files of earlier versions are read: [promises](../promises.md).\n"
    for heading, (words, names) in RECORDS.items():
        text += f"\n## {heading}\n\n{words}\n\n" + "\n".join(
            block(f"snl_edge.{name}", name.rpartition(".")[2], "show_if_no_docstring: true") for name in names
        )
    return text


def block(path: str, heading: str, *more: str) -> str:
    """What mkdocstrings takes."""
    return f"::: {path}\n    options: {{{', '.join([f'heading: {heading}', *more])}}}\n"
