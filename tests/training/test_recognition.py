"""Recognising products: what is fitted, what is unknown, and products found without labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import short_training, small_model

from snl_edge.data.layouts import open_dataset
from snl_edge.data.loader import ImageStore
from snl_edge.data.synthetic import PRODUCTS, write_synthetic_line
from snl_edge.errors import ConfigError, DataError
from snl_edge.model.config import override
from snl_edge.model.recognition import Recognition
from snl_edge.model.teacher import Teacher
from snl_edge.training.checkpoint import load_model
from snl_edge.training.cluster import cluster, cluster_products
from snl_edge.training.loop import train
from snl_edge.training.recognition import RecognitionFit, embed, fit_recognition, rounding_noise
from studies.detection.recognition import measure


@pytest.fixture(scope="module")
def four(tmp_path_factory) -> Path:
    """Four products, 16 training images each."""
    root = tmp_path_factory.mktemp("recognition") / "line"
    write_synthetic_line(root, seed=5, train=16, good=6, defective=4, size=64, products=list(PRODUCTS)[:4])
    return root


@pytest.fixture(scope="module")
def embedded(four):
    """Embeddings of all images, their products, whether trained on, whether good."""
    dataset, config = open_dataset(four), small_model()
    samples = [*dataset.train, *dataset.test]
    embeddings = embed(Teacher(config.teacher), ImageStore(samples, config.size, budget=0), 8)
    trained = np.arange(len(samples)) < len(dataset.train)
    return embeddings, np.array([s.product for s in samples]), trained, np.array([s.is_good for s in samples])


def test_products_of_the_line_are_told_apart_and_unlearned_ones_are_unknown(embedded):
    overall = measure(*embedded)["overall"]
    assert overall["accuracy"] == 1
    assert overall["false_unknown_rate"] <= 1 / 24
    assert overall["left_out_unknown_rate"] == 1
    assert overall["defective_accuracy"] == 1


def test_module_computes_what_was_fitted(embedded):
    embeddings, products, trained, _ = embedded
    names, fit = fit_recognition(embeddings[trained], products[trained].tolist())
    module = Recognition([24, 40, 112], len(names))
    fit.apply_to(module)
    # Maps of any size whose means are the embeddings.
    parts = torch.from_numpy(embeddings).float().split([24, 40, 112], dim=1)
    features = [p[:, :, None, None].expand(-1, -1, size, size) for p, size in zip(parts, (16, 8, 4), strict=True)]
    product, distance = module(features)
    nearest, expected = fit.recognise(embeddings)
    np.testing.assert_array_equal(product.numpy(), nearest)
    np.testing.assert_allclose(distance.numpy(), expected, rtol=1e-4)


def test_what_is_far_from_all_products_is_the_nearest_one_and_not_the_one_with_the_widest_limit():
    fit = RecognitionFit(np.zeros(2), np.eye(2), np.array([[0.0, 0.0], [4.0, 0.0]]), np.array([0.1, 1.0]))
    nearest, distance = fit.recognise(np.array([[1.0, 0.0], [3.0, 0.0]]))
    np.testing.assert_array_equal(nearest, [0, 1])
    assert distance[0] > 1 > distance[1] > 0.5


def test_limits_come_from_images_that_the_fit_has_not_seen():
    """In many dimensions a fit is far closer to its own images than to new ones; new ones must still be known."""
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 3, (3, 60))
    draw = lambda count: np.concatenate([c + rng.normal(0, 1, (count, 60)) for c in centres])  # noqa: E731
    names, fit = fit_recognition(draw(25), np.repeat(["a", "b", "c"], 25).tolist())
    distances = fit.distances(draw(400))
    assert names == ("a", "b", "c")
    assert (distances.argmin(1) == np.repeat([0, 1, 2], 400)).all()
    assert (distances.min(1) > 1).mean() < 0.01
    far = fit.distances(rng.normal(0, 3, (1, 60)) + rng.normal(0, 1, (400, 60)))
    assert (far.min(1) > 1).all()


def test_a_wide_and_a_narrow_product_share_one_scale():
    rng = np.random.default_rng(1)
    spread = np.repeat([0.2, 2.0], 40)[:, None]
    wide_or_narrow = np.repeat(["narrow", "wide"], 40).tolist()
    draw = lambda: np.repeat([[0.0], [9.0]], 40, axis=0) + spread * rng.normal(0, 1, (80, 30))  # noqa: E731
    names, fit = fit_recognition(draw(), wide_or_narrow)
    own = fit.distances(draw())[np.arange(80), np.repeat([names.index("narrow"), names.index("wide")], 40)]
    assert own.max() < 1
    assert fit.limits[1] > 2 * fit.limits[0]


@pytest.mark.parametrize("images", [2, 3])
def test_few_images_and_one_product_are_enough(images):
    rng = np.random.default_rng(2)
    _, fit = fit_recognition(rng.normal(0, 1, (images, 8)), ["only"] * images)
    assert np.isfinite(fit.distances(rng.normal(0, 1, (5, 8)))).all()
    assert (fit.limits > 0).all()


def test_changed_copies_of_an_image_are_held_out_with_it():
    """Copies in another fold would make a fit know an image that it is to be new to."""
    rng = np.random.default_rng(3)
    images, copies = rng.normal(0, 1, (24, 60)), 5
    groups = np.repeat(np.arange(24), copies)
    rows = images[groups] + rng.normal(0, 0.01, (len(groups), 60))
    _, honest = fit_recognition(rows, ["a"] * len(rows), groups=groups.tolist())
    _, careless = fit_recognition(rows, ["a"] * len(rows))
    new = rng.normal(0, 1, (200, 60))
    assert (honest.distances(new) > 1).mean() < 0.05
    assert (careless.distances(new) > 1).mean() > 0.5


def test_products_that_hardly_vary_are_not_measured_finer_than_a_device_computes():
    rng = np.random.default_rng(4)
    centres = rng.normal(0, 1, (12, 40))
    products = np.repeat([f"colour{k:02}" for k in range(12)], 6)
    draw = lambda: np.repeat(centres, 6, axis=0) + rng.normal(0, 1e-4, (72, 40))  # noqa: E731
    noise = np.full(40, 0.02**2)  # of BF16
    _, blind = fit_recognition(draw(), products.tolist())
    names, fit = fit_recognition(draw(), products.tolist(), noise=noise)
    bias = rng.normal(0, 0.002, 40)  # of FP16, whose roundings are an eighth
    half = fit.distances(draw() + bias)
    assert (np.array(names)[half.argmin(1)] == products).all()
    assert half.min(1).max() < 0.1
    assert blind.distances(draw() + bias).min(1).min() > 0.4  # what it was
    assert (fit.distances(draw() + rng.normal(0, 0.02, (72, 40))).min(1) < 1).all()
    assert (fit.distances(rng.normal(0, 1, (50, 40))).min(1) > 1).all()


@pytest.mark.parametrize("images", [1, 2])
def test_products_of_few_images_are_known_beside_others(images):
    rng = np.random.default_rng(5)
    centres = rng.normal(0, 9, (6, 30))
    index = np.concatenate([np.repeat(np.arange(5), 20), np.repeat(5, images)])
    draw = lambda of: centres[of] + rng.normal(0, 1, (len(of), 30))  # noqa: E731
    _, fit = fit_recognition(draw(index), [f"p{k}" for k in index])
    new = fit.distances(draw(np.repeat(5, 100)))
    assert (new.argmin(1) == 5).all()
    assert (new[:, 5] < 1).mean() > 0.9


def test_two_images_a_product_are_enough():
    rng = np.random.default_rng(6)
    centres = rng.normal(0, 9, (30, 20))
    index = np.repeat(np.arange(30), 2)
    draw = lambda: centres[index] + rng.normal(0, 1, (60, 20))  # noqa: E731
    _, fit = fit_recognition(draw(), [f"p{k:02}" for k in index])
    new = fit.distances(draw())
    assert (new.argmin(1) == index).all()
    assert (new.min(1) < 1).mean() > 0.95
    assert (fit.distances(rng.normal(0, 9, (50, 20))).min(1) > 1).all()


def test_one_odd_image_among_equal_ones_makes_no_limit_infinite():
    rows = np.zeros((24, 8)) + np.repeat([[0.0], [5.0]], 12, axis=0)
    rows[3] += 0.5
    _, fit = fit_recognition(rows, ["a"] * 12 + ["b"] * 12, noise=np.full(8, 1e-6))
    assert (np.isfinite(fit.limits) & (fit.limits > 0)).all()
    assert fit.distances(rows).argmin(1).tolist() == [0] * 12 + [1] * 12


def test_roundings_of_the_teacher_are_measured(four):
    dataset, config = open_dataset(four), small_model()
    teacher, store = Teacher(config.teacher), ImageStore(dataset.train[:6], config.size, budget=0)
    size = np.square(embed(teacher, store, 8)).mean(axis=0)
    share = np.sqrt(rounding_noise(teacher, store, 4) / size)
    assert share.shape == (176,)
    assert 0.002 < np.median(share) < 0.3  # 8 bits of mantissa, layer after layer


def test_a_reject_reaches_half_of_the_way_to_the_next_product():
    module = Recognition([2], 3)
    module.prototypes.copy_(torch.tensor([[0.0, 0.0], [8.0, 8.0], [9.0, 9.0]]))
    module.limits.copy_(torch.tensor([2.0, 0.25, 4.0]))
    torch.testing.assert_close(module.reject_limits(), torch.tensor([2.0, 2.0, 1.0]))
    assert Recognition([2], 1).reject_limits().isinf().all()


def test_the_same_image_again_and_again_is_no_division_by_zero():
    _, fit = fit_recognition(np.ones((6, 8)), ["a"] * 3 + ["b"] * 3)
    assert np.isfinite(fit.distances(np.ones((1, 8)))).all()


def test_fit_travels_in_the_checkpoint(run):
    model, checkpoint = load_model(run)
    assert len(checkpoint.products) == len(model.recognition.limits) == 2
    assert model.recognition.prototypes.abs().sum() > 0
    assert all(not parameter.requires_grad for parameter in model.recognition.parameters())


def unsorted(line: Path, target: Path) -> Path:
    """All good training images in one folder, as someone would find them who never sorted them."""
    target.mkdir()
    for path in sorted(line.glob("*/train/good/*.png")):
        (target / f"{path.stem}-{hash_of(path)}.png").symlink_to(path)
    return target


def hash_of(path: Path) -> int:
    return sum(path.read_bytes()[-64:])


def test_clusters_of_unsorted_images_are_the_products(four, tmp_path):
    dataset = open_dataset(unsorted(four, tmp_path / "mixed"))
    assert len(dataset.products) == 1
    for count in ("auto", "4"):
        found = cluster_products(dataset, small_model(), count)
        truth = [sample.path.resolve().parts[-4] for sample in found.train]
        assert found.products == ("cluster-1", "cluster-2", "cluster-3", "cluster-4")
        pairs = set(zip(truth, (sample.product for sample in found.train), strict=True))
        assert len(pairs) == 4  # one cluster for each product, and the other way round


def test_clusters_are_trained_as_products(four, tmp_path):
    dataset = cluster_products(open_dataset(unsorted(four, tmp_path / "mixed")), small_model(), "4")
    checkpoint = train(small_model(), short_training(steps=2), dataset, tmp_path / "run")
    assert checkpoint.products == ("cluster-1", "cluster-2", "cluster-3", "cluster-4")
    assert set(checkpoint.score_scale.product_thresholds) == set(checkpoint.products)


def test_clusters_are_numbered_from_the_largest():
    embeddings = np.concatenate([np.full((3, 4), 1.0), np.full((5, 4), 9.0), np.full((4, 4), -7.0)])
    embeddings += np.random.default_rng(0).normal(0, 0.1, embeddings.shape)
    np.testing.assert_array_equal(cluster(embeddings, None), [2] * 3 + [0] * 5 + [1] * 4)
    np.testing.assert_array_equal(cluster(embeddings, 1), np.zeros(12))


@pytest.mark.parametrize("count", ["0", "-1", "many", "1000", "1.5"])
def test_impossible_numbers_of_clusters_are_refused(four, count):
    dataset = replace(open_dataset(four), test=())
    with pytest.raises(ConfigError, match=rf"--cluster {count} cannot work.*auto, or a number from 1 to 32"):
        cluster_products(dataset, small_model(), count)


def test_a_sorted_test_set_keeps_its_names(four):
    with pytest.raises(DataError, match="have names already"):
        cluster_products(open_dataset(four), small_model(), "auto")


def test_an_odd_image_is_named_as_the_trouble():
    embeddings = np.zeros((6, 4))
    embeddings[0] = 100
    with pytest.raises(ConfigError, match="looks like no other"):
        cluster(embeddings + np.random.default_rng(0).normal(0, 1, embeddings.shape), 2)


def test_a_model_of_one_product_becomes_an_engine(tmp_path):
    pytest.importorskip("tensorrt_rtx", reason="needs TensorRT-RTX: pip install tensorrt-rtx-cu13")
    from snl_edge.export.engine import build_engine
    from snl_edge.export.onnx_graph import export_onnx, save_graph
    from snl_edge.export.precision import to_fp16
    from snl_edge.model.snl import Snl
    from snl_edge.scoring.scale import ScoreScale

    config = override(small_model(), ["student.embedding=16"])
    score_scale = ScoreScale(raw_threshold=1.0, false_reject_budget=0.01, good_images=1, method="test")
    for products in (1, 3):
        graph = export_onnx(Snl(config, products=products).eval(), score_scale, ("any",) * products)
        target = tmp_path / f"{products}.engine"
        record = build_engine(
            save_graph(to_fp16(graph), tmp_path / f"{products}.onnx"),
            target,
            precision="fp16",
            flavour="tensorrt_rtx",
            max_batch=2,
            compute_capabilities=["8.6"],
        )
        assert target.stat().st_size > 0
        assert "convolution float32" not in record.layers
