from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from snl_edge.data.check import check_samples
from snl_edge.data.mask_sources import MaskFiles
from snl_edge.data.masks import fit_mask, read_mask
from snl_edge.data.samples import Sample
from snl_edge.errors import DataError


def save(path: Path, pixels: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), pixels)
    return path


def marked(*where: tuple[slice | int, slice | int], size: tuple[int, int] = (64, 64)) -> np.ndarray:
    mask = np.zeros(size, bool)
    for rows, columns in where:
        mask[rows, columns] = True
    return mask


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return save(tmp_path / "image.png", np.full((30, 40, 3), 90, np.uint8))


def test_good_files_pass_and_progress_counts(tmp_path: Path, image: Path) -> None:
    mask = save(tmp_path / "mask.png", marked((3, 4), size=(30, 40)).astype(np.uint8) * 255)
    seen: list[tuple[int, int]] = []
    check_samples(
        [Sample(image, "nut", "good"), Sample(image, "nut", "dent", MaskFiles((mask,)))],
        progress=lambda *n: seen.append(n),
    )
    assert seen == [(1, 2), (2, 2)]


def test_all_faults_come_in_one_line(tmp_path: Path, image: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").touch()
    blank = save(tmp_path / "blank.png", np.zeros((30, 40), np.uint8))
    large = save(tmp_path / "large.png", np.full((60, 80), 255, np.uint8))
    samples = [
        Sample(image, "nut", "good"),
        Sample(tmp_path / "text.png", "nut", "good"),
        Sample(tmp_path / "empty.png", "nut", "good"),
        Sample(image, "nut", "dent", MaskFiles((blank,))),
        Sample(image, "nut", "dent", MaskFiles((large,))),
        Sample(image, "nut", "dent", MaskFiles((tmp_path / "text.png",))),
        Sample(tmp_path / "gone.png", "nut", "dent", MaskFiles((tmp_path / "gone_mask.png",))),
    ]
    with pytest.raises(DataError) as caught:
        check_samples(samples)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("7 faulty files among 7 images")
    assert "text.png is not a readable image" in message
    assert "empty.png is empty" in message
    assert "blank.png marks no pixel" in message
    assert "large.png is 80x60, its image" in message
    assert "image.png 40x30 pixels" in message
    assert "mask" in message
    assert message.endswith("and 2 more. Replace or remove them.")


def test_a_mask_is_whatever_is_not_black(tmp_path: Path) -> None:
    values = np.array([[0, 1, 255], [7, 0, 0]], np.uint8)
    assert read_mask(save(tmp_path / "grey.png", values)).tolist() == [[False, True, True], [True, False, False]]
    colour = np.zeros((2, 3, 4), np.uint8)
    colour[..., 3] = 255  # opaque black marks nothing
    colour[1, 2, 0] = 9
    assert read_mask(save(tmp_path / "colour.png", colour)).tolist() == [[False] * 3, [False, False, True]]


def test_unreadable_masks_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(DataError, match=r"mask .*empty\.png is empty"):
        read_mask(tmp_path / "empty.png")
    with pytest.raises(DataError, match=r"mask .*text\.png is not a readable image.*PNG"):
        read_mask(tmp_path / "text.png")
    with pytest.raises(DataError, match=r"cannot read mask .*gone\.png"):
        read_mask(tmp_path / "gone.png")


def test_a_filled_region_keeps_its_place_and_area() -> None:
    fitted = fit_mask(marked((slice(8, 24), slice(16, 48))), (16, 16))
    np.testing.assert_array_equal(fitted, marked((slice(2, 6), slice(4, 12)), size=(16, 16)))
    y, x = np.mgrid[:1000, :1000]
    disc = (y - 480) ** 2 + (x - 520) ** 2 < 200**2
    assert fit_mask(disc, (256, 256)).mean() == pytest.approx(disc.mean(), rel=0.01)


def test_thin_and_tiny_regions_do_not_vanish_beside_large_ones() -> None:
    mask = marked((slice(0, 400), slice(0, 400)), (500, slice(100, 900)), (950, 37), size=(1000, 1000))
    fitted = fit_mask(mask, (100, 100))
    assert fitted[:40, :40].all()
    assert fitted[50].sum() == 80
    assert fitted[95, 3]
    assert fitted.sum() == 1600 + 80 + 1


def test_any_ratio_enlarging_included() -> None:
    single = marked((30, 50), size=(61, 97))
    for size in [(32, 32), (61, 40), (100, 13), (256, 256)]:
        fitted = fit_mask(single, size)
        assert fitted.shape == size
        rows, columns = np.nonzero(fitted)
        assert rows.mean() + 0.5 == pytest.approx(30.5 / 61 * size[0], abs=1)
        assert columns.mean() + 0.5 == pytest.approx(50.5 / 97 * size[1], abs=1)
    np.testing.assert_array_equal(fit_mask(single, (122, 194)), single.repeat(2, 0).repeat(2, 1))
    assert not fit_mask(np.zeros((9, 9), bool), (4, 4)).any()
