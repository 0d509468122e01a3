"""The memory of normal patches: its distances, what it keeps, and how its distance is weighed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from conftest import short_training, small_model

from snl_edge.data.layouts import open_dataset
from snl_edge.data.loader import ImageStore
from snl_edge.errors import ConfigError
from snl_edge.model.config import Descriptor, MemoryConfig
from snl_edge.model.memory_bank import MemoryBank, patches
from snl_edge.training.appearance import measure_appearance
from snl_edge.training.checkpoint import load_model
from snl_edge.training.coreset import farthest_points, fill_memory
from snl_edge.training.expected import fit_expected
from snl_edge.training.image_record import find_images
from snl_edge.training.thresholds import fit_map_weights, leave_one_out

CHANNELS = [3, 4, 5]


def features(images: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(images, c, 64 // s, 64 // s, generator=generator) for c, s in zip(CHANNELS, (4, 8, 16), strict=True)
    ]


PRODUCTS = torch.tensor([0, 1, 0, 1, 1, 0], dtype=torch.int32)
"""What each of the six images that fill a memory shows."""


def filled(
    centres: int = 32, candidates: int = 100, seed: int = 0, groups: Sequence[int] = range(6), **settings: object
) -> tuple[MemoryBank, list[torch.Tensor]]:
    config = MemoryConfig.model_validate({"centres": centres, **settings})
    memory, seen = MemoryBank(CHANNELS, config, 2), features(6)
    fill_memory(
        memory, lambda indices: [level[list(indices)] for level in seen], PRODUCTS.tolist(), groups, candidates, 2, seed
    )
    return memory, seen


def distance(memory: MemoryBank, *given: object) -> torch.Tensor:
    """That of the only descriptor."""
    (only,) = memory(*given).distances
    return only


def exact_distances(memory: MemoryBank, seen: list[torch.Tensor], product: torch.Tensor, way: int = 0) -> torch.Tensor:
    """Of every patch to the nearest centre of the product, by brute force, in one description."""
    descriptors = memory.config.descriptors
    x = patches(seen, descriptors[way]).flatten(2).transpose(1, 2)  # [B, P, C]
    kept = memory.kept.view(len(descriptors), -1, memory.config.centres, memory.kept.shape[1])
    centres = kept[way] + memory.origin[way]  # [N, K, C]
    own = centres.expand(2, -1, -1) if len(centres) == 1 else centres[product.long()]
    return torch.cdist(x.double(), own.double()).amin(2).view(2, 8, 8).float()


OTHERS = torch.tensor([1, 0], dtype=torch.int32)
SEARCHES = [{}, {"search": 9}, {"search": 9, "finalists": 4}, {"finalists": 4}]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("search", SEARCHES)
def test_distance_is_that_of_the_nearest_centre_of_the_product(shared: bool, search: dict):
    memory, _ = filled(shared=shared, **search)
    assert len(memory.owners) == (1 if shared else 2)
    other = features(2, seed=1)
    assert torch.allclose(distance(memory, other, OTHERS), exact_distances(memory, other, OTHERS), atol=2e-3)


THREE = ["pooled", "local", "unit"]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("search", SEARCHES)
def test_each_description_has_centres_and_a_distance_of_its_own(shared: bool, search: dict):
    memory, _ = filled(shared=shared, descriptors=THREE, **search)
    other = features(2, seed=1)
    distances = memory(other, OTHERS).distances
    for way, found in enumerate(distances):
        assert torch.allclose(found, exact_distances(memory, other, OTHERS, way), atol=2e-3)
    assert not torch.allclose(distances[0], distances[1], rtol=0.1)
    assert not torch.allclose(distances[0], distances[2], rtol=0.1)


def test_a_place_is_described_by_means_by_itself_or_by_directions():
    seen = features(2)
    pooled, local, unit = (patches(seen, descriptor) for descriptor in THREE)
    inside = (slice(None), slice(None), 3, 4)
    means = seen[1][:, :, 2:5, 3:6].mean(dim=(2, 3))
    assert torch.allclose(pooled[inside][:, :4], means, atol=1e-6)
    assert torch.allclose(local[inside][:, :4], seen[1][inside])
    assert torch.allclose(unit[inside][:, :4], means / means.norm(dim=1, keepdim=True), atol=1e-5)
    assert torch.allclose(patches([10 * level for level in seen], "unit"), unit, atol=1e-5)
    assert torch.allclose(local[:, :4, 0, 0], seen[1][:, :, 0, 0] * 4 / 9)  # as a mean over a border of zeros


@pytest.mark.parametrize("descriptor", THREE)
def test_each_description_is_the_same_in_all_principal_directions(descriptor: str):
    whole, turned = filled(descriptors=[descriptor])[0], filled(descriptors=[descriptor], dimensions=9)[0]
    other = features(2, seed=1)
    assert torch.allclose(distance(turned, other, OTHERS), distance(whole, other, OTHERS), atol=5e-3)


def test_the_parts_of_a_memory_are_chosen_from_shares_of_the_candidates():
    """With room for all candidates each is kept once; a memory in one part would keep the same ones."""
    memory, seen = filled(centres=192, candidates=192, finalists=4)
    assert len(memory.kept[:192].unique(dim=0)) == 192
    assert distance(memory, seen, PRODUCTS).max() < 0.01
    assert sorted(memory.owners[0].tolist()) == sorted([0] * 64 + [2] * 64 + [5] * 64)


@pytest.mark.parametrize("search", [{}, {"search": 9}])
@pytest.mark.parametrize("size", [1e-3, 100.0])
def test_the_search_serves_small_and_large_numbers_and_points_far_away(search: dict, size: float):
    memory, seen = MemoryBank(CHANNELS, MemoryConfig.model_validate({"centres": 32, **search}), 2), features(2, seed=1)
    memory.set_centres(size * torch.randn(1, 2, 32, 9, generator=torch.Generator().manual_seed(0)), memory.owners)
    for away in (size, 50 * size):
        given = [away * level for level in seen]
        exact = exact_distances(memory, given, OTHERS)
        assert torch.allclose(distance(memory, given, OTHERS), exact, rtol=5e-3, atol=1.5e-3)


def test_equal_centres_are_as_good_as_one():
    memory, seen = filled(centres=256, candidates=32, search=9, finalists=2)  # fewer candidates: some are kept twice
    assert torch.allclose(
        distance(memory, seen[:], PRODUCTS)[:2], exact_distances(memory, [s[:2] for s in seen], PRODUCTS[:2]), atol=2e-3
    )


def test_few_directions_find_a_centre_nearly_as_near_and_finalists_a_nearer_one():
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([8, 8, 4, 2, 1, 1, 1, 1, 1.0, 0.5, 0.5, 0.5])
    x = [torch.randn(2, c, 64 // s, 64 // s, generator=generator) for c, s in ((3, 4), (6, 8), (6, 16))]
    found = []
    for finalists in (1, 8):
        memory = MemoryBank([3, 6, 6], MemoryConfig(centres=256, search=8, finalists=finalists), 2)
        generator.manual_seed(1)
        memory.set_centres(torch.randn(1, 2, 256, 12, generator=generator) * spread, memory.owners)
        excess = distance(memory, x, OTHERS) - exact_distances(memory, x, OTHERS)
        assert excess.min() > -2e-3  # never nearer than the nearest
        found.append(excess.mean().item())
    assert found[1] <= found[0] < 0.2


def test_memories_of_older_checkpoints_are_read():
    memory, seen = filled()
    state = memory.state_dict()
    state["centres"] = state.pop("kept").view(2, 32, -1).transpose(1, 2)
    state["origin"] = state["origin"].squeeze(0)  # of before memories had descriptors
    again = MemoryBank(CHANNELS, MemoryConfig(centres=32), 2)
    again.load_state_dict(state)
    assert torch.equal(distance(again, seen, PRODUCTS), distance(memory, seen, PRODUCTS))


def test_what_is_kept_has_no_distance_and_something_new_has():
    memory, seen = filled(centres=200, candidates=192)  # every patch of each product's three images
    assert distance(memory, seen, PRODUCTS).max() < 0.01
    assert distance(memory, features(1, seed=2), PRODUCTS[:1]).mean() > 0.3


def test_what_is_normal_for_one_product_is_not_for_another():
    memory, seen = filled(centres=200, candidates=192)
    assert distance(memory, seen, 1 - PRODUCTS).mean() > 0.3
    shared, seen = filled(centres=400, candidates=384, shared=True)
    assert distance(shared, seen, 1 - PRODUCTS).max() < 0.01


@pytest.mark.parametrize("search", SEARCHES[1:3])
@pytest.mark.parametrize("shared", [False, True])
def test_a_left_out_image_is_judged_as_if_it_had_never_been_seen(shared: bool, search: dict):
    memory, seen = filled(centres=400, candidates=384, shared=shared, **search)  # every patch of every image
    left_out = torch.arange(6, dtype=torch.int32)
    distances = distance(memory, seen, PRODUCTS, left_out)
    cells = patches(seen).flatten(2).transpose(1, 2)  # [6, P, C]
    for image in range(6):
        others = [i for i in range(6) if i != image and (shared or PRODUCTS[i] == PRODUCTS[image])]
        expected = torch.cdist(cells[image], cells[others].flatten(0, 1)).amin(1)
        assert torch.allclose(distances[image].flatten(), expected, atol=1e-3)
    assert distances.mean() > 0.3


@pytest.mark.parametrize("search", SEARCHES[1:3])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("descriptor", ["pooled", "unit"])
def test_a_forgotten_part_excuses_nothing(shared: bool, search: dict, descriptor: Descriptor):
    # Every patch of every image.
    memory, seen = filled(centres=400, candidates=384, shared=shared, descriptors=["local", descriptor], **search)
    memory.forget([int(PRODUCTS[0])], [0])
    distances = memory(seen, PRODUCTS).distances[1]
    cells = patches(seen, descriptor).flatten(2).transpose(1, 2)  # [6, P, C]
    others = [i for i in range(1, 6) if shared or PRODUCTS[i] == PRODUCTS[0]]
    expected = torch.cdist(cells[0], cells[others].flatten(0, 1)).amin(1)
    assert torch.allclose(distances[0].flatten(), expected, atol=0.01)  # the search is a coarse one
    assert distances[1:].max() < 0.01  # the others know themselves
    if not shared:
        memory.forget(PRODUCTS.tolist(), list(range(6)))  # nothing would be left to compare with: what was kept stays
        assert torch.equal(memory(seen, PRODUCTS).distances[1], distances)


def test_training_images_are_judged_without_their_own_patches(run, line):
    model, _ = load_model(run)
    found = find_images(run, open_dataset(line))
    samples, groups = found.of("trained"), np.array([found.entries[i].group for i in found.indices("trained")])
    own = measure_appearance(model, ImageStore(samples, model.config.size, 0), 8, lambda done, total: None)
    judged = leave_one_out(model, ImageStore(samples, model.config.size, 0), groups, 8)
    scores = judged.scores_by_part
    assert {product: len(values) for product, values in scores.items()} == dict(Counter(s.product for s in samples))
    for product, values in scores.items():
        assert np.median(values) > np.median(own[product]["score"])
    some = ImageStore(samples[:8], model.config.size, 0)  # seven of one product, one of the other
    judged = leave_one_out(model, some, groups[:8], 8)
    few = judged.scores_by_part
    assert {product: len(values) for product, values in few.items()} == {samples[0].product: 7}


def test_centres_lie_far_apart():
    generator = torch.Generator().manual_seed(0)
    crowd, loners = torch.randn(500, 8, generator=generator) * 0.01, 10 * torch.eye(8)
    chosen = farthest_points(torch.cat([crowd, loners]), 9, seed=0)
    assert set(chosen.tolist()) >= set(range(500, 508))


def test_images_give_patches_by_their_weights():
    """With room for all candidates, what is kept tells what was drawn: of 64 patches an image, all and a quarter."""
    memory = MemoryBank(CHANNELS, MemoryConfig(centres=256), 1)
    given = features(4)
    fill_memory(
        memory,
        lambda i: [level[list(i)] for level in given],
        [0] * 4,
        range(4),
        10**6,
        2,
        0,
        weights=[1, 1, 0.25, 0.25],
    )
    kept = memory.kept.unique(dim=0, return_inverse=True)[1]
    drawn = {(owner, row) for owner, row in zip(memory.owners.flatten().tolist(), kept.tolist(), strict=True)}
    assert Counter(owner for owner, _ in drawn) == {0: 64, 1: 64, 2: 16, 3: 16}


def test_the_same_seed_keeps_the_same_patches():
    assert torch.equal(filled(seed=3)[0].kept, filled(seed=3)[0].kept)
    assert not torch.equal(filled(seed=3)[0].kept, filled(seed=4)[0].kept)


def test_distances_are_weighed_by_their_mean_over_held_out_images(run, line):
    model, _ = load_model(run)
    held_out = find_images(run, open_dataset(line)).of("held_out")
    kept = model.anomaly_map.scales.clone()
    assert len(kept) == 3 + len(model.memory.config.descriptors)
    assert not torch.equal(kept, torch.ones(len(kept)))
    fit_map_weights(model, ImageStore(held_out, model.config.size, 0), short_training())
    assert torch.allclose(model.anomaly_map.scales, kept, rtol=1e-4)


def test_a_model_without_memory_has_three_distances():
    from snl_edge.model.config import override
    from snl_edge.model.snl import Snl

    model = Snl(override(small_model(), ["memory=null"]), pretrained=False).eval()
    assert model.memory is None
    images = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    anomaly_map, score, *_ = model(images)
    assert anomaly_map.shape == (1, 64, 64)
    assert score.item() == pytest.approx(anomaly_map.max().item())


def test_in_all_principal_directions_distances_are_those_of_all_channels():
    """A rotation of the channels; each level is rotated on its own grid."""
    whole, turned = filled()[0], filled(dimensions=9)[0]
    other, product = features(2, seed=1), torch.tensor([1, 0], dtype=torch.int32)
    assert turned.kept.shape == whole.kept.shape
    assert not torch.allclose(turned.kept, whole.kept, atol=0.1)
    assert torch.allclose(distance(turned, other, product), distance(whole, other, product), atol=5e-3)


def test_few_directions_are_those_in_which_what_is_kept_varies_most():
    generator = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(9, 9, generator=generator)).Q
    patches_kept = torch.randn(2, 50, 9, generator=generator) * torch.tensor([9, 8, 7, 0, 0, 0, 0, 0, 0.0])
    memory = MemoryBank([3, 4, 5], MemoryConfig(centres=50, dimensions=8), 2)
    memory.set_centres((patches_kept @ directions.T).unsqueeze(0), memory.owners)
    assert memory.kept.shape == (2 * 50, 8)
    spread = memory.kept.square().mean(dim=0)
    assert spread[:3].sqrt() == pytest.approx([9, 8, 7], rel=0.2)
    assert spread[3:].max() < 1e-3


def test_more_directions_than_channels_are_refused():
    with pytest.raises(ConfigError, match="9 channels"):
        MemoryBank(CHANNELS, MemoryConfig(dimensions=10), 1)
    with pytest.raises(ConfigError, match="8 directions"):
        MemoryBank(CHANNELS, MemoryConfig(dimensions=8, search=9), 1)
    with pytest.raises(ValueError, match="cannot be divided among 3"):
        MemoryConfig(centres=2048, finalists=3)
    with pytest.raises(ValueError, match="given once"):
        MemoryConfig(descriptors=("pooled", "pooled"))


@pytest.mark.parametrize("search", SEARCHES)
def test_what_is_expected_is_that_of_the_nearest_centre(search: dict):
    config = MemoryConfig.model_validate({"centres": 32, "descriptors": THREE, **search})
    memory, seen = MemoryBank(CHANNELS, config, 2, expects=True), features(6)
    fill_memory(memory, lambda i: [level[list(i)] for level in seen], PRODUCTS.tolist(), range(6), 100, 2, 0)
    memory.expected.copy_(torch.arange(3.0) + 10 * torch.arange(64.0).unsqueeze(1))
    other = features(2, seed=1)
    expected = memory(other, OTHERS).expected
    assert expected.shape == (2, 8, 8, 3)
    cells = patches(other).flatten(2).transpose(1, 2)
    centres = memory.kept.view(3, 2, 32, -1)[0] + memory.origin[0]
    rows = torch.cdist(cells, centres[OTHERS.long()]).argmin(2) + 32 * OTHERS.long().unsqueeze(1)
    agree = (expected[..., 0].flatten(1) == 10.0 * rows).float().mean()
    assert agree > 0.98  # the search is a coarse one
    assert torch.equal(expected[..., 2] - expected[..., 0], torch.full((2, 8, 8), 2.0))


def test_places_like_a_centre_say_what_is_expected_there():
    memory = MemoryBank(CHANNELS, MemoryConfig(centres=32), 2, expects=True)
    generator = torch.Generator().manual_seed(0)
    memory.set_centres(torch.randn(1, 2, 32, 9, generator=generator), memory.owners)
    counts = torch.randint(0, 20, (64,), generator=generator).float()
    usual = torch.rand(64, 3, generator=generator)
    memory.set_expected(usual * counts.unsqueeze(1), counts)
    for product in (0, 1):
        own = slice(32 * product, 32 * product + 32)
        anywhere = (usual[own] * counts[own, None]).sum(0) / counts[own].sum()
        for centre in range(32):
            away = (memory.kept[own] - memory.kept[own][centre]).norm(dim=1)
            like = away.argsort()[:9]
            among = counts[own][like]
            expected = ((usual[own][like] * among[:, None]).sum(0) + 5 * anywhere) / (among.sum() + 5)
            assert torch.allclose(memory.expected[own][centre], expected, atol=1e-3)
    memory.set_expected(torch.zeros(64, 3), torch.zeros(64))  # no place is known: nothing is expected
    assert not memory.expected.any()


def test_a_trained_model_expects_what_good_parts_show(run, line):
    model, _ = load_model(run)
    expected = model.memory.expected
    found = find_images(run, open_dataset(line))
    samples, groups = found.of("trained"), np.array([found.entries[i].group for i in found.indices("trained")])
    with torch.no_grad():
        pixels = model.teacher.normalise(torch.from_numpy(ImageStore(samples, model.config.size, 0).batch([0])))
        fine = model.distances(pixels, model.teacher(pixels), torch.zeros(1, dtype=torch.int32))[0][0]
    assert expected.min() > 0
    assert expected[:, 0].mean() == pytest.approx(float(fine.mean()), rel=0.5)
    kept = expected.clone()
    expected.zero_()
    fit_expected(model, ImageStore(samples, model.config.size, 0), groups, 8)
    assert torch.allclose(model.memory.expected, kept, atol=2e-3)
    plain = MemoryBank(CHANNELS, MemoryConfig(centres=32), 2)
    assert plain.expected is None
    assert "expected" not in plain.state_dict()
