"""What a check of a data set finds: each test draws the smallest set that shows one kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from snl_edge.data.check import check_samples, inspect_samples
from snl_edge.data.findings import Finding
from snl_edge.data.mask_sources import MaskFiles
from snl_edge.data.masks import read_mask
from snl_edge.data.samples import Sample
from snl_edge.errors import DataError

Draw = Callable[..., Sample]


def part(seed: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A part on a bench, coloured, another place and noise for each seed: ``uint8 [H, W, 3]``."""
    rng = np.random.default_rng(seed)
    image = rng.normal((90, 100, 120), 4, (*size, 3))
    y, x = rng.integers(4, 16, 2)
    image[y : y + 20, x : x + 30] += rng.normal((60, 50, 40), 3)
    return image.clip(0, 255).astype(np.uint8)


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """Writes one image, and its mask if there is one; gives its sample."""

    def write(name: str, pixels: np.ndarray, *, product: str = "nut", mask: np.ndarray | None = None) -> Sample:
        path = tmp_path / product / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), pixels)
        if mask is None:
            return Sample(path, product, "good")
        marks = tmp_path / "masks" / product / f"{path.stem}.png"
        marks.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(marks), mask)
        return Sample(path, product, "dent", MaskFiles((marks,)))

    return write


@pytest.fixture
def good(draw: Draw) -> list[Sample]:
    """Twenty images of which nothing is to be said."""
    return [draw(f"{seed:02}.png", part(seed)) for seed in range(20)]


def kinds(findings: list[Finding]) -> list[str]:
    return [finding.kind for finding in findings]


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def spot(size: tuple[int, int] = (48, 64), value: int = 255) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    mask[20:26, 30:40] = value
    return mask


def test_nothing_is_doubted_without_a_reason_and_progress_counts_all(draw: Draw, good: list[Sample]) -> None:
    test = [draw(f"t{seed}.png", part(100 + seed), mask=spot()) for seed in range(3)]
    seen: list[tuple[int, int]] = []
    assert inspect_samples(good, test, lambda *n: seen.append(n)) == []
    assert seen[-1] == (23, 23)


def test_files_that_are_not_read_are_counted_by_kind(good: list[Sample], tmp_path: Path) -> None:
    below = tmp_path / "nut" / "shift2" / "night"
    below.mkdir(parents=True)
    for name in ("20.heic", "21.HEIC", "22.jp2", "23.gif", "notes.txt", "table.csv", ".hidden.heic"):
        (below / name).touch()
    (tmp_path / "nut" / "more.zip").touch()
    found = only(inspect_samples(good, []))
    assert found.kind == "ignored_files"
    assert "5 files not read (1 .gif, 2 .heic, 1 .jp2, 1 .zip)" in found.text
    assert str(below) in found.text
    assert "PNG" in found.text
    assert "unpack" in found.text
    assert len(found.images) == 5


def test_a_test_image_that_is_trained_on_is_named_in_whatever_format(draw: Draw, good: list[Sample]) -> None:
    copied = draw("copy.bmp", part(3))
    again = draw("again.jpg", part(5), mask=spot())
    own = draw("own.png", part(200))
    found = only(inspect_samples(good, [copied, again, own]))
    assert found.kind == "shared_with_test"
    assert "2 test images also among the training images (1 pixel for pixel), 1 of them called defective" in found.text
    assert "copy.bmp is" in found.text
    assert good[3].path in found.images
    other = draw("other.png", part(3), product="bolt")  # the same picture of another product is none of its own
    assert kinds(inspect_samples([*good], [other])) == []


def test_rigid_parts_with_small_defects_are_not_taken_for_one_picture(draw: Draw) -> None:
    def shot(seed: int) -> np.ndarray:
        noise = np.random.default_rng(seed).normal(0, 2, (48, 64, 3))
        return (part(0) + noise).clip(0, 255).astype(np.uint8)

    scratched = shot(100)
    scratched[24, 30:36] = 255
    train = [draw(f"{seed:02}.png", shot(seed)) for seed in range(20)]
    assert inspect_samples(train, [draw("t0.png", scratched, mask=spot()), draw("t1.png", shot(101))]) == []


def test_repeated_training_images_are_counted(draw: Draw, good: list[Sample]) -> None:
    copies = [draw(f"copy{n}.png", part(3)) for n in range(2)]
    abroad = [draw(f"{seed}.png", part(seed), product="bolt") for seed in range(7, 8)]
    found = {finding.kind: finding for finding in inspect_samples([*good, *copies, *abroad], [])}
    assert found["repeated"].text.startswith("2 training images pixel for pixel the same as another, adding nothing")
    assert found["two_products"].text.startswith("1 picture trained under several products, at most one of them right")
    assert "bolt (1 image)" in found["few_images"].text
    assert "nut" not in found["few_images"].text


