"""Planting defects among the training images, and what is counted of them."""

from __future__ import annotations

import pytest

from snl_edge.benchmarks.results import Result
from snl_edge.data.layouts import open_dataset
from snl_edge.data.loader import ImageStore
from snl_edge.errors import DataError
from snl_edge.training.image_record import ImageEntry
from snl_edge.training.thresholds import ImageSets
from studies.detection.contamination import Draw, figures_of, plant
from studies.detection.tables import contamination_table


def entry(name: str, standing: float | None) -> ImageEntry:
    return ImageEntry(
        file=name,
        sha256=name,
        product="screw",
        role="trained",
        group=0,
        standing=standing,
        suspicious=standing is not None and standing > 1,
    )


def test_planted_defects_leave_the_test_set_and_are_called_good(line):
    dataset = open_dataset(line)
    clean, spoilt, planted = plant(dataset, 0.25, 0)
    assert clean.train == dataset.train
    assert len(spoilt.train) == len(dataset.train) + 4
    assert all(sample.is_good and sample.mask is None for sample in spoilt.train)
    assert {product: len(own) for product, own in planted.items()} == dict.fromkeys(dataset.products, 2)
    assert len(clean.test) == len(spoilt.test) == len(dataset.test) - 4
    assert not {sample.path for sample in spoilt.train} & {sample.path for sample in spoilt.test}
    with pytest.raises(DataError, match="4 defective test images, 8 would be planted"):
        plant(dataset, 1.0, 0)


def test_the_best_fence_names_what_the_standing_can_tell_apart():
    good = [entry(f"good{i}", i / 50) for i in range(52)]  # the last one is named falsely
    draw = Draw({"screw": {"a", "b", "c", "d"}}, [*good, entry("a", 3.0), entry("b", 0.2), entry("c", 1.01)])
    draw = Draw(draw.planted, [*draw.images, entry("d", None)])
    own = figures_of(good, draw, {})["products"]["screw"]
    assert (own["planted"], own["named"], own["named_rate"]) == (4, 2, 0.5)
    assert (own["images"], own["falsely_named"], own["falsely_named_beside_planted"]) == (52, 1, 1)
    assert own["attainable_rate"] == 0.5  # 1.01 lies beyond all but one of the good ones


def test_the_table_shows_escapes_where_they_were_measured():
    product = figures_of([entry("good", 0.1)], Draw({"screw": {"a"}}, [entry("good", 0.1), entry("a", 3.0)]), {})
    for row in (product["products"]["screw"], product["all"], product["chosen_on"]):
        row |= {"clean_escape_rate": 0.1, "planted_escape_rate": 0.25}
    training = {"steps": 2, "batch_size": 4}
    settings = {"model": {"height": 8, "width": 8}, "training": training, "preset": "edge", "seed": 0}
    result = Result(
        kind="contamination",
        name="few",
        created="2026-01-01",
        revision="0",
        command="c",
        machine={},
        versions={},
        settings=settings,
        figures=product,
    )
    text = contamination_table({"contamination-few.json": result}, "few")
    assert "| escapes, clean | escapes, planted |" in text
    assert "| 1 | 1 (100.0 %) | 0 of 1 (0.0 %) | 100.0 | 10.0 | 25.0 |" in text


def test_only_what_nobody_called_defective_counts_as_cut_off(line):
    """A part that a person called defective is none of the good ones that thresholds are about."""
    samples = open_dataset(line).train[:6]
    entries = [entry(sample.path.name, 0.1).model_copy(update={"group": i}) for i, sample in enumerate(samples)]
    entries = [own.model_copy(update={"product": sample.product}) for own, sample in zip(entries, samples, strict=True)]
    for place, decided in ((0, False), (1, True), (2, False)):
        entries[place] = entries[place].model_copy(update={"role": "excluded", "decided": decided})
    entries[2] = entries[2].model_copy(update={"group": 0})  # another shot of the first part
    sets = ImageSets.of(ImageStore(samples, (8, 8), budget=0), entries)
    assert [sample.path for sample in sets.stood_out.samples] == [samples[0].path, samples[2].path]
    assert sets.stood_out_groups.tolist() == [0, 0]  # one part, however many images show it
