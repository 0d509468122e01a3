"""Damage to the student's input: where it lies, what it shows, and that it repeats."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snl_edge.model.config import CorruptionConfig
from snl_edge.training.corruption import corrupt

STRIDES = (4, 8, 16)


@pytest.fixture
def features() -> list[torch.Tensor]:
    """Three levels of four 64×96 images; every value names its image."""
    images = torch.arange(1.0, 5.0).view(4, 1, 1, 1)
    return [images.expand(4, 3, 64 // s, 96 // s).contiguous() for s in STRIDES]


def run(features: list[torch.Tensor], seed: int = 0, **config: float) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    return corrupt(features, STRIDES, CorruptionConfig(**config), np.random.default_rng(seed))


def test_a_pasted_region_is_the_same_at_every_level_and_shows_another_image(features):
    fine, middle, coarse = run(features, paste=1.0, jitter=0.0)
    changed = [(new != old).any(1) for new, old in zip((fine, middle, coarse), features, strict=True)]
    assert changed[2].any()
    for level, scale in ((0, 4), (1, 2)):
        assert torch.equal(changed[level], changed[2].repeat_interleave(scale, 1).repeat_interleave(scale, 2))
    assert set(fine.unique().tolist()) <= {1.0, 2.0, 3.0, 4.0}


def test_only_a_share_of_the_images_is_pasted_into_and_never_a_whole_image():
    one = torch.arange(1.0, 201.0).view(200, 1, 1, 1).expand(200, 1, 8, 8)
    (new,) = corrupt([one], [16], CorruptionConfig(paste=0.5, jitter=0.0), np.random.default_rng(1))
    changed = (new != one).flatten(1)
    assert 0.35 < changed.any(1).float().mean() < 0.65
    assert not changed.all(1).any()


def test_jitter_is_as_large_as_it_says():
    one = torch.full((2, 64, 32, 32), 3.0)
    (new,) = corrupt([one], [8], CorruptionConfig(paste=0.0, jitter=0.5), np.random.default_rng(0))
    assert (new - one).std().item() == pytest.approx(1.5, rel=0.05)


def test_the_same_seed_does_the_same_damage_and_none_changes_nothing(features):
    for first, again in zip(run(features, paste=0.7, jitter=0.3), run(features, paste=0.7, jitter=0.3), strict=True):
        assert torch.equal(first, again)
    for new, old in zip(run(features, paste=0.0, jitter=0.0), features, strict=True):
        assert torch.equal(new, old)


def test_pixels_of_a_forward_student_are_damaged_in_whole_cells():
    pixels = torch.arange(1.0, 9.0).view(8, 1, 1, 1).expand(8, 3, 64, 64)
    (new,) = corrupt([pixels], [1], CorruptionConfig(paste=1.0, jitter=0.0), np.random.default_rng(0))
    changed = (new != pixels).any(1)
    cells = changed.view(8, 4, 16, 4, 16).permute(0, 1, 3, 2, 4).flatten(3)
    assert torch.equal(cells.all(3), cells.any(3))