def test_odd_exposure_and_focus_and_blank_images_are_named(draw: Draw, good: list[Sample]) -> None:
    odd = [
        draw("dark.png", part(30) // 4),
        draw("bright.png", (part(31).astype(int) + 90).clip(0, 255).astype(np.uint8)),
        draw("blurred.png", cv2.GaussianBlur(part(32), (0, 0), 3)),
        draw("black.png", np.zeros((48, 64, 3), np.uint8)),
    ]
    found = {finding.kind: finding for finding in inspect_samples([*good, *odd], [])}
    assert {path.name for path in found["exposure"].images} == {"dark.png", "bright.png", "black.png"}
    assert {path.name for path in found["focus"].images} >= {"blurred.png"}
    assert not {sample.path for sample in good} & {*found["focus"].images, *found["exposure"].images}
    assert [path.name for path in found["blank"].images] == ["black.png"]
    assert "black.png (0)" in found["blank"].text


def test_a_defect_is_no_outlier_of_exposure(draw: Draw, good: list[Sample]) -> None:
    test = [draw("burnt.png", part(40) // 4, mask=spot())]
    assert inspect_samples(good, test) == []


def test_sizes_and_colours_of_one_product_should_be_alike(draw: Draw, good: list[Sample]) -> None:
    larger = draw("larger.png", part(50, (96, 128)))
    found = only(inspect_samples([*good, larger], []))
    assert found.kind == "sizes"
    assert "nut (20 of 64x48, 1 of 128x96); all come to one size" in found.text
    square = draw("larger.png", part(50, (64, 64)))
    assert "ratio" in only(inspect_samples([*good, square], [])).text
    grey = draw("larger.png", cv2.cvtColor(part(50), cv2.COLOR_BGR2GRAY))
    found = only(inspect_samples([*good, grey], []))
    assert found.kind == "colours"
    assert "nut (1 of 21 are grey)" in found.text
    assert found.images == (grey.path,)


def test_damage_that_webp_cannot_show_is_said(draw: Draw, good: list[Sample]) -> None:
    found = only(inspect_samples([*good, draw("a.webp", part(60))], []))
    assert found.kind == "unverifiable"


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_narrow_pictures_in_wide_files_are_refused_until_somebody_says_their_depth(draw: Draw, bits: int) -> None:
    deep = [draw(f"{seed}.png", (part(seed) * ((2**bits - 1) / 255.0)).astype(np.uint16)) for seed in range(3)]
    with pytest.raises(
        DataError, match=rf"3 of 3 16-bit images .* {2**bits - 1}: {bits}-bit\?.*--bits {bits}.*--bits 16"
    ):
        check_samples(deep)
    with pytest.raises(DataError, match=f"--bits {bits}"):
        inspect_samples(deep, [])
    for told in (bits, 16):
        check_samples([Sample(s.path, s.product, s.defect, bits=told) for s in deep])


def test_one_dark_picture_among_sixteen_bit_ones_raises_no_doubt_of_the_depth(draw: Draw) -> None:
    deep = [draw(f"{seed}.png", part(seed).astype(np.uint16) * (16 if seed else 257)) for seed in range(3)]
    check_samples(deep)


def test_a_value_beyond_the_given_depth_is_refused_with_its_file(draw: Draw) -> None:
    sample = draw("a.png", part(0).astype(np.uint16) * 257)
    with pytest.raises(DataError, match=r"a\.png holds the value \d+ .*12 bits"):
        check_samples([Sample(sample.path, "nut", "good", bits=12)])


def test_inverted_masks_are_refused_with_the_fix(draw: Draw, good: list[Sample]) -> None:
    test = [draw(f"t{seed}.png", part(100 + seed), mask=255 - spot()) for seed in range(3)]
    with pytest.raises(DataError, match=r"3 of 3 masks of nut mark the background instead of the defect: invert them"):
        inspect_samples(good, test)
    edge = spot()
    edge[:3, 20:30] = 255  # a defect at the border leaves it nearly whole
    single = [draw("t9.png", part(109), mask=255 - edge)]
    with pytest.raises(DataError, match=r"1 of 1 masks of nut"):
        inspect_samples(good, single)


def test_a_value_for_the_background_is_refused_with_the_fix(draw: Draw, good: list[Sample]) -> None:
    test = [draw(f"t{seed}.png", part(100 + seed), mask=spot(value=1) + 1) for seed in range(3)]
    with pytest.raises(DataError, match=r"3 of 3 masks of nut give the background a value.*make the background black"):
        inspect_samples(good, test)


def test_one_large_defect_among_others_is_only_asked_about(draw: Draw, good: list[Sample]) -> None:
    masks = [spot(), spot(), np.full((48, 64), 255, np.uint8)]
    test = [draw(f"t{seed}.png", part(100 + seed), mask=mask) for seed, mask in enumerate(masks)]
    found = only(inspect_samples(good, test))
    assert found.kind == "large_masks"
    assert found.images == (test[2].path,)


def test_a_marked_image_that_is_called_good_is_asked_about(draw: Draw, good: list[Sample]) -> None:
    marked = draw("t0.png", part(100), mask=spot())
    assert marked.mask is not None
    found = only(inspect_samples(good, [Sample(marked.path, "nut", "good", marked.mask)]))
    assert found.kind == "masked_good"


def test_a_mask_in_jpeg_marks_what_is_nearer_to_white(tmp_path: Path) -> None:
    path = tmp_path / "mask.jpg"
    assert cv2.imwrite(str(path), spot(), [cv2.IMWRITE_JPEG_QUALITY, 60])
    assert (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 0).mean() > 2 * (spot() > 0).mean()  # faint traces all round
    assert np.mean(read_mask(path) != (spot() > 0)) < 0.01


def test_a_damaged_mask_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.jpg"
    noise = np.random.default_rng(0).integers(0, 2, (64, 64), np.uint8) * 255
    assert cv2.imwrite(str(path), noise)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + b"\xff\xd9")
    with pytest.raises(DataError, match=r"mask .*mask\.jpg is damaged"):
        read_mask(path)
