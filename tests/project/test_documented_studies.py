"""Studies that pages name are there, under the name of today."""

from __future__ import annotations

import re
from pathlib import Path

from studies.summary import TODAY, todays

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "studies/README.md", *(ROOT / "docs").glob("*.md")]


def test_every_study_that_a_page_calls_exists() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"python -m (studies(?:\.[a-z_]+)+)", text)) | {f"studies.{name}" for name in TODAY.values()}
    assert len(named) > 20
    assert not {name for name in named if not (ROOT / f"{name.replace('.', '/')}.py").is_file()}
    assert "python -m snl_edge.benchmarks." not in text


def test_a_command_of_before_gets_the_name_of_today() -> None:
    assert todays("`python -m snl_edge.benchmarks.int8 data`") == "`python -m studies.precision.loss data`"
