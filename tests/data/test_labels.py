from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from labelled_folders import make, said, sorted_out

from snl_edge.data.labels import Role, called_defective, is_unclear, looks_like_labels, roles_of
from snl_edge.data.layouts import open_dataset
from snl_edge.data.mask_sources import MaskFiles
from snl_edge.errors import DataError

pytestmark = pytest.mark.everywhere


@pytest.mark.parametrize(
    ("names", "role"),
    [
        (
            "good ok OK okay-parts ok_2024 Normal iO i.O. IO OKParts OKparts OKs PASSimages okimages gut bueno bon "
            "buono 良品 pass",
            Role.GOOD,
        ),
        ("no_defect defect-free fehlerfrei 양품", Role.GOOD),
        ("bad NG NG_2024 nok ko n.i.O. niO nio not_ok non-conforming Anomaly defects defective reject", Role.DEFECT),
        ("Ausschuss schlecht malo défaut Défauts 不良 不良品 异常 欠陥 NG品 불량 nicht_io fail scrap", Role.DEFECT),
        ("NGparts NGs NGTeile NIOteile NOKparts FAILimages Schrott kaputt", Role.DEFECT),
        ("train training Train_2", Role.TRAIN),
        ("test testing test_public testset", Role.TEST),
        ("val valid validation", Role.VALIDATION),
        ("ground_truth GroundTruth masks gt", Role.MASKS),
        ("images Data rgb", Role.IMAGES),
    ],
)
def test_names_of_labels_and_splits(names: str, role: Role) -> None:
    assert {name: roles_of(name) for name in names.split()} == {name: {role} for name in names.split()}


def test_names_of_products_and_of_two_things_at_once() -> None:
    names = "gear nut_M8 test_tube pass_filter 12 01 goodyear valve gear_bad color no"
    assert {name for name in names.split() if roles_of(name)} == set()
    assert roles_of("train_good") == {Role.TRAIN, Role.GOOD}
    assert roles_of("test-NG") == {Role.TEST, Role.DEFECT}


def test_names_that_are_perhaps_labels() -> None:
    assert looks_like_labels(["nut", "cap", "gear_2", "01", "test_tube"]) == []
    assert looks_like_labels(["gear", "gear_bad"]) == ["gear", "gear_bad"]
    assert looks_like_labels(["nut_train", "nut_test", "cap"]) == ["nut_test", "nut_train"]
    assert looks_like_labels(["rust", "nut", "neg"]) == ["neg", "rust"]
    assert looks_like_labels(["class_0", "class_1"]) == ["class_0", "class_1"]
    assert looks_like_labels(["Yes", "No"]) == ["No", "Yes"]
    assert looks_like_labels(["gear_ok", "gear_not_ok", "nut"]) == ["gear_not_ok", "gear_ok"]
    assert looks_like_labels(["gear_not_ok", "nut"]) == ["gear_not_ok"]


@pytest.mark.parametrize(
    ("good", "bad"), [("good", "bad"), ("OK-parts", "NG_2024"), ("良品", "不良品"), ("gut", "Ausschuss")]
)
def test_good_and_bad_folders_are_labels(tmp_path: Path, good: str, bad: str) -> None:
    make(tmp_path / "line", f"{good}/{{0,1}}.png", f"{bad}/0.png", f"{bad}/scratch/1.png")
    dataset = open_dataset(tmp_path / "line")
    assert (dataset.layout, dataset.products) == ("ok_ng", ("line",))
    assert sorted_out(dataset) == (
        [f"{good}/0.png", f"{good}/1.png"],
        {f"{bad}/0.png": bad, f"{bad}/scratch/1.png": "scratch"},
    )
    assert all(not sample.is_good and sample.mask is None for sample in dataset.test)
    assert set(said(dataset)) == {"no_good_test", "no_mask"}


@pytest.mark.parametrize(
    "files",
    [
        ("{nut,cap}/{train,test}/ok/0.png", "{nut,cap}/test/ng/0.png"),
        ("{nut,cap}/ok/{train,test}/0.png", "{nut,cap}/ng/0.png"),
        ("{train,test}/{nut,cap}/ok/0.png", "test/{nut,cap}/ng/0.png"),
        ("{nut,cap}/{train_ok,test_ok,test_ng}/0.png",),
        ("images/{nut,cap}/{train_ok,test_ok,test_ng}/0.png",),
    ],
)
def test_products_labels_and_splits_in_any_order(tmp_path: Path, files: tuple[str, ...]) -> None:
    dataset = open_dataset(make(tmp_path, *files))
    assert dataset.products == ("cap", "nut")
    assert Counter((s.product, s.is_good) for s in dataset.train) == {("cap", True): 1, ("nut", True): 1}
    assert Counter((s.product, s.is_good) for s in dataset.test) == {
        (product, good): 1 for product in ("cap", "nut") for good in (True, False)
    }


