from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from snl_edge.data.layouts import open_dataset
from snl_edge.data.mask_sources import MaskFiles
from snl_edge.data.samples import Dataset
from snl_edge.errors import DataError

pytestmark = pytest.mark.everywhere

HEADER = "object,split,label,image,mask\n"


def said(dataset: Dataset) -> dict[str, str]:
    return {finding.kind: finding.text for finding in dataset.findings}


def touch(*paths: Path) -> None:
    """Opening a data set lists files and decodes none, so empty files do."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def make_mvtec(root: Path, *products: str) -> Path:
    for product in products:
        touch(*(root / product / "train" / "good" / f"{i:03}.png" for i in range(3)))
        touch(root / product / "test" / "good" / "000.png", root / product / "test" / "crack" / "000.png")
        touch(root / product / "ground_truth" / "crack" / "000_mask.png")
    return root


def make_visa(root: Path, *products: str) -> Path:
    rows = []
    for product in products:
        images, masks = Path(product, "Data", "Images"), Path(product, "Data", "Masks", "Anomaly")
        touch(*(root / images / "Normal" / f"{i:04}.JPG" for i in range(3)))
        touch(root / images / "Anomaly" / "000.JPG", root / masks / "000.png")
        rows += [f"{product},train,normal,{images}/Normal/{i:04}.JPG,\n" for i in range(2)]
        rows += [f"{product},test,normal,{images}/Normal/0002.JPG,\n"]
        rows += [f"{product},test,anomaly,{images}/Anomaly/000.JPG,{masks}/000.png\n"]
    split = root / "split_csv" / "1cls.csv"
    split.parent.mkdir(parents=True)
    split.write_text(HEADER + "".join(rows))
    return root


def append(split: Path, row: str) -> None:
    split.write_text(split.read_text() + row + "\n")


def test_mvtec(tmp_path: Path) -> None:
    dataset = open_dataset(make_mvtec(tmp_path, "nut", "bottle"))
    assert dataset.layout == "mvtec"
    assert dataset.products == ("bottle", "nut")
    assert len(dataset.train) == 6
    assert all(sample.is_good and sample.mask is None for sample in dataset.train)
    crack = next(sample for sample in dataset.test if sample.product == "nut" and not sample.is_good)
    assert crack.defect == "crack"
    assert crack.mask == MaskFiles((tmp_path / "nut" / "ground_truth" / "crack" / "000_mask.png",))
    assert [sample.defect for sample in dataset.test if sample.product == "bottle"] == ["crack", "good"]
    (found,) = dataset.findings
    assert (found.kind, found.doubtful) == ("products", False)
    each = "3 images to train on, 2 to test"
    assert found.text == f"folders taken for 2 products: bottle ({each}), nut ({each})"


def test_a_single_mvtec_product_may_be_the_root(tmp_path: Path) -> None:
    dataset = open_dataset(make_mvtec(tmp_path, "nut", "bottle") / "nut")
    assert dataset.products == ("nut",)
    assert len(dataset.test) == 2


def test_a_mvtec_product_without_test_images_can_be_trained_on(tmp_path: Path) -> None:
    touch(tmp_path / "nut" / "train" / "good" / "0.png")
    assert open_dataset(tmp_path).test == ()


def test_masks_named_like_their_image(tmp_path: Path) -> None:
    make_mvtec(tmp_path, "nut")
    masks = tmp_path / "nut" / "ground_truth" / "crack"
    (masks / "000_mask.png").rename(masks / "000.png")
    assert {sample.mask for sample in open_dataset(tmp_path).test} == {MaskFiles((masks / "000.png",)), None}


def test_visa(tmp_path: Path) -> None:
    dataset = open_dataset(make_visa(tmp_path, "candle", "pcb1"))
    assert dataset.layout == "visa"
    assert dataset.products == ("candle", "pcb1")
    assert len(dataset.train) == 4
    assert [(sample.product, sample.defect) for sample in dataset.test[:2]] == [
        ("candle", "good"),
        ("candle", "anomaly"),
    ]
    assert dataset.test[1].mask == MaskFiles((tmp_path / "candle" / "Data" / "Masks" / "Anomaly" / "000.png",))


def test_the_visa_split_may_name_products_that_were_not_downloaded(tmp_path: Path) -> None:
    split = make_visa(tmp_path, "candle") / "split_csv" / "1cls.csv"
    append(split, "pcb1,train,normal,pcb1/Data/Images/Normal/0.JPG,")
    assert open_dataset(tmp_path).products == ("candle",)


def test_plain_folders(tmp_path: Path) -> None:
    touch(tmp_path / "line" / "nut" / "a.png", tmp_path / "line" / "cap" / "a.jpg", tmp_path / "line" / "cap" / "b.BMP")
    touch(tmp_path / "line" / ".cache" / "x.png")
    dataset = open_dataset(tmp_path / "line")
    assert dataset.layout == "folder"
    assert dataset.products == ("cap", "nut")
    assert (len(dataset.train), dataset.test) == (3, ())
    single = open_dataset(tmp_path / "line" / "cap")
    assert single.products == ("cap",)
    assert [sample.path.name for sample in single.train] == ["a.jpg", "b.BMP"]


def test_only_chosen_products_are_opened_and_have_to_be_complete(tmp_path: Path) -> None:
    make_mvtec(tmp_path, "nut", "bottle")
    (tmp_path / "nut" / "ground_truth" / "crack" / "000_mask.png").unlink()
    assert open_dataset(tmp_path, products=["bottle"]).products == ("bottle",)
    with pytest.raises(DataError, match=r"no product cap, gear\. Choose among bottle, nut"):
        open_dataset(tmp_path, products=["gear", "nut", "cap"])
    with pytest.raises(DataError, match=r"no product chosen\. Choose among bottle, nut"):
        open_dataset(tmp_path, products=[])


def test_a_missing_root(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone is no folder\. Give the folder"):
        open_dataset(tmp_path / "gone")


def test_no_known_layout_lists_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "stuff" / "deep" / "er").mkdir(parents=True)
    with pytest.raises(DataError, match=r"split_csv/1cls\.csv.*train/good.*one folder per product"):
        open_dataset(tmp_path)


def test_a_wrong_layout_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no visa layout: looked for visa: split_csv/1cls\.csv.*--layout"):
        open_dataset(make_mvtec(tmp_path, "nut"), "visa")


def test_a_product_without_training_images(tmp_path: Path) -> None:
    make_mvtec(tmp_path, "nut", "bottle")
    for path in (tmp_path / "nut" / "train" / "good").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"no training images of nut in .*there are defective ones \(crack\)"):
        open_dataset(tmp_path)
    (tmp_path / "nut" / "train" / "good").rmdir()
    with pytest.raises(DataError, match=r"no training images of nut in .*under train/good"):
        open_dataset(tmp_path)


def test_an_empty_test_folder(tmp_path: Path) -> None:
    (make_mvtec(tmp_path, "nut") / "nut" / "test" / "dent").mkdir()
    assert said(open_dataset(tmp_path)) == {"empty": f"no image in {tmp_path / 'nut' / 'test' / 'dent'}"}


def test_an_empty_product_folder(tmp_path: Path) -> None:
    touch(tmp_path / "nut" / "a.png")
    (tmp_path / "cap").mkdir()
    with pytest.raises(DataError, match=r"no good images of cap in .*cap.*--products"):
        open_dataset(tmp_path)


def test_loose_images_beside_folders_of_images(tmp_path: Path) -> None:
    touch(tmp_path / "a.png", tmp_path / "nut" / "a.png")
    with pytest.raises(DataError, match=r"holds images and folders with images \(nut\)"):
        open_dataset(tmp_path)


def test_defects_without_masks_are_test_images_and_are_counted(tmp_path: Path) -> None:
    touch(*(make_mvtec(tmp_path, "nut") / "nut" / "test" / "bent" / f"{i}.png" for i in range(7)))
    dataset = open_dataset(tmp_path)
    assert [(sample.is_good, sample.mask) for sample in dataset.test[:7]] == [(False, None)] * 7
    assert re.match(
        r"7 defective images have no mask .*while others .*bent/0\.png.* and 2 more$", said(dataset)["forgotten_masks"]
    )
    assert [finding.doubtful for finding in dataset.findings] == [True]  # one of them may have been forgotten


def test_who_has_labels_for_images_alone_is_told_once_and_nothing_is_doubted(tmp_path: Path) -> None:
    make_mvtec(tmp_path, "nut", "cap")
    touch(*(tmp_path / "nut" / "test" / "bent" / f"{i}.png" for i in range(7)))
    shutil.rmtree(tmp_path / "nut" / "ground_truth")
    dataset = open_dataset(tmp_path)
    noted = {finding.kind: finding.text for finding in dataset.findings if not finding.doubtful}
    assert set(noted) == set(said(dataset)) == {"products", "no_mask"}
    assert noted["no_mask"].startswith("8 defective images have no mask and count as whole images only")


def test_without_its_split_file_visa_trains_on_all_that_is_normal(tmp_path: Path) -> None:
    (make_visa(tmp_path, "candle") / "split_csv" / "1cls.csv").unlink()
    for root in (tmp_path, tmp_path / "candle", tmp_path / "candle" / "Data" / "Images"):
        dataset = open_dataset(root)
        assert dataset.products == ("candle",)
        assert [sample.path.parent.name for sample in dataset.train] == ["Normal"] * 3
        assert [sample.defect for sample in dataset.test] == ["Anomaly"]
        assert "no good test image of candle" in said(dataset)["no_good_test"]
    assert open_dataset(tmp_path).test[0].mask == MaskFiles((tmp_path / "candle/Data/Masks/Anomaly/000.png",))
    with pytest.raises(DataError, match=r"1cls\.csv is missing.*[Cc]opy split_csv"):
        open_dataset(tmp_path, "visa")


def test_files_missing_from_visa(tmp_path: Path) -> None:
    make_visa(tmp_path, "candle")
    (tmp_path / "candle" / "Data" / "Masks" / "Anomaly" / "000.png").unlink()
    assert said(open_dataset(tmp_path))["no_mask"].startswith("1 defective image has no mask")
    (tmp_path / "candle" / "Data" / "Images" / "Anomaly" / "000.JPG").unlink()
    with pytest.raises(DataError, match=r"1 image named by .*1cls\.csv is missing: .*Anomaly/000\.JPG"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("candle,train,anomaly,candle/Data/Images/Anomaly/000.JPG,m.png", "line 6 cannot be used"),
        ("candle,val,normal,candle/Data/Images/Normal/0000.JPG,", "line 6 cannot be used"),
        ("candle,train", "line 6 cannot be used"),
    ],
)
def test_a_faulty_line_in_the_visa_split(tmp_path: Path, row: str, message: str) -> None:
    append(make_visa(tmp_path, "candle") / "split_csv" / "1cls.csv", row)
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path)


def test_a_visa_split_of_another_kind(tmp_path: Path) -> None:
    split = make_visa(tmp_path, "candle") / "split_csv" / "1cls.csv"
    split.write_text("object,image\n")
    with pytest.raises(DataError, match="has no column label, mask, split"):
        open_dataset(tmp_path)
    split.write_text(HEADER)
    with pytest.raises(DataError, match="no training images of candle"):
        open_dataset(tmp_path)
    split.write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(DataError, match="not a readable CSV file"):
        open_dataset(tmp_path)
