"""The results of one study: grouped by row and seed, checked to belong together, averaged over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from snl_edge.benchmarks.results import Result
from snl_edge.errors import DataError

from .rows import ROWS

METRICS = {
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "aupro": "AUPRO",
    "image_ap": "image AP",
    "pixel_ap": "pixel AP",
}
"""Metrics of a study, and their headings."""
PEERS = {"anomalib_stfpm": "STFPM (anomalib)", "anomalib_patchcore": "PatchCore (anomalib)"}
"""Rows that another library trained, and what they are."""


@dataclass(frozen=True)
class RowResults:
    """The results of one row, by seed in ascending order."""

    row: str
    by_seed: dict[int, Result]

    @property
    def title(self) -> str:
        """What the row is, in words."""
        return ROWS[self.row].title if self.row in ROWS else PEERS.get(self.row, self.row)

    @property
    def seeds(self) -> list[int]:
        """The seeds that were run."""
        return list(self.by_seed)

    def values(self, *path: str) -> list[float]:
        """The figure at ``path`` (as "evaluation", "mean", "aupro"), one a seed, seeds that lack it left out."""
        found = [_at(result.figures, path) for result in self.by_seed.values()]
        return [value for value in found if value is not None]


@dataclass(frozen=True)
class Spread:
    """A figure over seeds: its mean and, from two seeds on, its sample standard deviation."""

    mean: float
    deviation: float | None

    @classmethod
    def of(cls, values: list[float]) -> Spread | None:
        """None if there are no values."""
        return cls(fmean(values), stdev(values) if len(values) > 1 else None) if values else None


def rows_of(results: Mapping[str, Result], study: str) -> dict[str, RowResults]:
    """The rows of ``study`` that have results: ours in the order of ``ROWS``, then the others by name.

    Raises:
        DataError: a result does not say its row and seed, two are of the same, or they do not compare: seeds of
            a row have different settings, or rows different products.
    """
    rows: dict[str, dict[int, tuple[str, Result]]] = {}
    for file, result in results.items():
        if result.kind == "experiment" and result.settings.get("study") == study:
            row, seed = result.settings.get("row"), result.settings.get("seed")
            if not isinstance(row, str) or not isinstance(seed, int):
                raise DataError(f"result {file} does not say its row and seed", fix="measure again or remove it")
            if seed in rows.setdefault(row, {}):
                raise DataError(
                    f"results {rows[row][seed][0]} and {file} are of the same row and seed", fix="remove one"
                )
            rows[row][seed] = (file, result)
    ours = [row for row in ROWS if row in rows]
    order = [*ours, *sorted(set(rows) - set(ours))]
    sorted_rows = {row: dict(sorted(rows[row].items())) for row in order}
    _check_products([entry for by_seed in sorted_rows.values() for entry in by_seed.values()])
    for by_seed in sorted_rows.values():
        _check_settings(list(by_seed.values()))
    return {
        row: RowResults(row, {seed: result for seed, (_, result) in by_seed.items()})
        for row, by_seed in sorted_rows.items()
    }


def _check_settings(entries: list[tuple[str, Result]]) -> None:
    (first, reference), *others = entries
    for file, result in others:
        if _without_seed(result) != _without_seed(reference):
            raise DataError(
                f"results {first} and {file} do not compare",
                "their settings differ in more than the seed",
                "measure one of them again or remove it",
            )


def _check_products(entries: list[tuple[str, Result]]) -> None:
    for file, result in entries:
        if _products(result) != _products(entries[0][1]):
            raise DataError(
                f"results {entries[0][0]} and {file} do not compare",
                "they are means over different products",
                "measure one of them again or remove it",
            )


def _products(result: Result) -> set[str]:
    return set(result.figures["evaluation"]["products"])


def _without_seed(result: Result) -> dict[str, Any]:
    settings = {name: result.settings.get(name) for name in ("model", "training")}
    return {k: {n: v for n, v in s.items() if n != "seed"} if isinstance(s, dict) else s for k, s in settings.items()}


def _at(figures: Any, path: tuple[str, ...]) -> float | None:
    for name in path:
        figures = figures.get(name) if isinstance(figures, dict) else None
    return figures
