"""Tables on stdout: what tells two rows apart is never cut."""

from __future__ import annotations

import pytest
from rich.text import Text

from snl_edge.table import number_column, print_table, text_column

pytestmark = pytest.mark.everywhere

NAMES = ("transistor_of_the_left_hand_side_[red]_A", "transistor_of_the_left_hand_side_[red]_B")


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_table(
        [text_column("product"), text_column("image"), number_column("false\nrejects"), number_column("AUROC")],
        [(name, f"{name}.png", "1 of 12", "99.9") for name in NAMES],
    )
    return Text.from_ansi(capsys.readouterr().out).plain.splitlines()


def test_a_file_gets_whole_rows(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    for line, name in zip(printed(capsys)[2:], NAMES, strict=True):
        assert line.split() == [name, f"{name}.png", "1", "of", "12", "99.9"]


@pytest.mark.parametrize("width", [100, 60, 20])
def test_a_terminal_gets_folded_names_and_whole_figures(width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")
    lines = printed(capsys)
    second, figures = lines[1].index("image"), lines[1].index("rejects")
    assert "".join(line[:second].strip() for line in lines[2:]) == "".join(NAMES)
    assert "".join(line[second:figures].strip() for line in lines[2:]) == "".join(f"{name}.png" for name in NAMES)
    assert sum(line.endswith("1 of 12   99.9") for line in lines) == 2
    if width == 100:
        assert max(map(len, lines)) <= width


@pytest.mark.parametrize(("rows", "paged"), [(3, False), (30, True)])
def test_a_table_longer_than_the_terminal_is_paged_whole(rows, paged, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("LINES", "10")
    shown = []
    monkeypatch.setattr("pydoc.pager", shown.append)
    print_table([text_column("image")], [(f"{number}.png",) for number in range(rows)], paged=True)
    printed = "".join(shown) if paged else capsys.readouterr().out
    assert len(shown) == paged
    assert Text.from_ansi(printed).plain.split() == ["image", *(f"{number}.png" for number in range(rows))]
