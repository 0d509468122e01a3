"""The drawn anomaly map."""

from __future__ import annotations

import numpy as np
import pytest

from snl_edge.errors import DataError
from snl_edge.runtime.overlay import draw_overlay, draw_unknown

pytestmark = pytest.mark.everywhere


def _picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_normal_area_stays_the_plain_picture() -> None:
    image = _picture(120, 200)
    drawn = draw_overlay(image, np.full((32, 32), 0.24, dtype=np.float32), threshold=0.5)
    np.testing.assert_array_equal(drawn, image)


def test_fault_is_marked_where_it_is_in_a_frame_of_another_size() -> None:
    image = np.full((480, 640, 3), 90, dtype=np.uint8)
    untouched = image.copy()
    anomaly_map = np.zeros((64, 64), dtype=np.float32)
    anomaly_map[32:48, 16:32] = 1.2  # rows 240–360, columns 160–320 of the frame
    drawn = draw_overlay(image, anomaly_map)
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(image, untouched)
    rows, columns = np.nonzero((drawn != image).any(axis=2))
    assert 225 <= rows.min() <= 240
    assert 360 <= rows.max() + 1 <= 375
    assert 145 <= columns.min() <= 160
    assert 320 <= columns.max() + 1 <= 335
    assert (drawn == 255).all(axis=2).any()  # the contour


def test_unknown_product_gets_a_frame_and_stays_as_it_is_within() -> None:
    image = _picture(64, 128)
    drawn = draw_unknown(image)
    np.testing.assert_array_equal(drawn[8:-8, 8:-8], image[8:-8, 8:-8])
    edge = np.concatenate([drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]])
    assert len(np.unique(edge, axis=0)) == 1
    assert not np.array_equal(image, drawn)


def test_no_contour_below_the_threshold() -> None:
    image = np.zeros((64, 64, 3), dtype=np.uint8)
    drawn = draw_overlay(image, np.full((64, 64), 0.45, dtype=np.float32))
    assert drawn.any()
    assert not (drawn == 255).all(axis=2).any()


def test_colour_depends_on_the_ratio_to_the_threshold_alone() -> None:
    image = _picture(40, 40)
    anomaly_map = np.random.default_rng(1).random((40, 40), dtype=np.float32)
    np.testing.assert_array_equal(draw_overlay(image, anomaly_map, 0.5), draw_overlay(image, anomaly_map * 2, 1.0))


@pytest.mark.parametrize(
    ("image", "anomaly_map", "threshold", "says"),
    [
        (np.zeros((8, 8, 3), np.float32), np.zeros((8, 8), np.float32), 0.5, r"uint8 \[H, W, 3\]"),
        (np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.float32), 0.5, r"uint8 \[H, W, 3\]"),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((2, 8, 8), np.float32), 0.5, r"\[2, 8, 8\]"),
        (np.zeros((8, 8, 3), np.uint8), np.full((8, 8), np.nan, np.float32), 0.5, "finite"),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.float32), 0.0, "threshold 0.0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    image: np.ndarray, anomaly_map: np.ndarray, threshold: float, says: str
) -> None:
    with pytest.raises(DataError, match=says):
        draw_overlay(image, anomaly_map, threshold)