def test_defects_are_never_learned_from(tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path, "train/{ok,ng}/0.png", "test/ok/0.png"))
    assert sorted_out(dataset) == (["train/ok/0.png"], {"test/ok/0.png": "good", "train/ng/0.png": "ng"})
    assert said(dataset)["train_defects"].startswith("1 defective image under train counts as a test image")


def test_nested_good_images_count_and_are_said(tmp_path: Path) -> None:
    make(tmp_path, "gear/train/good/0.png", "gear/train/good/shift2/{1,2}.png", "gear/test/crack/late/0.png")
    dataset = open_dataset(tmp_path)
    assert sorted_out(dataset)[0] == [
        "gear/train/good/0.png",
        "gear/train/good/shift2/1.png",
        "gear/train/good/shift2/2.png",
    ]
    assert sorted_out(dataset)[1] == {"gear/test/crack/late/0.png": "crack"}
    assert said(dataset)["nested"].startswith("2 images in folders below good ones count as good")


def test_validation_trains_only_beside_a_whole_test_set(tmp_path: Path) -> None:
    make(tmp_path / "a", "train/good/0.png", "validation/good/1.png", "test/{good,crack}/2.png")
    assert sorted_out(open_dataset(tmp_path / "a"))[0] == ["train/good/0.png", "validation/good/1.png"]
    assert "1 good image under validation trains as well" in said(open_dataset(tmp_path / "a"))["validation_trains"]
    make(tmp_path / "b", "train/good/0.png", "val/{good,crack}/1.png", "test/{good,crack}/2.png")
    dataset = open_dataset(tmp_path / "b")
    assert sorted_out(dataset)[0] == ["train/good/0.png"]
    assert sorted_out(dataset)[1] == {
        f"{split}/{label}/{number}.png": label
        for split, number in (("val", 1), ("test", 2))
        for label in ("good", "crack")
    }
    make(tmp_path / "c", "train/good/0.png", "val/good/1.png", "test/crack/2.png")
    assert sorted_out(open_dataset(tmp_path / "c"))[1] == {"test/crack/2.png": "crack", "val/good/1.png": "good"}


@pytest.mark.parametrize(
    ("root", "files", "words"),
    [
        ("", ("{good,bad,gear}/0.png",), "says whether the images in .*gear are good.*<product>/bad.*--layout folder"),
        ("", ("bad/0.png",), "no training images of .*there are defective ones"),
        ("", ("{nut/good,nut/bad,cap}/0.png",), "says whether the images in .*cap are good.*--products leaves it out"),
        ("", ("{nut,nut_bad}/0.png",), "nut, nut_bad are perhaps named by label"),
        ("", ("{0,1}/0.png",), "0, 1 are perhaps"),
        ("", ("{scratch,rust}/0.png",), "rust, scratch are perhaps"),
        ("", ("{images,masks}/0.png",), "masks is perhaps"),
        ("", ("nut/good/bad/0.png", "nut/good/0.png"), "nut/good/bad is said to be good and defective"),
        ("", ("nut/good/scratched/0.png", "nut/good/0.png"), "below good images, and its name speaks of a defect"),
        ("", ("nut/0.png", "nut/rejects/0.png"), "images directly in .*nut are good"),
        ("", ("nut/0.png", "nut/scratches/0.png"), "scratches are good: they lie below nut"),
        ("", ("nut/train/test/good/0.png",), "is said to be test and train"),
        ("", ("good/0.png", "0.png"), "whether the images directly in .* are good"),
        ("", ("train/{nut,cap}/0.png",), "says whether the images in .*train/cap are good"),
        ("", ("site/{nut,cap}/{ok,ng}/0.png",), "says whether the images in .*site/cap/ng are good"),
        (
            "test",
            ("train/good/0.png", "test/{good,crack}/0.png"),
            "test is a part of the data set .*train beside it.*Give ",
        ),
        ("test", ("test/{nut,cap}/0.png",), "test is perhaps named by label"),
        ("bad", ("bad/0.png",), "bad is perhaps named by label"),
        ("bad", ("bad/{dent,nut}/0.png",), "bad, dent are perhaps"),
        ("rust", ("rust/0.png",), "rust is perhaps"),
        ("", ("Train/{0,1}.png", "Train/Label/1_label.png"), "Train are good: .*1_label.png marks a defect"),
        ("", ("nut/0.{jpg,png}",), "nut are good: masks lie beside them, as 0.png"),
        ("", ("{ok,ng}/{nut,cap}/0.png",), "cap, nut below folders named by label .*<product>/good.*--layout ok_ng"),
        ("", ("train/good/{nut,cap}/0.png", "test/bad/0.png"), "cap, nut below folders named by label"),
        ("", ("{rgb,depth}/0.png",), "depth is perhaps"),
        ("nut", ("nut/{0,1,1_mask}.png",), "nut are good: masks lie beside them, as 1_mask.png"),
        ("", ("nut/{0,1,1_GT}.png",), "nut are good: masks lie beside them, as 1_GT.png"),
        (
            "",
            ("nut/{a,b}/0.png", "cap/0.png"),
            "no good images of nut directly in .*further down.*one product, or several",
        ),
    ],
)
def test_what_cannot_be_decided_is_asked(tmp_path: Path, root: str, files: tuple[str, ...], words: str) -> None:
    make(tmp_path / "x", *files)
    with pytest.raises(DataError, match=words):
        open_dataset(tmp_path / "x" / root)


