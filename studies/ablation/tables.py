"""Tables of a study, in percent: mean over products, and mean ± standard deviation over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from snl_edge.benchmarks.results import Result
from snl_edge.benchmarks.tables import table
from snl_edge.evaluation.interference import METRICS as PROBE_METRICS

from ..tables import cell, percent
from .results import METRICS, PEERS, RowResults, Spread, rows_of

CHOICE_PRODUCTS = frozenset({"ball_screw", "magnetic_tile", "paper_flr01", "paper_gla01", "tire"})
"""Every second of the ten real products: the memory's form was chosen on them, with `CHOICE_SEED`."""
CHOICE_SEED = 0
HEADLINE = ("snl_rd_surprise", "snl_rd_light", "snl_rd", "snl_fd", "rd", "fd", *PEERS)
"""The rows that stand for the whole study."""
VERDICTS = {"false_reject_rate": "false rejects", "escape_rate": "escapes"}
"""Rates of wrong verdicts by each product's own threshold, and their headings."""
PROBES = dict(
    zip(
        PROBE_METRICS,
        ("mixed: image AUROC", "mixed: verdict AUROC", "pasted: image AUROC", "pasted: pixel AUROC", "pasted: AUPRO"),
        strict=True,
    )
)
NOTHING_YET = "*Not measured yet.*\n"
"""A study grows run by run; a table on a page may come before its first result."""


def ablation_table(results: Mapping[str, Result], study: str) -> str:
    """Our rows of ``study``, whichever have results."""
    return _means([row for name, row in rows_of(results, study).items() if name not in PEERS])


def peers_table(results: Mapping[str, Result], study: str) -> str:
    """SNL, the plain distillation it starts from, and other methods."""
    rows = rows_of(results, study)
    return _means([rows[name] for name in HEADLINE if name in rows])


def interference_table(results: Mapping[str, Result], study: str) -> str:
    """How well the rows of ``study`` flag one product in another's picture."""
    rows = [row for row in rows_of(results, study).values() if row.values("interference", "mean", "mixed_image_auroc")]
    body = [
        [row.title, _listed(row.seeds), *(spread(row.values("interference", "mean", m)) for m in PROBES)]
        for row in rows
    ]
    return table(["row", "seeds", *PROBES.values()], body) + "\n" + source(rows) + "\n" if rows else NOTHING_YET


def products_table(results: Mapping[str, Result], name: str) -> str:
    """One line per product and the mean, of the row that ``name`` = STUDY-ROW names."""
    study, _, row_name = name.rpartition("-")
    row = rows_of(results, study).get(row_name)
    if row is None:
        return NOTHING_YET
    products = sorted(next(iter(row.by_seed.values())).figures["evaluation"]["products"])
    lines = [(product, ("evaluation", "products", product)) for product in products]
    columns = METRICS | VERDICTS
    body = [
        [title, *(spread(row.values(*path, metric)) for metric in columns)]
        for title, path in [*lines, ("**mean**", ("evaluation", "mean"))]
    ]
    return table(["product", *columns.values()], body) + "\n" + source([row]) + "\n"


def headline(results: Mapping[str, Result], name: str) -> str:
    """The means of `products_table` in one sentence, as a list's entry."""
    study, _, row_name = name.rpartition("-")
    row = rows_of(results, study).get(row_name)
    if row is None:
        return NOTHING_YET
    products = len(next(iter(row.by_seed.values())).figures["evaluation"]["products"])
    shown = {metric: spread(row.values("evaluation", "mean", metric)) for metric in METRICS | VERDICTS}
    return (
        f"- **{products} real product classes in one model**: {shown['image_auroc']} % image AUROC and "
        f"{shown['pixel_auroc']} % pixel AUROC on average;\n  by the thresholds of training {shown['escape_rate']} % "
        f"of defects escape at {shown['false_reject_rate']} % false rejects.\n  Screw, tire and magnetic_tile are weak "
        "([figures of each](docs/figures.md)), and some defaults were chosen on these very products: expect somewhat "
        "less on others.\n"
    )


def confirmation_table(results: Mapping[str, Result], study: str) -> str:
    """Every row on the products and the seed that choices were made with, and on the products and seeds that were not.

    Means over products and, of the others, over seeds.
    """
    rows = [row for name, row in rows_of(results, study).items() if name not in PEERS]
    metrics = ("image_auroc", "pixel_auroc", "aupro")
    body = [
        [row.title, *(spread(_over(row, metric, seen=seen)) for seen in (True, False) for metric in metrics)]
        for row in rows
    ]
    heads = [f"{half}: {METRICS[metric]}" for half in ("chosen on", "others") for metric in metrics]
    return table(["row", *heads], body) + "\n" + source(rows) + "\n" if rows else NOTHING_YET


def _over(row: RowResults, metric: str, *, seen: bool) -> list[float]:
    """One mean a seed: over the products, and of the seed, that choices were made with; or over and of the others."""
    means: list[float] = []
    for seed, result in row.by_seed.items():
        if (seed == CHOICE_SEED) != seen:
            continue
        products = result.figures["evaluation"]["products"]
        values = [figures[metric] for name, figures in products.items() if (name in CHOICE_PRODUCTS) == seen]
        known = [value for value in values if value is not None]
        means += [fmean(known)] if known else []
    return means


def headline_figures(results: Mapping[str, Result], study: str) -> dict[str, dict[str, float | list[int]]]:
    """Means over products and seeds, in percent, of the headline rows that have results."""
    rows = rows_of(results, study)
    return {
        name: {
            **{metric: percent(s.mean) for metric in METRICS if (s := Spread.of(_mean(rows[name], metric)))},
            "seeds": rows[name].seeds,
        }
        for name in HEADLINE
        if name in rows
    }


def spread(values: list[float]) -> str:
    """Mean ± standard deviation of fractions, in percent; a dash without values."""
    found = Spread.of(values)
    if found is None:
        return cell(None)
    return cell(found.mean) + ("" if found.deviation is None else f" ± {cell(found.deviation)}")


def source(rows: Sequence[RowResults]) -> str:
    """One line that says where the figures come from."""
    results = [result for row in rows for result in row.by_seed.values()]
    parts = {
        "preset": {f"{r.settings['preset']} preset" for r in results if "preset" in r.settings},
        "steps": {
            f"{t['steps']} steps of {t['batch_size']}"
            for r in results
            if {"steps", "batch_size"} <= set(t := r.settings.get("training") or {})
        },
        "products": {f"{len(r.figures['evaluation']['products'])} products" for r in results},
        "machine": {f"{r.machine['processor']}, {r.machine['cores']} cores" for r in results},
        "days": {result.created[:10] for result in results},
        "revisions": {f"revision {result.revision}" for result in results},
    }
    return "<sub>" + ", ".join(" and ".join(sorted(words)) for words in parts.values() if words) + "</sub>"


def _means(rows: Sequence[RowResults]) -> str:
    body = [[row.title, _listed(row.seeds), *(spread(_mean(row, metric)) for metric in METRICS)] for row in rows]
    return table(["row", "seeds", *METRICS.values()], body) + "\n" + source(rows) + "\n" if rows else NOTHING_YET


def _mean(row: RowResults, metric: str) -> list[float]:
    return row.values("evaluation", "mean", metric)


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
