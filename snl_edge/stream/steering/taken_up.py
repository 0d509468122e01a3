"""What a line takes up again at its start: what people chose on it before, against what its file says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import SnlEdgeError
from ..capture.camera_settings import check_region, ignored_pixels
from ..config.line_config import LineConfig
from ..control.interface import Check
from ..journal.journal import Journal
from ..pipeline.judges import Judges
from ..pipeline.recipe import LineState, Recipe
from ..records.record import NO_ORDER, Order
from .choices import Choice, Chosen, choices


class Admitted(NamedTuple):
    """A recipe that the line can run, judging nothing yet."""

    recipe: Recipe
    ignored: Mapping[str, NDArray[np.bool_] | None]
    """By camera, which pixels ``bool [H, W]`` of its maps do not count; None if all do."""

    def tell(self, judges: Judges) -> None:
        """Hands the judges what they need before the recipe's first part."""
        for camera, ignored in self.ignored.items():
            judges.ignore(camera, self.recipe.size, ignored)


def admitted(config: LineConfig, bundle: Path) -> Admitted:
    """Loads a bundle, with room for what may wait and for the picture that each camera is preparing.

    Raises:
        SnlEdgeError: it cannot be loaded, does not know a product which a camera is said to see, or does not take the
            region that it inspects.
    """
    recipe = Recipe(bundle, config.engine, config.queue.size + len(config.cameras))
    try:
        ignored: dict[str, NDArray[np.bool_] | None] = {}
        for camera in config.cameras:
            recipe.bundle.manifest.threshold_for(camera.product)
            check_region(camera.name, camera.region, camera.rotation, recipe.takes)
            ignored[camera.name] = ignored_pixels(camera.ignore_mask, camera.ignore, recipe.size)
    except BaseException:
        recipe.close()
        raise
    return Admitted(recipe, ignored)


@dataclass(frozen=True)
class TakenUp:
    """How a line starts.

    Attributes:
        admitted: the recipe.
        kept: what people chose and what still counts.
        dropped: what they chose before someone changed the line's file there: the file counts.
        lost: why the recipe that was chosen is not the one that was loaded; None where it is.
    """

    admitted: Admitted
    kept: dict[Chosen, Choice]
    dropped: dict[Chosen, Choice]
    lost: SnlEdgeError | None = None

    def state(self, config: LineConfig) -> LineState:
        """What its threads read first."""
        shadow = self.kept["shadow"].value if "shadow" in self.kept else config.shadow
        order = Order(**self.kept["order"].value) if "order" in self.kept else NO_ORDER
        paused = "paused" in self.kept or self.lost is not None
        return LineState(self.admitted.recipe, paused=paused, shadow=shadow, order=order)

    def notes(self, config: LineConfig) -> dict[Chosen, Check]:
        """A line of the health page for each that is not as people left it."""
        found: dict[Chosen, Check] = {}
        for name, choice in self.dropped.items():
            now = configured(config, name)
            if choice.value != now:
                text = f"{_shown(now)}: the line's file was changed since {_shown(choice.value)} was chosen {choice}"
                found[name] = Check(NAMES[name], "warning", text)
        if self.lost is not None:
            chosen = self.kept["recipe"]
            text = (
                f"{chosen.value}, chosen {chosen}, cannot be run: {self.lost} Nothing is judged until somebody chooses "
                f"a recipe, or ends the pause to go on with {chosen.configured}, which the line's file names"
            )
            found["recipe"] = Check(NAMES["recipe"], "failed", text)
        return found


def told(name: Chosen, choice: Choice) -> str | None:
    """What a choice that counts makes of the line, in words; None where it is as the line's file has it."""
    if choice.value == choice.configured:
        return None
    if name == "recipe":
        return f"{choice.value}, chosen {choice}, not {choice.configured}, which the line's file names"
    if name == "shadow":
        return f"{_shown(choice.value)}, set {choice}, not as the line's file has it"
    if name == "paused":
        return f"paused {choice}, until somebody ends the pause; a restart does not"
    return f"{Order(**choice.value)}, set {choice}"


def _shown(value: object) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


NAMES: dict[Chosen, str] = {"recipe": "recipe", "paused": "pause", "shadow": "shadow mode", "order": "order"}
"""Of the lines on the health page."""


def take_up(config: LineConfig, journal: Journal) -> TakenUp:
    """Loads the recipe that was chosen last: on the line, or by a change of its file since.

    Where the one chosen on the line cannot be loaded, that of the file is, so that somebody can choose, but the line
    must not judge by it unasked: see `TakenUp.lost`.

    Raises:
        SnlEdgeError: the recipe of the file is wanted and cannot be run.
    """
    kept, dropped = counting(config, choices(journal))
    chosen = kept.get("recipe")
    if chosen is not None and chosen.value != chosen.configured:
        try:
            return TakenUp(admitted(config, Path(chosen.value)), kept, dropped)
        except SnlEdgeError as error:
            return TakenUp(admitted(config, config.bundle), kept, dropped, error)
    return TakenUp(admitted(config, config.bundle), kept, dropped)


def counting(config: LineConfig, found: dict[Chosen, Choice]) -> tuple[dict[Chosen, Choice], dict[Chosen, Choice]]:
    """The choices that count, and those that a later change of the line's file has overruled."""
    kept: dict[Chosen, Choice] = {}
    dropped: dict[Chosen, Choice] = {}
    for name, choice in found.items():
        (kept if choice.configured == configured(config, name) else dropped)[name] = choice
    return kept, dropped


def configured(config: LineConfig, name: Chosen) -> str | bool | None:
    """What the line's file says of it; None where it says nothing."""
    if name == "recipe":
        return str(config.bundle.absolute())
    return config.shadow if name == "shadow" else None
