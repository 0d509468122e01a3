"""The matrix-product post-processing against resizing and convolving."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from snl_edge.errors import ConfigError
from snl_edge.model.anomaly_map import AnomalyMap, cosine_distance, smooth_upsampling
from snl_edge.model.config import MapConfig, override
from snl_edge.model.presets import preset


@pytest.mark.parametrize(("height", "width", "sigma"), [(64, 64, 4.0), (64, 128, 2.0)])
def test_equals_bilinear_upsampling_then_gaussian_blur(height, width, sigma):
    rng = np.random.default_rng(0)
    coarse = rng.random((height // 8, width // 8), dtype=np.float32)
    fine = F.interpolate(torch.from_numpy(coarse)[None, None], size=(height, width), mode="bilinear")[0, 0].numpy()
    side = 2 * int(4 * sigma + 0.5) + 1
    expected = cv2.GaussianBlur(fine, (side, side), sigma, borderType=cv2.BORDER_REFLECT_101)
    rows, columns = (smooth_upsampling(n // 8, n, sigma) for n in (height, width))
    np.testing.assert_allclose((rows @ torch.from_numpy(coarse) @ columns.T).numpy(), expected, atol=2e-5)


def test_a_constant_distance_stays_constant():
    torch.testing.assert_close(smooth_upsampling(16, 256, 4.0).sum(1), torch.ones(256))


def test_cosine_distance_at_its_landmarks():
    t = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    for s, expected in (([3.0, 0.0], 0.0), ([0.0, 1.0], 1.0), ([-1.0, 0.0], 2.0), ([0.0, 0.0], 1.0)):
        assert cosine_distance(t, torch.tensor(s).view(1, 2, 1, 1)).item() == pytest.approx(expected, abs=1e-5)


FIRST = torch.zeros(1, dtype=torch.int32)


def test_the_peak_lies_where_the_student_fails():
    levels = [torch.ones(1, 4, 64 // s, 64 // s) for s in (4, 8, 16)]
    student = [level.clone() for level in levels]
    for level, stride in zip(student, (4, 8, 16), strict=True):
        level[:, :2, 48 // stride, 16 // stride] = -1
    distances = [cosine_distance(t, s) for t, s in zip(levels, student, strict=True)]
    anomaly_map, score = AnomalyMap((64, 64), MapConfig(sigma=2.0), descriptors=0)(distances, FIRST)
    y, x = divmod(int(anomaly_map[0].argmax()), 64)
    assert abs(y - 52) <= 6
    assert abs(x - 20) <= 6
    assert score.item() == pytest.approx(anomaly_map.max().item())


def test_distances_are_weighed_in_units_of_their_means():
    module = AnomalyMap((64, 64), MapConfig(level_weights=(1.0, 2.0, 3.0), memory_weight=4.0), descriptors=1)
    means = torch.tensor([0.1, 0.2, 0.4, 50.0])
    module.set_scales(means)
    usual = [m * torch.ones(1, 64 // s, 64 // s) for m, s in zip(means, (4, 8, 16, 8), strict=True)]
    torch.testing.assert_close(module(usual, FIRST)[0], torch.ones(1, 64, 64))
    usual[3] = 2 * usual[3]
    torch.testing.assert_close(module(usual, FIRST)[1], torch.tensor([1.4]))


def test_what_is_expected_of_the_student_is_subtracted():
    weights = (1.0, 2.0, 3.0)
    module = AnomalyMap((64, 64), MapConfig(level_weights=weights, memory_weight=4.0, surprise=0.5), descriptors=1)
    means = torch.tensor([0.1, 0.2, 0.4, 50.0])
    module.set_scales(means)
    usual = [m * torch.ones(1, 64 // s, 64 // s) for m, s in zip(means, (4, 8, 16, 8), strict=True)]
    expected = (means[:3] * torch.tensor([1.0, 0.0, 2.0])).expand(1, 8, 8, 3)
    assert module(usual, FIRST, expected)[1].item() == pytest.approx(1 - 0.5 * (1 * 1.0 + 3 * 2.0) / 10)
    assert module(usual, FIRST)[1].item() == pytest.approx(1)


@pytest.mark.parametrize("weights", ["[0, 0, 0]", "[-1, 1, 1]"])
def test_weights_that_show_nothing_are_refused(weights):
    with pytest.raises(ConfigError, match="weights of the anomaly map"):
        override(preset("edge"), [f"anomaly_map.level_weights={weights}", "memory=null"])
    if weights == "[0, 0, 0]":
        assert override(preset("edge"), [f"anomaly_map.level_weights={weights}"]).memory is not None


def test_a_map_that_is_raised_as_a_whole_is_lowered_and_a_defect_is_not():
    config = MapConfig(level_weights=(0, 0, 1), raised_exponent=0.5, raised_most=1.21, raised_scores=(2.0, 3.0))
    amap = AnomalyMap((64, 64), config, descriptors=0)
    grid = torch.ones(1, 4, 4)
    spot = grid.clone()
    spot[0, 1, 2] = 40.0  # it raises the mean to more than three times what is usual, and the largest value far more
    levels = (0.5, 1.0, 1.1, 1.21, 2.0, 2.5, 3.0)
    distances = torch.cat([*(level * grid for level in levels), spot])
    raw = [torch.zeros(8, 16, 16), torch.zeros(8, 8, 8), distances]
    product = torch.zeros(8, dtype=torch.int32)
    before, _ = amap(raw, product)
    amap.set_usual(torch.tensor([[1.0], [1.0]]))
    lowered, score = amap(raw, product)
    factors = (lowered / before).amax(dim=(1, 2))
    # As it is below what is usual; divided by the root of what it is raised by, never by more than that of 1.21; half
    # of that half way between the scores; not at all beyond.
    expected = torch.tensor([1.0, 1.0, 1.1**-0.5, 1 / 1.1, 1 / 1.1, 1.1**-0.5, 1.0, 1.0])
    torch.testing.assert_close(factors, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(score, lowered.flatten(1).amax(dim=1))
    assert (score[:7].diff() > 0).all()  # what is raised more still scores more


def test_each_product_has_its_own_usual_values_and_a_map_without_numbers_keeps_none():
    config = MapConfig(level_weights=(0, 0, 1), raised_exponent=1.0, raised_scores=(2.0, 3.0))
    amap = AnomalyMap((64, 64), config, descriptors=0)
    amap.set_usual(torch.tensor([[1.0, 2.0], [1.0, 2.0]]))
    distances = [torch.zeros(3, 16, 16), torch.zeros(3, 8, 8), 1.1 * torch.ones(3, 4, 4)]
    distances[2][2, 0, 0] = torch.nan
    _, score = amap(distances, torch.tensor([0, 1, 0], dtype=torch.int32))
    torch.testing.assert_close(score[:2], torch.tensor([1.0, 1.1]), rtol=1e-4, atol=1e-4)
    assert score[2].isnan()
    with pytest.raises(ConfigError, match="two rising multiples"):
        override(preset("edge"), ["anomaly_map.raised_scores=[1.2, 1.1]"])
