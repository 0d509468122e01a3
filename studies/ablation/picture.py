"""The ablation as a picture: one line per row, one dot per seed, a bar at their mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from snl_edge.atomic import replacing
from snl_edge.benchmarks.results import Result

from .results import PEERS, RowResults, Spread, rows_of

LINK = "images/ablation.svg"
"""Where the picture is, seen from a page in ``docs``."""
PANELS = {"image_auroc": "image AUROC", "pixel_auroc": "pixel AUROC", "aupro": "AUPRO"}
FAMILIES = {"RD": "#2a6f97", "FD": "#b5651d", "peer": "#6c757d"}
"""Colours of reverse, forward and other methods."""
REACH = 25.0
"""Points below the best row that an axis shows at most; what lies further is an arrow at its edge with a number."""


def draw_study(results: Mapping[str, Result], study: str, target: Path) -> bool:
    """Draws ``study`` as SVG into ``target``, in percent; draws nothing and says False if it has no results.

    The same results and the same matplotlib give the same bytes.
    """
    rows = list(rows_of(results, study).values())
    if not rows:
        return False
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": study, "font.size": 9, "font.family": "sans-serif"}):
        figure = Figure(figsize=(9.6, 0.9 + 0.27 * len(rows)), layout="constrained")
        for axes, (metric, title) in zip(figure.subplots(1, len(PANELS), sharey=True), PANELS.items(), strict=True):
            found = [[100 * value for value in row.values("evaluation", "mean", metric)] for row in rows]
            edge = max((max(values) for values in found if values), default=REACH) - REACH
            for place, (row, values) in enumerate(zip(rows, found, strict=True)):
                colour = FAMILIES[_family(row)]
                mean = Spread.of(values)
                if mean and mean.mean < edge:
                    axes.annotate(
                        f"{mean.mean:.1f}",
                        (0, place),
                        (16, 0),
                        xycoords=axes.get_yaxis_transform(),
                        textcoords="offset points",
                        va="center",
                        fontsize=8,
                        color=colour,
                        arrowprops={"arrowstyle": "->", "color": colour},
                    )
                    continue
                if mean:
                    axes.plot([mean.mean] * 2, [place - 0.32, place + 0.32], color=colour, linewidth=2)
                axes.plot(values, [place] * len(values), "o", color=colour, alpha=0.55, markersize=5, markeredgewidth=0)
            axes.set_title(f"{title} (%)", fontsize=10)
            axes.grid(axis="x", color="#dddddd", linewidth=0.8)
            axes.set_axisbelow(True)
            axes.tick_params(length=0)
            axes.spines[["top", "right", "left"]].set_visible(False)
        first = figure.axes[0]
        first.set_yticks(range(len(rows)), [row.title for row in rows])
        first.set_ylim(len(rows) - 0.5, -0.5)
        with replacing(target) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None}, facecolor="white")
    return True


def picture_link(results: Mapping[str, Result], study: str) -> str:
    """The line that shows the picture of ``study`` on a page in ``docs``; nothing as long as it has no results."""
    words = "Image AUROC, pixel AUROC and AUPRO of every row, a dot for each seed and a bar at their mean"
    return f"![{words}]({LINK})\n" if rows_of(results, study) else ""


def _family(row: RowResults) -> str:
    if row.row in PEERS:
        return "peer"
    directions = {
        result.settings.get("model", {}).get("student", {}).get("direction") for result in row.by_seed.values()
    }
    return {"reverse": "RD", "forward": "FD"}.get(directions.pop() or "", "peer")
