"""Published data sets, each as its own documentation lays it out."""

from __future__ import annotations

from pathlib import Path

from labelled_folders import make, said, sorted_out

from snl_edge.data.layouts import open_dataset


def masks_of(root: Path, folder: Path) -> dict[str, list[str]]:
    """The masks of each defective image, by their paths below ``root``."""
    test = open_dataset(folder).test
    files = {sample.path: sample.mask.paths if sample.mask else () for sample in test if not sample.is_good}
    return {str(path.relative_to(root)): [str(m.relative_to(root)) for m in masks] for path, masks in files.items()}


def test_loco(tmp_path: Path) -> None:
    make(
        tmp_path,
        "bag/train/good/{000,001}.png",
        "bag/validation/good/000.png",
        "bag/test/{good,logical_anomalies,structural_anomalies}/000.png",
        "bag/ground_truth/logical_anomalies/000/{000,001}.png",
        "bag/ground_truth/structural_anomalies/000/000.png",
        "bag/defects_config.json",
    )
    (tmp_path / "bag" / "defects_config.json").write_text('[{"defect_name": "1_screw", "pixel_value": 255}]')
    assert masks_of(tmp_path, tmp_path) == {
        f"bag/test/{kind}/000.png": [f"bag/ground_truth/{kind}/000/{number}.png" for number in numbers]
        for kind, numbers in (("logical_anomalies", ("000", "001")), ("structural_anomalies", ("000",)))
    }
    dataset = open_dataset(tmp_path)
    assert (dataset.layout, len(dataset.train), set(said(dataset))) == ("mvtec", 3, {"validation_trains"})


def test_mvtec_3d(tmp_path: Path) -> None:
    make(
        tmp_path,
        "bagel/calibration/camera_parameters.json",
        "bagel/{train,validation}/good/rgb/000.png",
        "bagel/{train,validation}/good/xyz/000.tiff",
        "bagel/test/{good,hole}/{rgb,gt}/000.png",
        "bagel/test/{good,hole}/xyz/000.tiff",
    )
    (tmp_path / "bagel" / "calibration" / "camera_parameters.json").write_text('{"fx": 1.0}')
    assert masks_of(tmp_path, tmp_path) == {"bagel/test/hole/rgb/000.png": ["bagel/test/hole/gt/000.png"]}
    dataset = open_dataset(tmp_path)
    assert sorted_out(dataset) == (
        ["bagel/train/good/rgb/000.png", "bagel/validation/good/rgb/000.png"],
        {"bagel/test/good/rgb/000.png": "good", "bagel/test/hole/rgb/000.png": "hole"},
    )
    assert said(dataset)["depth"].startswith("4 files of another sensor are left out")
    assert set(said(dataset)) == {"depth", "validation_trains"}


def test_mvtec_ad_2(tmp_path: Path) -> None:
    make(
        tmp_path,
        "can/train/good/000_regular.png",
        "can/validation/good/001_regular.png",
        "can/test_public/{good,bad}/000_{regular,shift_1}.png",
        "can/test_public/ground_truth/bad/000_{regular,shift_1}_mask.png",
        "can/{test_private,test_private_mixed}/000.png",
    )
    assert masks_of(tmp_path, tmp_path) == {
        f"can/test_public/bad/000_{light}.png": [f"can/test_public/ground_truth/bad/000_{light}_mask.png"]
        for light in ("regular", "shift_1")
    }
    dataset = open_dataset(tmp_path)
    assert (len(dataset.train), len(dataset.test)) == (2, 4)
    assert said(dataset)["unlabelled"].startswith("2 test images without a label are left out")


def test_btad(tmp_path: Path) -> None:
    make(
        tmp_path,
        "{01,02}/train/ok/0000.bmp",
        "{01,02}/test/{ok,ko}/0001.bmp",
        "01/ground_truth/ko/0001.png",
        "02/ground_truth/ko/0001.bmp",
    )
    assert masks_of(tmp_path, tmp_path) == {
        "01/test/ko/0001.bmp": ["01/ground_truth/ko/0001.png"],
        "02/test/ko/0001.bmp": ["02/ground_truth/ko/0001.bmp"],
    }
    dataset = open_dataset(tmp_path)
    assert (dataset.products, [finding.kind for finding in dataset.findings]) == (("01", "02"), ["products"])


def test_what_defects_are_called_in_mvtec_ad_stays_a_type_of_defect(tmp_path: Path) -> None:
    kinds = "color,cut,defective,faulty_imprint,good,metal_contamination,print,missing_cable,combined"
    make(tmp_path, "pill/train/good/000.png", f"pill/test/{{{kinds}}}/000.png")
    assert {sample.defect for sample in open_dataset(tmp_path).test} == set(kinds.split(","))
