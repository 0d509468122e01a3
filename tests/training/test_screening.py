"""What training finds doubtful about its images (repeats, suspicious parts, too few), and what each is used for."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import SIZE, short_training, small_model

from snl_edge.data.layouts import open_dataset
from snl_edge.data.loader import ImageStore
from snl_edge.data.samples import Dataset, Sample
from snl_edge.data.synthetic import render_part
from snl_edge.errors import CheckpointError, DataError
from snl_edge.model.config import SnlConfig
from snl_edge.progress import console
from snl_edge.training.camera_changes import with_copies
from snl_edge.training.checkpoint import load_model, read_checkpoint
from snl_edge.training.config import image_list
from snl_edge.training.image_record import find_images, read_run_images, role_indices
from snl_edge.training.loop import train
from snl_edge.training.preparation import Prepared
from snl_edge.training.recognition import learn_products
from snl_edge.training.repeats import find_parts, repeat_findings
from snl_edge.training.review import read_review
from snl_edge.training.screening import LEAST_PARTS, contamination_findings, few_parts_findings, screen, standing_out
from snl_edge.training.second_look import look_again
from snl_edge.training.split import ENOUGH_PARTS, assign_roles, merged_sets


def shots(folder: Path, product: str, parts: int, each: int, jpeg: bool = False) -> list[Sample]:
    """``each`` pictures of ``parts`` parts with a grey level of sensor noise; the last shot saved as JPEG, if asked."""
    samples, rng = [], np.random.default_rng(0)
    for part in range(parts):
        image, _ = render_part(product, "good", np.random.default_rng((1, part)), 96)
        for shot in range(each):
            noisy = np.clip(image + rng.normal(0, 1, image.shape), 0, 255).round().astype(np.uint8)
            suffix = "jpg" if jpeg and shot == each - 1 else "png"
            path = folder / f"{product}-{part:02}-{shot}.{suffix}"
            cv2.imwrite(str(path), noisy[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
            samples.append(Sample(path, product, "good"))
    return samples


@pytest.mark.parametrize("product", ["gear", "leather"])
def test_shots_of_one_part_are_one_group_and_parts_are_not(tmp_path, product):
    burst = shots(tmp_path, product, 8, 3, jpeg=True)
    parts = find_parts(ImageStore(burst, (96, 96), 0), 0)
    assert len(set(parts.groups.tolist())) == 8
    assert all(len(set(parts.groups[3 * part : 3 * part + 3].tolist())) == 1 for part in range(8))
    (finding,) = repeat_findings(burst, parts)
    assert finding.kind == "repeats"
    assert "24 of 24 training images show a part again" in finding.text
    assert "count as 8 parts" in finding.text
    single = find_parts(ImageStore(burst[::3], (96, 96), 0), 0)
    assert len(set(single.groups.tolist())) == 8
    assert repeat_findings(burst[::3], single) == []


def test_many_shots_of_a_single_part_are_a_doubt_and_the_same_file_twice_is_one_part(tmp_path):
    burst = shots(tmp_path, "gear", 1, 5)
    parts = find_parts(ImageStore(burst, (96, 96), 0), 0)
    assert parts.alike == ("gear",)  # or a product without any variation: nothing tells
    assert "no more than shots of one part do" in repeat_findings(burst, parts)[0].text
    twice = find_parts(ImageStore([burst[0], burst[0]], (96, 96), 0), 0)
    assert len(set(twice.groups.tolist())) == 1
    with pytest.raises(DataError, match="all show one part"):
        assign_roles([burst[0]] * 2, twice.groups, np.zeros(2, bool), 0.1, 0)


def listed(count: int, product: str = "a") -> list[Sample]:
    return [Sample(Path(f"{product}{i:03}.png"), product, "good") for i in range(count)]


def test_sets_share_no_part_and_merge_where_there_are_few():
    samples = [*listed(200), *listed(20, "b")]
    groups = np.concatenate([np.repeat(np.arange(100), 2), 100 + np.arange(20)])
    roles = assign_roles(samples, groups, np.zeros(220, bool), 0.1, seed=0)
    by_part = {int(part): {role for p, role in zip(groups, roles, strict=True) if p == part} for part in groups}
    assert all(len(used) == 1 for used in by_part.values())
    counts = {role: roles[:200].count(role) for role in set(roles)}
    assert counts == {"trained": 170, "held_out": 10, "thresholds": 10, "gate": 10}
    assert {role: roles[200:].count(role) for role in set(roles[200:])} == {"trained": 18, "held_out": 2}
    assert merged_sets(samples, roles).startswith(f"fewer than {ENOUGH_PARTS} parts of b: the held-out images serve")
    shuffled = np.random.default_rng(0).permutation(220)
    again = assign_roles([samples[i] for i in shuffled], groups[shuffled], np.zeros(220, bool), 0.1, seed=0)
    assert again == [roles[i] for i in shuffled]
    assert assign_roles(samples, groups, np.zeros(220, bool), 0.1, seed=1) != roles


def test_excluded_images_have_no_role_and_earlier_roles_stay():
    samples, groups, excluded = listed(12), np.arange(12), np.arange(12) == 5
    roles = assign_roles(samples, groups, excluded, 0.1, 0)
    assert roles[5] == "excluded"
    trained_before = {i: "trained" for i in range(12) if i not in (5, 7)}
    assert assign_roles(samples, groups, excluded, 0.1, 0, trained_before)[7] == "held_out"
    with pytest.raises(DataError, match="all images of a have been trained on before"):
        assign_roles(samples, groups, excluded, 0.1, 0, dict.fromkeys(range(12), "trained"))
    with pytest.raises(DataError, match="has 1 training image"):
        assign_roles(samples[:1], groups, excluded, 0.1, 0)


def test_what_stands_out_of_its_product_is_named_and_a_burst_counts_once():
    rng = np.random.default_rng(0)
    scores = np.exp(rng.normal(0, 0.1, 100))
    scores[[3, 70]] = 2.0
    names, groups = ["a"] * 100, np.arange(100)
    standing = standing_out(scores, names, groups)
    assert set(np.flatnonzero(standing > 1)) == {3, 70}
    samples = listed(100)
    (finding,) = contamination_findings(samples, standing, standing > 1, trusted=False)
    assert "a: 2 of 100 training images look unlike all others" in finding.text
    assert {path.name for path in finding.images} == {"a003.png", "a070.png"}
    many = np.concatenate([scores, np.full(80, 2.0)])  # eighty shots of one of them are no normal part
    assert (standing_out(many, ["a"] * 180, np.concatenate([groups, np.full(80, 70)]))[100:] > 1).all()
    few = standing_out(scores[: LEAST_PARTS - 1], names[: LEAST_PARTS - 1], groups[: LEAST_PARTS - 1])
    assert np.isnan(few).all()
    assert contamination_findings(samples[: LEAST_PARTS - 1], few, few > 1, trusted=False) == []
    (finding,) = few_parts_findings(samples[: LEAST_PARTS - 1], few)
    assert "whether a defective one is among them cannot be told" in finding.text


def test_defects_that_look_alike_do_not_excuse_each_other_for_good():
    rng = np.random.default_rng(0)
    levels = [torch.from_numpy(rng.normal(0, 0.1, (40, 4, side, side)).astype(np.float32)) for side in (16, 8, 4)]
    levels[1][7, 0, :3, :3] += 3.0
    for level in levels:
        # The same defect once more, not the very same picture.
        level[21] = level[7] + torch.from_numpy(rng.normal(0, 0.05, level[7].shape).astype(np.float32))
    levels[1][21, 1, 5:, 5:] += 6.0  # and another, which no other part excuses

    def screened(**said):
        return screen(
            lambda indices: [level[list(indices)] for level in levels],
            [4, 4, 4],
            np.zeros(40, np.intp),
            np.arange(40),
            SnlConfig(height=64, width=64),
            16,
            0,
            **said,
        )

    assert set(np.flatnonzero(screened() > 1)) == {7, 21}
    # What a person calls good excuses it; what a person calls defective excuses nothing, from the first round on.
    assert set(np.flatnonzero(screened(good=np.arange(40) == 21) > 1)) == {21}
    assert set(np.flatnonzero(screened(defective=np.arange(40) == 21) > 1)) == {7, 21}


@pytest.fixture(scope="module")
def contaminated(line, tmp_path_factory) -> tuple[Path, Path]:
    """The line with a defective part among the good ones of its first product, and a run that was trained on it."""
    root = tmp_path_factory.mktemp("contaminated")
    shutil.copytree(line, root / "line")
    dataset = open_dataset(root / "line")
    first = dataset.products[0]
    image = cv2.imread(str(next(s.path for s in dataset.train if s.product == first)))
    cv2.rectangle(image, (8, 8), (40, 40), (0, 0, 255), -1)
    cv2.imwrite(str(root / "line" / first / "train" / "good" / "zz.png"), image)
    other = next(s.path for s in dataset.train if s.product != first)
    shutil.copy(other, other.with_name("copy.png"))
    shutil.copy(next((root / "line").glob("*/ground_truth/*/*.png")), root / "line" / first / "ground_truth" / "0.png")
    with console.capture() as told:
        train(small_model(), short_training(steps=2), open_dataset(root / "line"), root / "run")
    (root / "told.txt").write_text(told.get())
    return root / "line", root / "run"


def test_a_planted_defect_is_named_and_not_learned(contaminated):
    _, run = contaminated
    record = read_run_images(run)
    assert [entry.file for entry in record.images if entry.suspicious] == ["blister/train/good/zz.png"]
    assert {entry.role for entry in record.images if entry.suspicious} == {"excluded"}
    checkpoint = read_checkpoint(run)
    assert checkpoint.training_images == 15  # a copy of one among them
    assert "look unlike all others, as defective parts would, and were left out: zz.png" in checkpoint.doubts[0]
    page = (run / "review" / "index.html").read_text()
    assert checkpoint.doubts[0] in page
    assert "1 of 18 training images is left out as suspicious" in page
    assert f"--review {run / 'review' / 'suspicious.csv'} and --replace" in page
    assert "zz.png" in page
    assert "cannot be shown" not in page


@pytest.mark.parametrize("trust", [False, True])
def test_the_trained_model_takes_a_second_look(contaminated, trust):
    """What only stood out before training is used after all; what still does is left out, trained on or not."""
    line, run = contaminated
    model, checkpoint = load_model(run)
    model.anomaly_map.set_usual(None)
    found = find_images(run, open_dataset(line))
    defect = next(i for i, entry in enumerate(found.entries) if entry.file.endswith("zz.png"))
    good = next(
        i for i, entry in enumerate(found.entries) if entry.product == found.entries[defect].product and i != defect
    )
    entries = [entry.model_copy(update={"standing": 0.1, "suspicious": False}) for entry in found.entries]
    entries[defect] = entries[defect].model_copy(update={"standing": 0.8, "role": "trained"})
    entries[good] = entries[good].model_copy(update={"standing": 1.2, "role": "excluded", "suspicious": True})
    prepared = Prepared(
        groups=np.array([entry.group for entry in entries]),
        roles=tuple(entry.role for entry in entries),
        entries=tuple(entries),
        read=(),
        findings=(),
        decided=np.zeros(len(entries), bool),
        merged="",
    )
    store = ImageStore(found.samples, checkpoint.model.size, 0)
    training = checkpoint.training.model_copy(update={"trust": trust})
    after, findings = look_again(model, store, prepared, training)
    assert [i for i, entry in enumerate(after.entries) if entry.suspicious] == [defect]
    assert (after.entries[defect].standing or 0) > 1 > (after.entries[good].standing or 0)
    assert (after.roles[defect], after.roles[good]) == (("trained", "excluded") if trust else ("excluded", "trained"))
    assert after.roles == tuple(entry.role for entry in after.entries)
    (finding,) = findings
    assert finding.images == (found.samples[defect].path,)
    decided = replace(prepared, decided=np.ones(len(entries), bool))  # a person has said what they are
    assert look_again(model, store, decided, training)[0].roles == prepared.roles


def test_each_doubt_is_said_once(contaminated):
    _, run = contaminated
    doubts = read_checkpoint(run).doubts
    assert sum("unlike all others" in text for text in doubts) == 1
    assert sum("show a part again" in text for text in doubts) == 1
    assert not any("pixel for pixel" in text or "fewer than 20 good" in text for text in doubts)  # told better
    assert sum("1 mask belongs to no defective test image" in text for text in doubts) == 1
    told = (run.parent / "told.txt").read_text()
    assert "mask belongs" not in told  # said when the data set was opened
    printed = [line for line in told.splitlines() if line.startswith("doubt: ")]
    assert len(printed) == len(set(printed)) == len(doubts) - 1
    assert f"{len(doubts)} doubts: see" in told


def test_a_review_decides(contaminated, tmp_path, monkeypatch):
    line, run = contaminated
    table = run / "review" / "suspicious.csv"
    rows = list(csv.DictReader(table.open()))
    assert rows[0]["image"].endswith("zz.png")
    for row in rows:
        row["verdict"] = {rows[0]["image"]: "Good", rows[1]["image"]: "defect"}.get(row["image"], "")
    edited = tmp_path / "edited.csv"
    with edited.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    train(small_model(), short_training(steps=2), open_dataset(line), tmp_path / "run", review=edited)
    entries = {entry.sha256: entry for entry in read_run_images(tmp_path / "run").images}
    assert entries[rows[0]["sha256"]].role != "excluded"
    assert entries[rows[1]["sha256"]].role == "excluded"
    kept = {row["sha256"]: row["verdict"] for row in csv.DictReader((tmp_path / "run/review/suspicious.csv").open())}
    assert (kept[rows[0]["sha256"]], kept[rows[1]["sha256"]]) == ("good", "defect")
    edited.write_text("sha256,verdict\nabc,perhaps\n")
    with pytest.raises(DataError, match="has the verdict 'perhaps'"):
        read_review(edited)
    edited.write_text("picture,opinion\n")
    with pytest.raises(DataError, match="no columns sha256 and verdict"):
        read_review(edited)


def test_images_are_found_again_by_content(run, line, tmp_path, capsys):
    dataset = open_dataset(line)
    before = {s.path.read_bytes(): e.role for s, e in zip(*_found(run, dataset), strict=True)}
    copies = []
    for number, sample in enumerate(reversed(dataset.train)):  # other names, another order, one file more, one less
        target = tmp_path / f"{number:02}.png"
        shutil.copy(sample.path, target)
        copies.append(Sample(target, sample.product, "good"))
    held_out = {id(s) for s in find_images(run, Dataset(tmp_path, "folder", tuple(copies), ())).of("held_out")}
    copies.remove(next(s for s in copies if id(s) not in held_out))
    cv2.imwrite(str(tmp_path / "new.png"), np.zeros((SIZE, SIZE, 3), np.uint8))
    moved = Dataset(tmp_path, "folder", (Sample(tmp_path / "new.png", copies[0].product, "good"), *copies), ())
    capsys.readouterr()
    samples, entries = _found(run, moved)
    assert {s.path.read_bytes(): e.role for s, e in zip(samples, entries, strict=True)}.items() <= before.items()
    assert len(samples) == len(before) - 1
    told = " ".join(capsys.readouterr().err.split())
    assert "lacks 1 of the 16 training images and has 1 good images that" in told
    with pytest.raises(DataError, match="holds none of the images"):
        find_images(run, Dataset(tmp_path, "folder", moved.train[:1], ()))


def test_a_run_that_does_not_say_what_it_was_trained_on_is_refused(run, line, tmp_path):
    shutil.copytree(run, tmp_path / "old")
    image_list(tmp_path / "old").unlink()
    with pytest.raises(CheckpointError, match=r"from an earlier version.*Train again"):
        find_images(tmp_path / "old", open_dataset(line))
    text = image_list(run).read_text()
    image_list(tmp_path / "old").write_text(text.replace(read_checkpoint(run).weights_sha256, "0" * 64))
    with pytest.raises(CheckpointError, match="is of another model"):
        find_images(tmp_path / "old", open_dataset(line))


def test_products_with_few_images_lend_the_held_out_ones_to_other_sets():
    products, roles = ["a"] * 4 + ["b"] * 2, ["trained", "held_out", "thresholds", "gate", "trained", "held_out"]
    assert role_indices(products, roles, "gate") == [3, 5]
    assert role_indices(products, roles, "thresholds") == [2, 5]
    assert role_indices(products, roles, "held_out") == [1, 5]


def test_recognition_never_saw_what_is_held_out(run, line):
    """How far held-out images lie is the reference against drift: seen ones lie too near."""
    model, checkpoint = load_model(run)
    found = find_images(run, open_dataset(line))
    kept = model.recognition.prototypes.clone()

    def learn(samples, groups):
        store = with_copies(ImageStore(samples, model.config.size, 0), checkpoint.training)
        learn_products(model, store, groups * (len(store) // len(samples)), checkpoint.training)

    learn(found.of("trained"), [found.entries[i].group for i in found.indices("trained")])
    assert torch.allclose(model.recognition.prototypes, kept, rtol=1e-3, atol=1e-3)
    learn(found.samples, [entry.group for entry in found.entries])
    assert not torch.allclose(model.recognition.prototypes, kept, rtol=1e-2, atol=1e-2)


def _found(run, dataset):
    found = find_images(run, dataset)
    return found.samples, found.entries
