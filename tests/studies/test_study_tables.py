"""Tables, headline figures and picture of a study, from made-up result files."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import pytest

from snl_edge.errors import DataError
from studies import summary
from studies.ablation.picture import draw_study
from studies.ablation.results import METRICS, rows_of
from studies.ablation.tables import PROBES, VERDICTS, confirmation_table, spread
from studies.result_files import read_results, save_result

PEER = "anomalib_stfpm"


def save(folder, row, seed, value, *, products=("gear", "nut"), interference=True, steps=600, file=None):
    settings = {"study": "real10", "row": row, "seed": seed}
    if row != PEER:
        direction = "forward" if "fd" in row else "reverse"
        training = {"seed": seed, "steps": steps, "batch_size": 16}
        settings |= {"preset": "edge", "model": {"student": {"direction": direction}}, "training": training}
    figures = {
        "evaluation": {
            "mean": dict.fromkeys(METRICS | VERDICTS, value) | {"pixel_ap": None if row == PEER else value},
            "products": {p: dict.fromkeys(METRICS | VERDICTS, value + 0.01 * i) for i, p in enumerate(products)},
        }
    }
    if interference:
        figures["interference"] = {"mean": dict.fromkeys(PROBES, value - 0.1), "products": {}}
    file = file or f"{row}-seed{seed}.json"
    save_result("experiment", row, settings=settings, figures=figures, folder=folder / "real10", file=file)


@pytest.fixture
def saved(tmp_path):
    folder = tmp_path / "results"
    for seed, value in ((1, 0.92), (0, 0.90)):
        save(folder, "snl_rd", seed, value)
    save(folder, "rd", 0, 0.85)
    save(folder, "fd", 0, 0.8)
    save(folder, PEER, 0, 0.7, interference=False)
    save(folder, "somebody_else", 0, 0.6)
    return folder


def test_what_was_chosen_on_and_what_confirms_are_apart(tmp_path):
    for seed, value in enumerate((0.5, 0.6, 0.8)):
        save(tmp_path, "rd", seed, value, products=("tire", "screw", "transistor"))
    (line,) = [line for line in confirmation_table(read_results(tmp_path), "real10").splitlines() if "| RD" in line]
    chosen, others = line.split("|")[2].strip(), line.split("|")[5].strip()
    assert chosen.startswith("50.0")
    assert others.startswith("71.5 ±")  # the mean of 61.5 and 81.5


def block(name, results, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"<!-- figures: {name} -->\nstale\n<!-- end of figures -->\n")
    return summary.fill(page, results).splitlines()[1:-1]


def test_ablation_lists_our_rows_in_order_with_their_spread(saved, tmp_path):
    lines = block("ablation-real10", read_results(saved), tmp_path)
    assert lines[0] == "| row | seeds | image AUROC | pixel AUROC | AUPRO | image AP | pixel AP |"
    assert [line.split(" | ")[0] for line in lines[2:6]] == [
        "| RD",
        "| SNL (RD + CRAM + damage + memory)",
        "| FD",
        "| somebody_else",
    ]
    assert lines[3] == "| SNL (RD + CRAM + damage + memory) | 0, 1 |" + " 91.0 ± 1.4 |" * 5
    assert lines[2] == "| RD | 0 |" + " 85.0 |" * 5
    assert re.fullmatch(r"<sub>edge preset, 600 steps of 16, 2 products, .* cores, \d{4}-\d\d-\d\d, revision .*</sub>",
                        lines[-1])  # fmt: skip


def test_peers_and_interference_take_whatever_rows_exist(saved, tmp_path):
    results = read_results(saved)
    peers = block("peers-real10", results, tmp_path)
    assert [line.split(" | ")[0][2:] for line in peers[2:6]] == [
        "SNL (RD + CRAM + damage + memory)",
        "RD",
        "FD",
        "STFPM (anomalib)",
    ]
    assert peers[5].endswith("| 70.0 | – |")
    probes = block("interference-real10", results, tmp_path)
    assert probes[3] == "| SNL (RD + CRAM + damage + memory) | 0, 1 |" + " 81.0 ± 1.4 |" * len(PROBES)
    assert not any("STFPM" in line for line in probes)
    assert block("ablation-unheard", results, tmp_path) == ["*Not measured yet.*"]
    assert block("interference-unheard", results, tmp_path) == ["*Not measured yet.*"]


def test_products_of_a_row_are_averaged_over_seeds(saved, tmp_path):
    results = read_results(saved)
    lines = block("products-real10-snl_rd", results, tmp_path)
    assert lines[2:5] == [
        "| gear |" + " 91.0 ± 1.4 |" * 7,
        "| nut |" + " 92.0 ± 1.4 |" * 7,
        "| **mean** |" + " 91.0 ± 1.4 |" * 7,
    ]
    assert block("products-real10-snl_fd", results, tmp_path) == ["*Not measured yet.*"]


def test_summary_holds_the_headline_rows(saved):
    quality = summary.summarise(read_results(saved))["quality"]
    assert list(quality) == ["snl_rd", "rd", "fd", PEER]
    assert quality["snl_rd"] == {**dict.fromkeys(METRICS, 91.0), "seeds": [0, 1]}
    assert quality[PEER] == {**dict.fromkeys(("image_auroc", "image_ap", "pixel_auroc", "aupro"), 70.0), "seeds": [0]}
    assert summary.summarise({}) == {"quality": {}, "quality_runs": {}, "recognition": {}}


def test_results_that_do_not_compare_are_named(saved):
    def refused(words):
        with pytest.raises(DataError, match=words):
            rows_of(read_results(saved), "real10")

    save(saved, "snl_rd", 2, 0.9, steps=900)
    refused(r"snl_rd-seed0\.json and real10/snl_rd-seed2\.json do not compare: their settings differ")
    save(saved, "snl_rd", 2, 0.9, products=("gear",))
    refused("do not compare: they are means over different products")
    save(saved, "snl_rd", 1, 0.9, file="snl_rd-seed2.json")
    refused(r"snl_rd-seed1\.json and real10/snl_rd-seed2\.json are of the same row and seed")
    path = saved / "real10" / "snl_rd-seed2.json"
    content = json.loads(path.read_text())
    del content["settings"]["seed"]
    path.write_text(json.dumps(content))
    refused(r"real10/snl_rd-seed2\.json does not say its row and seed")


def test_spread_of_one_seed_is_not_made_up():
    assert [spread(v) for v in ([], [0.5], [0.5, 0.5], [0.4, 0.6])] == ["–", "50.0", "50.0 ± 0.0", "50.0 ± 14.1"]


def test_picture_is_drawn_from_results_and_repeats(saved, tmp_path):
    results = read_results(saved)
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    assert draw_study(results, "real10", first)
    assert draw_study(results, "real10", second)
    assert first.read_bytes() == second.read_bytes()
    assert ElementTree.fromstring(first.read_text()).tag.endswith("svg")
    assert block("picture-real10", results, tmp_path)[0].endswith("](images/ablation.svg)")
    assert not block("picture-unheard", results, tmp_path)
    assert not draw_study(results, "unheard", tmp_path / "none.svg")
    assert not (tmp_path / "none.svg").exists()


def test_check_fails_on_stale_pages_and_leaves_the_picture_alone(saved, tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("<!-- figures: ablation-real10 -->\n<!-- end of figures -->\n")
    monkeypatch.setattr(summary, "FOLDER", saved)
    monkeypatch.setattr(summary, "ROOT", tmp_path)
    monkeypatch.setattr(summary, "PAGES", (page,))
    monkeypatch.setattr(summary, "PICTURE", tmp_path / "ablation.svg")
    monkeypatch.setattr(summary, "read_results", lambda: read_results(saved))
    with pytest.raises(SystemExit, match=r"results/summary\.json, page\.md"):
        summary.summary(check=True)
    assert not summary.PICTURE.exists()
    summary.summary(check=False)
    assert summary.PICTURE.exists()
    summary.PICTURE.write_text("of another matplotlib")
    summary.summary(check=True)