def test_the_user_may_say_that_every_folder_is_a_product(tmp_path: Path) -> None:
    make(tmp_path / "test", "{good,rust}/0.png", "cap/late/0.png")
    dataset = open_dataset(tmp_path / "test", "folder")
    assert dataset.products == ("cap", "good", "rust")
    assert (len(dataset.train), dataset.test) == (3, ())
    assert "1 image in folders below a product's" in said(dataset)["nested"]


def test_a_folder_of_good_images_alone_is_one_product_of_the_name_above(tmp_path: Path) -> None:
    make(tmp_path, "gear/train/good/{0,1}.png")
    for root in ("gear/train/good", "gear/train"):
        dataset = open_dataset(tmp_path / root)
        assert (dataset.products, len(dataset.train)) == (("gear",), 2)
        assert said(dataset)["product_name"] == "the images are of one product, gear"


def test_a_mask_beside_its_image_is_no_part(tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path, "good/{0,0_mask}.png", "bad/{1,1_mask,2}.png"))
    assert sorted_out(dataset) == (["good/0.png"], {"bad/1.png": "bad", "bad/2.png": "bad"})
    assert [sample.mask for sample in dataset.test] == [MaskFiles((tmp_path / "bad" / "1_mask.png",)), None]
    assert said(dataset)["masks_among_images"].startswith("2 files are taken for masks")
    dataset = open_dataset(make(tmp_path / "same", "good/0.{jpg,png}", "bad/1.{jpg,bmp}"))
    assert sorted_out(dataset) == (["good/0.jpg"], {"bad/1.jpg": "bad"})
    assert dataset.test[0].mask == MaskFiles((tmp_path / "same" / "bad" / "1.bmp",))


def test_products_are_told_apart_everywhere(tmp_path: Path) -> None:
    make(tmp_path, "{Nut,nut}/0.png")
    with pytest.raises(DataError, match="products Nut and nut: they differ in capitals"):
        open_dataset(tmp_path)
    assert open_dataset(tmp_path, products=["nut"]).products == ("nut",)
    with pytest.raises(DataError, match=r"product named 'a\\\\b': its name becomes that of files"):
        open_dataset(make(tmp_path / "odd", "a\\b/0.png", "c/0.png"))


def test_the_user_may_say_that_folders_below_labels_are_of_one_product(tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path / "nut", "{ok,ng}/{early,late}/0.png", "ng/2024-05-01/0.png"), "ok_ng")
    assert (dataset.products, len(dataset.train)) == (("nut",), 2)
    assert [sample.defect for sample in dataset.test] == ["ng", "early", "late"]
    assert len(open_dataset(make(tmp_path / "all", "nut/{ok,ng}/{early,late}/0.png")).train) == 2


def test_thumbnails_of_a_storage_are_no_parts(tmp_path: Path) -> None:
    dataset = open_dataset(make(tmp_path, "nut/good/0.png", "nut/good/@eaDir/0.png/SYNOFILE_THUMB_M.png"))
    assert (len(dataset.train), dataset.findings) == (1, ())


