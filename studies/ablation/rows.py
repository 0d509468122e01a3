"""The rows of the ablation: what each experiment changes relative to a preset, as data.

A row states every switch of SNL's own parts (the four loss terms, the reading of the inter-affinity, CRAM, the
student's direction), so that a change of the model's defaults does not change what a row means. To add a row, add
an entry to ``LADDER`` or ``CHANGES``: its settings are those of ``snl-edge train --set``, its training settings
those of :class:`snl_edge.training.config.TrainingConfig`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from snl_edge.errors import ConfigError
from snl_edge.model.config import SnlConfig, override
from snl_edge.model.presets import ALL_DESCRIPTORS
from snl_edge.training.config import CameraConfig, TrainingConfig

Settings = Mapping[str, Any]
"""Names of settings and their values; later ones win."""


STILL: Settings = {"camera": None}
"""Training in which the camera changes nothing: that of all rows but those that say otherwise."""


@dataclass(frozen=True)
class Row:
    """One line of the ablation table."""

    title: str
    """What it is, for tables and pictures."""
    model: Settings
    training: Settings = field(default_factory=lambda: STILL)
    shares: str | None = None
    """The row whose trained models this one shows by another anomaly map: only ``anomaly_map`` differs."""

    def configure(self, preset: SnlConfig, training: TrainingConfig) -> tuple[SnlConfig, TrainingConfig]:
        """The settings of a run of this row.

        Raises:
            ConfigError: a setting does not exist or has an impossible value.
        """
        model = override(preset, [f"{name}={json.dumps(value)}" for name, value in self.model.items()])
        try:
            return model, TrainingConfig.model_validate(training.model_dump() | dict(self.training))
        except ValidationError as error:
            raise ConfigError(f"the row {self.title!r} has impossible training settings", str(error)) from error


PLAIN: Settings = {
    "loss.spatial": 1.0,
    "loss.channel": 0.0,
    "loss.intra_affinity": 0.0,
    "loss.inter_affinity": 0.0,
    "loss.inter_reading": "batch",
    "student.separable": False,
    "student.cram": None,
    "damage.paste": 0.0,
    "damage.jitter": 0.0,
    "memory": None,
    "anomaly_map.level_weights": [0.25, 0.5, 1.0],
    "anomaly_map.memory_weight": 7.0,
    "anomaly_map.surprise": 0.0,
    "anomaly_map.sigma": 4.0,
    "anomaly_map.raised_exponent": 0.0,
}
"""Distillation without any part of SNL or of ours: RD and FD."""
CHANNEL: Settings = {"loss.channel": 1.0}
AFFINITIES: Settings = {"loss.intra_affinity": 0.1, "loss.inter_affinity": 0.1}
CRAM: Settings = {"student.cram": {"centres": 50, "residual": "unit", "skip": False}}
DAMAGE: Settings = {"damage.paste": 0.7, "damage.jitter": 1.0}
MEMORY: Settings = {
    "memory": {
        **{"centres": 2048, "candidates": 60_000, "descriptors": ["pooled"], "shared": False, "dimensions": None},
        **{"search": None, "finalists": 1},
    }
}
DESCRIBED: Settings = {
    "memory.search": 29,
    "memory.finalists": 4,
    "memory.descriptors": list(ALL_DESCRIPTORS),
    "memory.centres": 1536,
    "anomaly_map.level_weights": [1.0, 1.0, 1.0],
    "anomaly_map.memory_weight": 12.0,
    "anomaly_map.surprise": 0.5,
    "anomaly_map.sigma": 3.0,
    "anomaly_map.raised_exponent": 0.7,
}
"""A memory of three descriptions, and the anomaly map that goes with it: the presets of today."""
CAMERA: Settings = CameraConfig().model_dump()
SNL: Settings = {**PLAIN, **CRAM, **DAMAGE, **MEMORY}
"""The default: the parts that raise the mean. The channel and affinity terms are rows of their own."""

DIRECTIONS = {"rd": ("reverse", "RD"), "fd": ("forward", "FD")}
STEPS = (
    ("", "", PLAIN),
    ("_channel", "+ channel", CHANNEL),
    ("_cram", "+ channel + CRAM", CRAM),
    ("_damage", "+ channel + CRAM + damage", DAMAGE),
    ("_all", "+ channel + CRAM + damage + memory", MEMORY),
)
"""What each step of the ladder is called, has in words, and adds."""


def _ladder(short: str) -> dict[str, Row]:
    """From plain distillation, one part more at each row; then the default, without the part that does not earn it."""
    direction, title = DIRECTIONS[short]
    settings: Settings = {"student.direction": direction}
    rows: dict[str, Row] = {}
    for suffix, words, part in STEPS:
        settings = {**settings, **part}
        rows[f"{short}{suffix}"] = Row(f"{title} {words}".strip(), settings)
    return {**rows, f"snl_{short}": Row(f"SNL ({title} + CRAM + damage + memory)", {**settings, **SNL})}


def _today(short: str) -> dict[str, Row]:
    """The presets of today, and each with one thing changed."""
    direction, title = DIRECTIONS[short]
    base: Settings = {"student.direction": direction, **SNL, **DESCRIBED, "student.separable": direction == "reverse"}

    def changed(words: str, change: Settings, shares: str | None = None) -> Row:
        name = f"SNL ({title}) of today"
        return Row(f"{name}, {words}" if words else name, {**base, **change}, shares=shares)

    student: Settings = {"anomaly_map.memory_weight": 0.0}
    memory: Settings = {"anomaly_map.level_weights": [0.0, 0.0, 0.0]}
    never: Settings = {"anomaly_map.raised_exponent": 0.0}
    own = f"snl_{short}_surprise"
    return {
        "surprise": changed("", {}),
        "surprise_student": changed("its student alone", student, own),
        "surprise_bare_student": changed(
            "its student alone, no surprise", {**student, "anomaly_map.surprise": 0.0}, own
        ),
        "surprise_memory": changed("its memory alone", {**memory, "anomaly_map.surprise": 0.0}, own),
        "surprise_never_lowered": changed("maps never lowered", never, own),
        "surprise_channel": changed("channel", CHANNEL),
        "surprise_affinities": changed("intra- and inter-affinity", AFFINITIES),
        "surprise_no_cram": changed("no CRAM", {"student.cram": None}),
        "surprise_balanced": changed("4096 patches a description", {"memory.centres": 4096, "memory.finalists": 8}),
    }


def _changes(short: str) -> dict[str, Row]:
    """SNL with one thing changed."""
    direction, title = DIRECTIONS[short]

    def changed(words: str, change: Settings) -> Row:
        return Row(f"SNL ({title}), {words}", {"student.direction": direction, **SNL, **change})

    rows = {
        "intra": changed("intra-affinity", {"loss.intra_affinity": 0.1}),
        "inter": changed("inter-affinity", {"loss.inter_affinity": 0.1}),
        "no_cram": changed("no CRAM", {"student.cram": None}),
        **{f"k{k}": changed(f"K = {k}", {"student.cram.centres": k}) for k in (8, 16, 32, 100, 200)},
        "skip": changed("CRAM with skip", {"student.cram.skip": True}),
        "residual_none": changed("no residual", {"student.cram.residual": "none"}),
        "residual_mean": changed("mean residual", {"student.cram.residual": "mean"}),
        "inter_networks": changed(
            "inter-affinity teacher-student", {"loss.inter_affinity": 0.1, "loss.inter_reading": "teacher_student"}
        ),
        "no_damage": changed("no damage", {"damage.paste": 0.0, "damage.jitter": 0.0}),
        "no_paste": changed("no pasted regions", {"damage.paste": 0.0}),
        "no_jitter": changed("no jitter", {"damage.jitter": 0.0}),
        **{f"memory{k}": changed(f"memory of {k} a product", {"memory.centres": k}) for k in (512, 1024, 4096, 8192)},
        **{f"memory_dims{d}": changed(f"memory in {d} dimensions", {"memory.dimensions": d}) for d in (64, 96)},
        **{
            f"shared{k}": changed(
                f"one memory of {k} for all",
                {"memory.centres": k, "memory.candidates": 150_000, "memory.shared": True},
            )
            for k in (4096, 8192)
        },
        "levels_equal": changed("equal level weights", {"anomaly_map.level_weights": [1.0, 1.0, 1.0]}),
        "levels_fine": changed("fine level weighs most", {"anomaly_map.level_weights": [1.0, 0.5, 0.25]}),
        **{f"sigma{s}": changed(f"sigma {s}", {"anomaly_map.sigma": float(s)}) for s in (2, 6, 8)},
        **{f"size{s}": changed(f"{s}×{s} pixels", {"height": s, "width": s}) for s in (192, 320)},
    }
    rows["abstract"] = Row(
        f"SNL ({title}) with the parts of its abstract",
        {"student.direction": direction, **PLAIN, **CRAM, **CHANNEL, **AFFINITIES},
    )
    rows |= _today(short)
    if direction == "reverse":
        rows |= {f"embedding{e}": changed(f"embedding {e}", {"student.embedding": e}) for e in (64, 256)}
        rows["separable"] = changed("separable student", {"student.separable": True})
        light: Settings = {
            **{"student.separable": True, "memory.search": 45, "memory.finalists": 4},
            "anomaly_map.raised_exponent": 0.7,
        }
        rows["light"] = changed("separable student, coarse search", light)
        rows["light8192"] = changed("the same, memory of 8192 a product", {**light, "memory.centres": 8192})
        described: Settings = {**light, **DESCRIBED, "anomaly_map.level_weights": [0.25, 0.5, 1.0]}
        rows["descriptors"] = changed("separable student, three descriptions", {**described, "anomaly_map.surprise": 0})
        rows["light_camera"] = replace(
            changed("separable student, coarse search, camera changes", light), training={"camera": CAMERA}
        )
        rows |= {f"depth{d}": changed(f"decoder depth {d}", {"student.depth": d}) for d in (2, 3)}
        alone: Settings = {"anomaly_map.level_weights": [0.0, 0.0, 0.0]}
        sizes = {"": {}, **{str(k): {"memory.centres": k} for k in (512, 8192)}}
        for suffix, size in sizes.items():
            words = f"the memory alone{f', {suffix} a product' if suffix else ''}"
            rows[f"memory_alone{suffix}"] = replace(
                changed(words, {**alone, **size}),
                training={**STILL, "steps": 1},  # its student is not looked at
            )
    return {f"snl_{short}_{name}": row for name, row in rows.items()}


LADDER: dict[str, Row] = {**_ladder("rd"), **_ladder("fd")}
CHANGES: dict[str, Row] = {**_changes("rd"), **_changes("fd")}
ROWS: dict[str, Row] = {**LADDER, **CHANGES}
"""All rows, in the order in which tables and pictures show them."""
GROUPS: dict[str, tuple[str, ...]] = {"ladder": tuple(LADDER), "changes": tuple(CHANGES), "all": tuple(ROWS)}


def choose_rows(names: Sequence[str]) -> tuple[str, ...]:
    """The rows that ``names`` (of rows or groups) stand for, each once, in the order given.

    Raises:
        ConfigError: there is no such row.
    """
    unknown = [name for name in names if name not in ROWS and name not in GROUPS]
    if unknown or not names:
        raise ConfigError(
            f"there is no row {', '.join(unknown)}" if unknown else "no row chosen",
            fix=f"choose among {', '.join((*GROUPS, *ROWS))}",
        )
    return tuple(dict.fromkeys(row for name in names for row in GROUPS.get(name, (name,))))
