"""A short check on real products, where their images are: `SNL_EDGE_DATA` names a folder in MVTec AD layout."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from conftest import short_training

from snl_edge.bundling.build import build
from snl_edge.data.layouts import open_dataset
from snl_edge.evaluation.run import evaluate_model
from snl_edge.model.config import override
from snl_edge.model.presets import preset
from snl_edge.training.loop import train
from studies.detection.quality import agreement

DATA = os.environ.get("SNL_EDGE_DATA", "")
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA, reason="SNL_EDGE_DATA names no folder with real images"),
]


def test_one_model_learns_real_products_and_every_runtime_agrees(tmp_path):
    whole = open_dataset(Path(DATA))
    dataset = open_dataset(Path(DATA), products=whole.products[:3])
    config = override(preset("edge"), ["height=128", "width=128"])
    train(config, short_training(steps=80, batch_size=8), dataset, tmp_path)
    evaluation, _ = evaluate_model(tmp_path, dataset)
    assert evaluation.mean["image_auroc"] > 0.6
    assert evaluation.mean["pixel_auroc"] > 0.7
    bundle = build(tmp_path, None, "fp16", engine=False)
    for name, difference in agreement(tmp_path, bundle, dataset.test, most=24).items():
        assert difference["flips"] == 0, name
        assert difference["score_difference"] < (5e-3 if name == "fp16_rounded" else 1e-4), name
        assert np.isfinite(difference["map_difference"])
