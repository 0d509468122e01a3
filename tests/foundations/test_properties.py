"""Whatever a reader is given ends in a value or in one line of ours; at length: `studies.hostile.fuzz`."""

from __future__ import annotations

import json
import random
import string
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snl_edge.errors import SnlEdgeError
from snl_edge.outside.csv_rows import csv_rows
from snl_edge.outside.graph_file import require_no_other_file
from snl_edge.outside.image_size import size_of_bytes
from snl_edge.outside.json_text import parse_json
from snl_edge.outside.packed import unpack_gzip
from snl_edge.outside.shown import shown
from snl_edge.outside.yaml_text import parse_yaml
from studies.hostile.parsers import PARSERS

BRIEF = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SEEDS = {name: parser.seeds() for name, parser in PARSERS.items()}
CELL = st.text(max_size=10).filter(lambda cell: "\0" not in cell)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("name", PARSERS)
@BRIEF
@given(number=st.integers(0, 2**32))
def test_a_changed_file_is_read_or_refused_in_one_line(tmp_path: Path, name: str, number: int) -> None:
    parser = PARSERS[name]
    rng = random.Random(number)
    path = tmp_path / parser.file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(parser.change(rng.choice(SEEDS[name]), rng, SEEDS[name]))
    _read_or_refused(parser.read, path)


@pytest.mark.parametrize("name", PARSERS)
@BRIEF
@given(content=st.binary(max_size=64))
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    parser = PARSERS[name]
    path = tmp_path / parser.file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    _read_or_refused(parser.read, path)


@pytest.mark.parametrize("name", [name for name, parser in PARSERS.items() if parser.file.endswith("json")])
@BRIEF
@given(value=JSON)
def test_any_json_is_read_or_refused_in_one_line(tmp_path: Path, name: str, value: object) -> None:
    path = tmp_path / PARSERS[name].file
    path.write_text(json.dumps(value))
    _read_or_refused(PARSERS[name].read, path)


def _read_or_refused(read: Any, path: Path) -> None:
    said = ""
    try:
        read(path)
    except SnlEdgeError as error:
        said = str(error)
    assert shown(said) == said


@BRIEF
@given(st.text() | st.text(alphabet='[]{}",:0123456789eE+-.\\ truefalsn', max_size=200))
def test_json_is_what_python_reads_or_refused(text: str) -> None:
    try:
        said = parse_json(text)
    except ValueError:
        return
    assert said == json.loads(text)


@BRIEF
@given(st.text(alphabet=string.printable, max_size=300))
def test_yaml_is_read_or_refused(text: str) -> None:
    with suppress(ValueError):
        parse_yaml(text)


@BRIEF
@given(
    st.lists(st.lists(st.text(max_size=10).filter(lambda cell: "\0" not in cell), min_size=1, max_size=4), max_size=5)
)
def test_a_table_is_read_as_it_was_written(rows: list[list[str]]) -> None:
    text = "".join(",".join('"' + cell.replace('"', '""') + '"' for cell in row) + "\r\n" for row in rows)
    assert [cells for _, cells in csv_rows(text)] == rows


@BRIEF
@given(st.text())
def test_what_is_shown_can_be_seen_and_stays(name: str) -> None:
    seen = shown(name)
    assert shown(seen) == seen
    assert seen.encode() or not name
    assert not any(char in seen for char in "\n\r\x1b\u202e\u2028\x9b")


@BRIEF
@given(st.binary(max_size=200))
def test_headers_are_read_or_refused(content: bytes) -> None:
    for start in (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"BM", b"RIFF....WEBP", b"II*\0", b"MM\0+"):
        with suppress(ValueError):
            size_of_bytes(start + content)
    for check in (require_no_other_file, lambda packed: unpack_gzip(packed, 1 << 20)):
        with suppress(ValueError):
            check(content)
