"""What a person wrote into a review's table is taken, or refused with the line: never left out in silence."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from snl_edge.errors import DataError
from snl_edge.training.image_record import ImageEntry
from snl_edge.training.preparation import unused_review
from snl_edge.training.review import EARLIER, TABLE, _groups, _keep_earlier, read_review, what_to_do

ONE, TWO, THREE = "a" * 64, "b" * 64, "c" * 64
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


def entry(digest, role, *, suspicious):
    return ImageEntry(
        file=f"{digest[0]}.png", sha256=digest, product="gear", role=role, group=0, standing=2.0, suspicious=suspicious
    )


def test_the_page_says_what_became_of_suspicious_images_and_what_a_person_does(tmp_path):
    table = tmp_path / TABLE
    plain = entry(THREE, "trained", suspicious=False)
    left = what_to_do([entry(ONE, "excluded", suspicious=True), plain], {}, table)
    assert left.startswith("1 of 2 training images is left out as suspicious, unless you say")
    assert "write good or defect into the column verdict. Where it stays empty, what was left out stays out" in left
    assert f"--review {table} and --replace" in left
    trusted = what_to_do([entry(ONE, "trained", suspicious=True), plain], {}, table)
    assert trusted.startswith("1 of 2 training images is suspicious and learned as good all the same, as --trust says")
    assert "left out" not in trusted
    both = [entry(ONE, "trained", suspicious=True), entry(TWO, "excluded", suspicious=True)]
    assert "stays out and what was learned is learned" in what_to_do(both, {}, table)
    said = what_to_do([entry(ONE, "excluded", suspicious=True), plain], {ONE: "defect"}, table)
    assert said == "No training image is suspicious without your verdict: nothing has to be done about that."


def test_the_page_shows_what_was_said_apart_from_what_only_looks_strange():
    images = [entry(ONE, "excluded", suspicious=True), entry(TWO, "trained", suspicious=False)]
    images += [entry(THREE, "trained", suspicious=False), entry("d" * 64, "excluded", suspicious=True)]
    groups = _groups(images, {ONE: "defect", TWO: "good"}, range(4))
    assert {kind: chosen for kind, (_, chosen) in groups.items()} == {
        "called defective": [0],
        "called good": [1],
        "strangest": [2],
    }


def test_verdicts_that_a_new_training_was_not_given_are_kept(tmp_path, capsys):
    table, earlier = tmp_path / TABLE, tmp_path / EARLIER
    _keep_earlier(table, earlier, {})
    table.write_text(HEAD + f"1.png,gear,2.0,good,{ONE}\n2.png,gear,1.0,,{TWO}\n")
    _keep_earlier(table, earlier, {ONE: "good"})
    assert not earlier.exists()
    table.write_text(HEAD + f"1.png,gear,2.0,good,{ONE}\n2.png,gear,1.0,dunno,{TWO}\n")  # half edited
    _keep_earlier(table, earlier, {ONE: "good"})
    assert earlier.read_text() == table.read_text()
    assert "had 1 verdict that this training was not given" in " ".join(capsys.readouterr().err.split())


def test_a_review_of_other_images_is_a_doubt() -> None:
    assert unused_review({}, ["a"]) == []
    assert unused_review({"a": "good", "b": "defect"}, ["a", "c"]) == []
    (finding,) = unused_review({"a": "good", "b": "defect"}, ["c"])
    assert finding.text.startswith("the review decided nothing: none of the 2 images with a verdict")
    assert finding.doubtful