def test_a_link_that_leads_back_up_is_not_followed_for_ever(tmp_path: Path) -> None:
    make(tmp_path, "nut/good/0.png")
    (tmp_path / "nut" / "good" / "again").symlink_to(tmp_path)
    dataset = open_dataset(tmp_path)
    assert len(dataset.train) == 1
    assert said(dataset) == {"left_out": f"left out: 1 link back to a folder above: {tmp_path}/nut/good/again"}


def test_what_is_left_out_of_a_folder_is_counted(tmp_path: Path) -> None:
    make(tmp_path, "nut/good/{0,.1,._0}.png", "nut/good/.trash/old/{2,3}.png", "nut/good/{.DS_Store,.hidden.txt}")
    make(tmp_path, "nut/good/000001-cam-0000000{1,2}-heatmap.jpg", "nut/good/000001-cam-00000001.jpg")
    hidden, heatmaps = open_dataset(tmp_path).findings[::-1]
    assert hidden.text.startswith("left out: 4 hidden images: ")
    assert heatmaps.text.startswith("2 heatmaps that a line kept beside its pictures, no pictures of parts, left out: ")
    assert (hidden.doubtful, heatmaps.doubtful) == (False, False)
    (tmp_path / "nut" / "good" / "4.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "cap").symlink_to(tmp_path / "unmounted")
    dataset = open_dataset(tmp_path)
    assert [sample.path.name for sample in dataset.train] == ["0.png", "000001-cam-00000001.jpg"]
    assert dataset.findings[-1].doubtful  # behind them there were perhaps images
    assert said(dataset)["left_out"].startswith(f"left out: 2 links that lead nowhere, 4 hidden images: {tmp_path}/cap")
    make(tmp_path / "kept", "pictures/000001-cam-00000001-heatmap.jpg")
    with pytest.raises(DataError, match="has no known layout: .*1 heatmap that a line kept beside its pictures"):
        open_dataset(tmp_path / "kept")


def test_a_model_may_be_measured_on_a_set_without_training_images(tmp_path: Path) -> None:
    make(tmp_path, "nut/test/{ok,ng}/0.png")
    with pytest.raises(DataError, match="no training images of nut"):
        open_dataset(tmp_path)
    dataset = open_dataset(tmp_path, trains=False)
    assert (dataset.products, dataset.train, len(dataset.test)) == (("nut",), (), 2)


def test_the_command_line_says_what_was_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from snl_edge.cli.options import Layout, open_data

    make(tmp_path / "nut", "good/0.png", "good/late/1.png")
    open_data(tmp_path / "nut", Layout.auto, None)
    told = capsys.readouterr().err
    assert told == f"doubt: 1 image in folders below good ones counts as good: {tmp_path}/nut/good/late\n"


@pytest.mark.parametrize(
    "label", ["", "0.0", "+1", "-", "n/a", "None", "yes", "unknown", "negative", "good_light", "ok (rework)"]
)
def test_a_label_that_says_nothing_is_no_type_of_defect(label):
    assert is_unclear(label)


@pytest.mark.parametrize("label", ["good", "NG", "not good", "scratch", "no_screw", "contamination 2", "złe", "hatalı"])
def test_labels_and_types_of_defect_are_clear(label):
    assert not is_unclear(label)


def test_names_of_files_that_speak_of_defects_are_asked_about(tmp_path):
    make(tmp_path, "gear/0_ok.png", "gear/1_ok.png", "gear/2_NG.png")
    with pytest.raises(DataError, match=r"1 training image of gear is named as a defective one: 2_NG\.png"):
        open_dataset(tmp_path)
    assert len(open_dataset(tmp_path, "folder").train) == 3


def test_names_of_files_are_read_by_the_rule_of_folders(tmp_path):
    make(tmp_path, "gear/no_defect_{1,2}.png", "gear/gear_defect_free_3.png", "gear/4 nicht fehlerhaft.png")
    assert len(open_dataset(tmp_path).train) == 4
    bad = "017_NG gear_ng_3 gear_not_ok_3 cam1_nicht_io no_1_NG No.3_NG teil_nicht_in_ordnung n.i.O._7 defect_no_3"
    assert [name for name in bad.split() if not called_defective(name)] == []
    good = "no_defect_1 NoDefect2 gear_defect-free_1 gear_ohne_Fehler_2 in_Ordnung_3 No_3_ok goodyear 0815"
    assert [name for name in good.split() if called_defective(name)] == []
    assert roles_of("No_3_NG") == frozenset()  # number 3, or not 3? A folder of that name is asked about
