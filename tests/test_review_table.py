"""What a person wrote into a review's table is taken, or refused with the line: never left out in silence."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from snl_edge.errors import DataError
from snl_edge.training.review import read_review

ONE, TWO = "a" * 64, "b" * 64
HEAD = "image,product,standing,verdict,sha256\n"


def test_verdicts_are_read_whatever_their_case(tmp_path):
    table = tmp_path / "review.csv"
    table.write_text(HEAD + f"1.png,gear,2.0,Good,{ONE.upper()}\n2.png,gear,1.0,,{TWO}\n")
    assert read_review(table) == {ONE: "good"}


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (f"1.png,gear,2.0,,{ONE},good\n", "line 2 .* a cell too many"),
        (f"1.png,gear,2.0,good,{ONE}\n1.png,gear,2.0,defect,{ONE}\n", "line 3 .* another line calls good"),
        ("1.png,gear,2.0,good,\n", "nothing is no SHA-256"),
        (f"1.png,gear,2.0,,{ONE}\n", "has no verdict"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, lines, says):
    table = tmp_path / "review.csv"
    table.write_text(HEAD + lines)
    with pytest.raises(DataError, match=says):
        read_review(table)
