"""The loss curves of a run as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from snl_edge.atomic import replacing


def draw_curves(history: Sequence[dict[str, float]], target: Path) -> None:
    """Draws every loss term of ``history`` (each entry has ``step``, terms and ``learning_rate``) into a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    steps = [entry["step"] for entry in history]
    terms = [name for name in history[0] if name not in ("step", "learning_rate")]
    for name in sorted(terms, key=lambda term: term != "total"):
        total = name == "total"
        label = name.replace("_", "-")
        axes.plot(
            steps,
            [entry[name] for entry in history],
            label=label,
            lw=2.2 if total else 1.2,
            color="black" if total else None,
        )
    axes.set(xlabel="step", ylabel="weighted loss", yscale="log", title="Distillation losses")
    axes.grid(alpha=0.25)
    rate = axes.twinx()
    rate.plot(steps, [entry["learning_rate"] for entry in history], ls=":", color="grey", label="learning rate")
    rate.set_ylabel("learning rate", color="grey")
    axes.legend(loc="upper right", frameon=False)
    with replacing(target) as temporary:
        figure.savefig(temporary, format="png")
