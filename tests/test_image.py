from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from snl_edge.errors import DataError
from snl_edge.image import Fitter, fit_to_input, list_images, read_image


def picture() -> np.ndarray:
    """Smooth (JPEG keeps it), not square, different in each channel: RGB ``[40, 64, 3]``."""
    y, x = np.mgrid[:40, :64]
    return np.stack([4 * x, 6 * y, 255 - 2 * x - 3 * y], axis=-1).clip(0, 255).astype(np.uint8)


def write(path: Path, rgb: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), rgb[..., ::-1] if rgb.ndim == 3 else rgb)
    return path


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """Puts an APP1 segment with one TIFF directory entry, Orientation (0x0112), behind the JPEG's start."""
    tiff = struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".PNG"])
def test_rgb_comes_back_exactly(tmp_path: Path, suffix: str) -> None:
    image = read_image(write(tmp_path / f"a{suffix}", picture()))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, picture())


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    grey = picture()[..., 0]
    image = read_image(write(tmp_path / "a.png", grey))
    np.testing.assert_array_equal(image, np.repeat(grey[..., None], 3, axis=-1))


def test_alpha_is_dropped(tmp_path: Path) -> None:
    bgra = np.dstack([picture()[..., ::-1], np.full((40, 64), 7, np.uint8)])
    assert cv2.imwrite(str(tmp_path / "a.png"), bgra)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), picture())


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_scaled_alike_for_every_image(tmp_path: Path, suffix: str) -> None:
    dark = picture().astype(np.uint16) * 257 // 4
    image = read_image(write(tmp_path / f"a{suffix}", dark))
    np.testing.assert_array_equal(image, np.round(dark / 257))  # not stretched to its own range


def test_sixteen_bit_grey(tmp_path: Path) -> None:
    image = read_image(write(tmp_path / "a.png", picture()[..., 1].astype(np.uint16) * 257))
    np.testing.assert_array_equal(image[..., 2], picture()[..., 1])


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [(1, lambda a: a), (3, lambda a: np.rot90(a, 2)), (6, lambda a: np.rot90(a, -1)), (8, np.rot90), (2, np.fliplr)],
)
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, upright) -> None:
    plain = cv2.imencode(".jpg", picture()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    (tmp_path / "a.jpg").write_bytes(with_orientation(plain, orientation))
    image = read_image(tmp_path / "a.jpg").astype(int)
    expected = upright(picture()).astype(int)
    assert image.shape == expected.shape
    assert np.abs(image - expected).mean() < 4


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    path = write(tmp_path / f"half{suffix}", noise)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(DataError, match=f"half{suffix}"):
        read_image(path)


def test_the_end_of_an_exif_thumbnail_does_not_hide_a_truncated_jpeg(tmp_path: Path) -> None:
    whole = cv2.imencode(".jpg", picture()[..., ::-1])[1].tobytes()
    comment = b"\xff\xfe" + struct.pack(">H", len(whole) + 2) + whole  # a whole JPEG inside a segment
    path = tmp_path / "a.jpg"
    path.write_bytes(whole[:2] + comment + whole[2:])
    assert read_image(path).shape == (40, 64, 3)
    path.write_bytes((whole[:2] + comment + whole[2:])[:-20])
    with pytest.raises(DataError, match=r"cut short.*Copy it again"):
        read_image(path)


def test_bytes_behind_a_jpeg_do_no_harm(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg", picture())
    path.write_bytes(path.read_bytes() + b"\xff\xda camera maker's notes")
    assert read_image(path).shape == (40, 64, 3)


def test_unusable_files_are_named_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not an image\n")
    with pytest.raises(DataError, match=r"empty\.png is empty.*[Rr]emove"):
        read_image(tmp_path / "empty.png")
    with pytest.raises(DataError, match=r"text\.png is no readable image.*[Rr]emove"):
        read_image(tmp_path / "text.png")
    with pytest.raises(DataError, match=r"gone\.png.*No such file"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(DataError, match="cannot read"):
        read_image(tmp_path)


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "a.tif"), picture().astype(np.float32))
    with pytest.raises(DataError, match=r"a\.tif has pixels of type float32.*8 or 16 bits"):
        read_image(tmp_path / "a.tif")


def test_fit_to_input_keeps_the_whole_frame() -> None:
    image = np.zeros((100, 60, 3), np.uint8)
    image[0, 0] = image[-1, -1] = 255
    small = fit_to_input(image, (50, 20))
    assert small.shape == (50, 20, 3)
    assert small[0, 0, 0] > 0
    assert small[-1, -1, 0] > 0


def test_shrinking_averages_and_the_right_size_is_untouched() -> None:
    checks = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, -1)
    assert np.ptp(fit_to_input(checks, (32, 32))) == 0  # fine texture must not alias into stripes
    np.testing.assert_array_equal(fit_to_input(checks, (64, 64)), checks)


@pytest.mark.parametrize("shape", [(480, 640), (1201, 1921), (2048, 2448), (440, 511)])
def test_shrinking_keeps_what_the_input_can_show_and_little_else(shape: tuple[int, int]) -> None:
    size, (height, width) = (256, 256), shape
    y, x = (np.arange(n) / n for n in shape)
    wave = np.add.outer(np.sin(2 * np.pi * 9 * y), np.sin(2 * np.pi * 14 * x))
    slow = (127.5 + 60 * wave).astype(np.uint8)[..., None].repeat(3, -1)
    area = cv2.resize(slow, size, interpolation=cv2.INTER_AREA)
    shift = 12 if height % 2 or width % 2 else 4  # in grey levels, of half a pixel of the input where a side is odd
    assert np.abs(fit_to_input(slow, size).astype(int) - area).max() <= shift
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    average = cv2.resize(noise, size, interpolation=cv2.INTER_AREA).std()
    assert fit_to_input(noise, size).std() < 1.2 * average
    assert cv2.resize(noise, size, interpolation=cv2.INTER_LINEAR).std() > 1.4 * average


def test_a_stream_of_equal_frames_reuses_its_memory() -> None:
    fitter, out = Fitter(), np.empty((64, 96, 3), np.uint8)
    small, large = (np.full((3 * n, 5 * n, 3), n, np.uint8) for n in (60, 110))
    for frame in (small, large, small):  # one camera after the other
        assert fitter.fit(frame, (64, 96), out) is out
        assert (out == frame[0, 0, 0]).all()
    tracemalloc.start()
    try:
        fitter.fit(small, (64, 96), out)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        fitter.fit(small, (64, 96), out)
        assert tracemalloc.get_traced_memory()[1] - before < 2_000
    finally:
        tracemalloc.stop()


def test_list_images_sorts_and_leaves_out_what_is_no_image(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpeg", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.jpeg", "b.PNG"]
