from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snl_edge.data.check import check_samples
from snl_edge.data.layouts import open_dataset
from snl_edge.data.synthetic import DEFECTS, PRODUCTS, render_part, write_synthetic_line
from snl_edge.errors import ConfigError, OutputError
from snl_edge.image import read_image

EVERY_DEFECT = [(product, defect) for product, defects in DEFECTS.items() for defect in defects]


def render(product: str, defect: str, seed: int, size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    return render_part(product, defect, np.random.default_rng(seed), size)


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_good_part(product: str) -> None:
    image, mask = render(product, "good", 1)
    assert image.shape == (128, 128, 3)
    assert image.dtype == np.uint8
    assert mask.dtype == np.bool_
    assert not mask.any()
    assert 40 < image.mean() < 210
    assert np.mean((image == 0) | (image == 255)) < 0.02  # neither crushed nor blown out
    np.testing.assert_array_equal(render(product, "good", 1)[0], image)


@pytest.mark.parametrize("product", PRODUCTS)
def test_no_two_parts_are_alike_but_all_are_of_a_kind(product: str) -> None:
    parts = [render(product, "good", seed)[0].astype(float) for seed in range(4)]
    assert np.abs(parts[0] - parts[1]).mean() > 3
    means = [part.mean((0, 1)) for part in parts]
    assert np.ptp(means, axis=0).max() < 30


@pytest.mark.parametrize(("product", "defect"), EVERY_DEFECT)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_mask_marks_what_the_defect_changed(product: str, defect: str, seed: int) -> None:
    good, _ = render(product, "good", seed)
    image, mask = render(product, defect, seed)
    assert 4 <= mask.sum() < 0.15 * mask.size
    change = np.abs(image.astype(float) - good).max(axis=-1)
    # Same seed, same light and same noise: outside the mask only what nobody sees may differ.
    assert np.mean(change[~mask] > 12) < 0.002
    assert change[mask].mean() > 8 * change[~mask].mean()
    assert change[mask].max() > 15
    np.testing.assert_array_equal(render(product, defect, seed)[0], image)


def test_any_size() -> None:
    for product, defects in DEFECTS.items():
        small, _ = render(product, defects[0], 3, 64)
        large, mask = render(product, defects[0], 3, 200)
        assert small.shape == (64, 64, 3)
        assert mask.shape == large.shape[:2] == (200, 200)
        assert abs(small.mean() - large.mean()) < 12


def test_unknown_names_are_refused_with_the_choice() -> None:
    with pytest.raises(ConfigError, match=r"no synthetic product spoon\. Choose among blister, bottle_cap"):
        render("spoon", "good", 0)
    with pytest.raises(ConfigError, match=r"the synthetic gear has no defect hole\. Choose among good, missing_tooth"):
        render("gear", "hole", 0)
    with pytest.raises(ConfigError, match="64 or more"):
        render("gear", "good", 0, 32)


def test_the_line_is_a_complete_mvtec_data_set(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_synthetic_line(
        tmp_path / "line",
        train=3,
        good=1,
        defective=5,
        size=64,
        products=["wood", "gear"],
        progress=lambda *done: seen.append(done),
    )
    assert seen == [(i + 1, 18) for i in range(18)]
    dataset = open_dataset(tmp_path / "line")
    assert dataset.layout == "mvtec"
    assert dataset.products == ("gear", "wood")
    assert len(dataset.train) == 6
    assert len(dataset.test) == 12
    check_samples(dataset.train + dataset.test)
    assert {sample.defect for sample in dataset.test if sample.product == "wood"} == {"good", *DEFECTS["wood"]}
    assert read_image(dataset.train[0].path).shape == (64, 64, 3)


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    def contents(name: str, seed: int, products: list[str]) -> dict[str, bytes]:
        write_synthetic_line(tmp_path / name, seed=seed, train=1, good=1, defective=2, size=64, products=products)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        return {str(path.relative_to(tmp_path / name)): path.read_bytes() for path in files}

    first = contents("a", 7, ["circuit", "textile"])
    assert len(first) == 12
    assert contents("b", 7, ["textile", "circuit"]) == first
    alone = contents("c", 7, ["textile"])
    assert alone.items() <= first.items()
    other = contents("d", 8, ["textile"])
    assert other.keys() == alone.keys()
    assert all(other[name] != alone[name] for name in alone)


def test_the_line_is_not_written_over_anything(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").touch()
    with pytest.raises(OutputError, match=r"is not empty\. Give a new folder"):
        write_synthetic_line(tmp_path, train=1)
    with pytest.raises(OutputError, match="is not empty"):
        write_synthetic_line(tmp_path / "kept.txt", train=1)


def test_impossible_orders_write_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 1 training image"):
        write_synthetic_line(tmp_path / "line", train=0)
    with pytest.raises(ConfigError, match="no synthetic product spoon"):
        write_synthetic_line(tmp_path / "line", products=["gear", "spoon"])
    with pytest.raises(ConfigError, match="64 or more"):
        write_synthetic_line(tmp_path / "line", size=16)
    assert not (tmp_path / "line").exists()
