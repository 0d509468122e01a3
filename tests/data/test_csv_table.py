from __future__ import annotations

import os
from pathlib import Path

import pytest
from labelled_folders import make, said

from snl_edge.data.labelme import LabelmeFile
from snl_edge.data.layouts import open_dataset
from snl_edge.data.mask_sources import MaskFiles
from snl_edge.errors import DataError

pytestmark = pytest.mark.everywhere

HEADER = "path,label,product,split,mask"


def table(root: Path, *lines: str, name: str = "parts.csv", encoding: str = "utf-8") -> Path:
    (root / name).write_text("\n".join(lines) + "\n", encoding=encoding)
    return root / name


def test_a_table_says_what_folders_cannot(tmp_path: Path) -> None:
    make(tmp_path, "a/{0,1,2,3,4,5}.png", "m/{3,3b}.png", "m/4.json")
    file = table(
        tmp_path,
        HEADER,
        "a/0.png,OK,nut,,",
        "a/1.png,good,nut,train,",
        "a/2.png,io,nut,test,",
        "a/3.png,scratch,nut,,m/3.png | m/3b.png",
        "",
        "a/4.png,NG,nut,test,m/4.json",
        "a/5.png,gut,cap,,",
        encoding="utf-8-sig",
    )
    dataset = open_dataset(file)
    assert (dataset.layout, dataset.products, dataset.findings) == ("csv", ("cap", "nut"), ())
    assert [(sample.path.stem, sample.product) for sample in dataset.train] == [
        ("0", "nut"),
        ("1", "nut"),
        ("5", "cap"),
    ]
    assert [(sample.path.stem, sample.defect, sample.mask) for sample in dataset.test] == [
        ("2", "good", None),
        ("3", "scratch", MaskFiles((tmp_path / "m" / "3.png", tmp_path / "m" / "3b.png"))),
        ("4", "NG", LabelmeFile(tmp_path / "m" / "4.json")),
    ]
    assert open_dataset(file, products=["cap"]).products == ("cap",)


def test_a_table_of_few_columns_and_other_delimiters(tmp_path: Path) -> None:
    make(tmp_path / "nut", "{0,1}.png")
    for name, mark in (("a.csv", ";"), ("b.tsv", "\t")):
        lines = (line.replace(",", mark) for line in ("Label,Path", "good,0.png", "bad,1.png"))
        dataset = open_dataset(table(tmp_path / "nut", *lines, name=name))
        assert dataset.products == ("nut",)
        assert set(said(dataset)) == {"product_name", "no_mask", "no_good_test"}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["path,product"], "has no column label: a table has the columns path, label"),
        (["path,label,colour"], "has a column colour too many"),
        ([HEADER, "a/0.png,good,nut,,", "a/1.png,,nut,,"], "line 3: label missing: write good, bad or"),
        ([HEADER, "a/0.png,1,nut,,"], "line 2: label 1: write good, bad or"),
        ([HEADER, "a/0.png,train,nut,,"], "line 2: label train"),
        ([HEADER, "a/0.png,good,nut,perhaps,"], "line 2: split perhaps: write train or test"),
        ([HEADER, "a/0.png,bad,nut,train,"], "line 2: a/0.png is bad and in train: nothing can be learned"),
        ([HEADER, "a/0.png,good,nut,,m/3.png"], "line 2: a/0.png is good and has a mask"),
        ([HEADER, "a/0.png,bad,nut,,m/3.txt"], "line 2: mask m/3.txt: name images, or one JSON file"),
        ([HEADER, "a/0.txt,good,nut,,"], "line 2: a/0.txt is none of"),
        ([HEADER, "000001-cam-00000007-heatmap.jpg,bad,nut,,"], "line 2: .*is a heatmap that a line kept"),
        ([HEADER, ",good,nut,,"], "line 2: no path"),
        ([HEADER, "a/0.png,good,nut,,", "./a/0.png,bad,nut,,"], "line 3: ./a/0.png is on line 2 already"),
        ([HEADER, "a/0.png,good,a,b,c,d"], "line 2: 6 cells for 5 columns: quote commas"),
        ([HEADER, "a/9.png,good,nut,,"], r"line 2: .*a/9\.png is missing.*relative to its own folder"),
        ([HEADER, "a/0.png,good,../nut,,"], r"product named '\.\./nut'"),
        ([HEADER, "a/0.png,good,,,"], "line 2: no product"),
        ([HEADER, "a/0.png,good,nut,,", "a/1.png,good,NUT,,"], "products NUT and nut"),
        (
            [HEADER, "a/0.png,good,nut,,", "a/1.png,bad,cap,,"],
            r"no training images of cap in .*parts\.csv: there are defective ones \(bad\)",
        ),
        ([], "has no column path, label"),
        ([HEADER], "lists no image"),
    ],
)
def test_a_table_that_cannot_be_used(tmp_path: Path, lines: list[str], words: str) -> None:
    make(tmp_path, "a/{0,1}.png")
    with pytest.raises(DataError, match=words):
        open_dataset(table(tmp_path, *lines))


def test_all_that_is_wrong_with_a_table_is_told_at_once(tmp_path: Path) -> None:
    make(tmp_path, "a/{0,1}.png")
    bad = [HEADER, "a/9.png,good,nut,,", "a/1.png,1,nut,,", "a/0.png,good,nut,,,", "a/0.png,good,nut,,"]
    with pytest.raises(DataError, match=r"line 2: .*9\.png is missing; line 3: label 1.*; line 4: 6 cells for 5"):
        open_dataset(table(tmp_path, *bad))
    # Products that are not asked for need not be complete.
    rest = table(tmp_path, HEADER, "a/9.png,good,cap,,", "a/0.png,good,nut,,")
    assert open_dataset(rest, products=["nut"]).products == ("nut",)
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(DataError, match=r"cannot read .*t\.csv.*no regular file but a pipe"):
        open_dataset(tmp_path / "t.csv")


def test_a_table_in_another_encoding_and_a_layout_for_a_table(tmp_path: Path) -> None:
    file = table(tmp_path, "path,label", "ä.png,good", encoding="latin-1")
    with pytest.raises(DataError, match="not a readable table.*in UTF-8"):
        open_dataset(file)
    with pytest.raises(DataError, match="is a table, which has no mvtec layout"):
        open_dataset(file, "mvtec")
    with pytest.raises(DataError, match=r"neither a folder nor a table \(\.csv, \.tsv\)"):
        open_dataset(make(tmp_path, "0.png") / "0.png")


def test_a_mask_that_is_missing_does_not_stop_training(tmp_path: Path) -> None:
    make(tmp_path, "a/{0,1}.png")
    dataset = open_dataset(table(tmp_path, HEADER, "a/0.png,good,nut,,", "a/1.png,bad,nut,,m/1.png"))
    assert dataset.test[0].mask is None
    assert said(dataset)["missing_masks"].startswith("1 defective image names a mask that is missing and counts as")
    assert "no_mask" not in said(dataset)  # said once, with its reason
