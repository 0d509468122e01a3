"""The four structural terms against their formulas written out, and what each one sees."""

from __future__ import annotations

import pytest
import torch

from snl_edge.errors import ConfigError
from snl_edge.model.config import LossConfig, override
from snl_edge.model.losses import (
    channel_loss,
    inter_affinity_loss,
    intra_affinity_loss,
    snl_loss,
    spatial_loss,
)
from snl_edge.model.presets import PRESETS


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 5, 4, 4, generator=generator), torch.randn(3, 5, 4, 4, generator=generator)


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def test_spatial_and_channel_terms_match_their_formulas(pair):
    t, s = pair
    spatial = [1 - cosine(t[b, :, y, x], s[b, :, y, x]) for b in range(3) for y in range(4) for x in range(4)]
    channel = [1 - cosine(t[b, c].flatten(), s[b, c].flatten()) for b in range(3) for c in range(5)]
    assert spatial_loss(t, s).item() == pytest.approx(sum(spatial) / len(spatial), abs=1e-5)
    assert channel_loss(t, s).item() == pytest.approx(sum(channel) / len(channel), abs=1e-5)


def test_affinity_terms_match_their_formulas(pair):
    t, s = (x.flatten(2).transpose(1, 2) for x in pair)  # [B, P, C]
    intra, inter, cross = [], [], []
    for b in range(3):
        for p in range(16):
            for q in range(16):
                own = cosine(t[b, p], t[b, q])
                intra.append(abs(own - cosine(s[b, p], s[b, q])))
                cross.append(abs(own - cosine(t[b, p], s[b, q])))
            for other in range(3):
                inter.append(abs(cosine(t[b, p], t[other, p]) - cosine(s[b, p], s[other, p])))
    assert intra_affinity_loss(*pair, grid=4).item() == pytest.approx(sum(intra) / len(intra), abs=1e-5)
    assert inter_affinity_loss(*pair, 4, "batch").item() == pytest.approx(sum(inter) / len(inter), abs=1e-5)
    assert inter_affinity_loss(*pair, 4, "teacher_student").item() == pytest.approx(sum(cross) / len(cross), abs=1e-5)


def test_a_perfect_student_costs_nothing(pair):
    t, _ = pair
    for reading in ("batch", "teacher_student"):
        config = LossConfig(intra_affinity=1, inter_affinity=1, inter_reading=reading)
        assert snl_loss([t], [t.clone()], config)["total"].item() == pytest.approx(0, abs=1e-5)


def test_affinities_do_not_care_about_a_common_rotation(pair):
    """What sets them apart from the spatial term: only relations count, not the features themselves."""
    t, _ = pair
    rotation, _ = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(1)))
    rotated = torch.einsum("dc,bchw->bdhw", rotation, t)
    assert spatial_loss(t, rotated) > 0.5
    assert intra_affinity_loss(t, rotated, 4) < 1e-5
    assert inter_affinity_loss(t, rotated, 4, "batch") < 1e-5
    assert inter_affinity_loss(t, rotated, 4, "teacher_student") > 0.1


def test_terms_of_weight_zero_are_left_out(pair):
    t, s = pair
    terms = snl_loss([t, t], [s, s], LossConfig(channel=0, intra_affinity=0, inter_affinity=0, spatial=2))
    assert set(terms) == {"spatial", "total"}
    assert terms["total"].item() == pytest.approx(2 * 2 * spatial_loss(t, s).item(), rel=1e-5)


def test_all_weights_zero_is_an_error():
    zero = [f"loss.{name}=0" for name in ("spatial", "channel", "intra_affinity", "inter_affinity")]
    with pytest.raises(ConfigError, match="at least one term"):
        override(PRESETS["edge"], zero)
