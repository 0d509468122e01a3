"""Metrics against scikit-learn, a brute force and an example worked by hand."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from snl_edge.evaluation.metrics import FPR_LIMIT, PixelMetrics, _bin, rank_images


def f1_max(labels: np.ndarray, scores: np.ndarray) -> float:
    precision, recall, _ = precision_recall_curve(labels, scores)
    return float(np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12)))


@pytest.mark.parametrize("digits", [1, 6])
def test_image_metrics_equal_scikit_learn(digits):
    """With one digit there are many ties."""
    rng = np.random.default_rng(0)
    labels = rng.random(300) < 0.3
    scores = np.round(rng.normal(labels * 0.8, 1), digits)
    ranking = rank_images(scores, labels)
    assert ranking.auroc == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)
    assert ranking.ap == pytest.approx(average_precision_score(labels, scores), abs=1e-9)
    assert ranking.f1_max == pytest.approx(f1_max(labels, scores), abs=1e-9)


def some_maps(count: int = 6, side: int = 48) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    masks = np.zeros((count, side, side), bool)
    masks[1, 5:9, 5:20] = masks[1, 30:40, 30:33] = True
    masks[2, 10:12, 10:12] = masks[4, 0:3, 40:48] = True
    maps = cv2.GaussianBlur(rng.random((side, side, count), dtype=np.float32), (0, 0), 1.5).transpose(2, 0, 1)
    return maps + 0.08 * masks * rng.random((count, 1, 1), dtype=np.float32) - 0.4, masks


def accumulate(maps: np.ndarray, masks: np.ndarray) -> PixelMetrics:
    metrics = PixelMetrics()
    for anomaly_map, mask in zip(maps, masks, strict=True):
        metrics.update(anomaly_map.astype(np.float32), mask)
    return metrics


def brute_force_aupro(maps: np.ndarray, masks: np.ndarray) -> float:
    regions = []
    for index, mask in enumerate(masks):
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        regions += [maps[index][labels == k] for k in range(1, count)]
    normal = np.sort(maps[~masks])
    fpr, pro = [0.0], [0.0]
    for threshold in np.unique(maps)[::-1]:
        fpr.append(float((normal >= threshold).mean()))
        pro.append(float(np.mean([(region >= threshold).mean() for region in regions])))
    grid = np.linspace(0, FPR_LIMIT, 30001)
    return float(np.trapezoid(np.interp(grid, fpr, pro), grid) / FPR_LIMIT)


def test_pixel_metrics_equal_scikit_learn_and_brute_force():
    maps, masks = some_maps()
    result = accumulate(maps, masks).compute()
    labels, scores = masks.ravel(), maps.ravel()
    assert result.auroc == pytest.approx(roc_auc_score(labels, scores), abs=1e-3)
    assert result.ap == pytest.approx(average_precision_score(labels, scores), abs=1e-3)
    assert result.f1_max == pytest.approx(f1_max(labels, scores), abs=1e-3)
    assert result.aupro == pytest.approx(brute_force_aupro(maps, masks), abs=2e-3)


def test_aupro_by_hand():
    """Ten normal pixels, regions of 1 and of 4 pixels.

    From high to low: the small region whole (overlap 1/2), one normal pixel (FPR 0.1), half of the large one
    (overlap 3/4), two normal pixels (FPR 0.3), the rest. Below the curve up to 0.3:
    0.1 · (1/2 + 1/2)/2 + 0.2 · (3/4 + 3/4)/2 = 0.2, divided by 0.3.
    """
    anomaly_map = np.zeros((3, 5), np.float32)
    mask = np.zeros((3, 5), bool)
    mask[0, 0] = True
    mask[2, 1:5] = True
    anomaly_map[0, 0] = 9
    anomaly_map[0, 2] = 8
    anomaly_map[2, 1:3] = 7
    anomaly_map[0, 3] = 6
    anomaly_map[0, 4] = 5
    result = accumulate(anomaly_map[None], mask[None]).compute()
    assert result.aupro == pytest.approx(0.2 / 0.3, abs=1e-6)


def test_a_large_region_does_not_hide_a_small_one():
    maps, masks = np.zeros((1, 40, 40), np.float32), np.zeros((1, 40, 40), bool)
    masks[0, 2:30, 2:30] = masks[0, 36:38, 36:38] = True
    maps[0, 2:30, 2:30] = 1
    result = accumulate(maps, masks).compute()
    assert result.auroc > 0.99
    # Half of the regions is found at FPR 0, the other half only with everything else.
    assert result.aupro == pytest.approx(0.5 + 0.5 * FPR_LIMIT / 2, abs=1e-6)


def test_bins_keep_the_order_of_floats():
    scores = np.array([-np.inf, -3.5, -1e-9, -0.0, 0.0, 1e-30, 0.5, 0.501, 7.0, np.inf], np.float32)
    assert (np.diff(_bin(scores)) >= 0).all()
    assert _bin(np.float32([0.5]))[0] < _bin(np.float32([0.5005]))[0]


def test_what_is_not_defined_is_nan():
    assert math.isnan(rank_images([0.1, 0.2], [False, False]).auroc)
    assert math.isnan(rank_images([0.1, 0.2], [True, True]).ap)
    only_good = PixelMetrics()
    only_good.update(np.zeros((4, 4), np.float32), np.zeros((4, 4), bool))
    assert math.isnan(only_good.compute().aupro)
    assert math.isnan(only_good.compute().auroc)
