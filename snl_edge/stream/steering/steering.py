"""What people change on a running line: one change at a time, each on record before it is made."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import BusyError, ConfigError, OutputError, SnlEdgeError
from ..config.line_config import LineConfig
from ..control.interface import Check
from ..health.drift import Drift
from ..journal.journal import Journal
from ..pipeline.golden import NAME as SELF_TEST
from ..pipeline.golden import NOTHING_CHECKED, KnownBundles, require_no_flip, self_test
from ..pipeline.judges import Judges
from ..pipeline.recipe import InForce, LineState
from ..records.record import Order
from .audit import Refusals, audited
from .choices import Choice, Chosen, choose, moment
from .taken_up import NAMES, TakenUp, admitted, configured, told
from .thresholds import Asked, asked_threshold, set_threshold, thresholds_in_force

_log = logging.getLogger(__name__)
_CLOSE_RECIPE_S = 10.0
_CHANGEOVER = "recipe change"


class Steering:
    """Recipe, thresholds, pause and shadow mode of one line. Any thread may call any method.

    Args:
        config: the line.
        state: what its threads read.
        taken_up: how it starts.
    """

    def __init__(
        self, config: LineConfig, state: LineState, journal: Journal, judges: Judges, drift: Drift, taken_up: TakenUp
    ) -> None:
        self._config = config
        self._state = state
        self._journal = journal
        self._judges = judges
        self._drift = drift
        self._taken_up = taken_up
        self._choices: dict[Chosen, Choice] = taken_up.kept
        self._notes: dict[Chosen, Check] = taken_up.notes(config)
        self._lost = taken_up.lost is not None
        self._golden = Check(SELF_TEST, "ok", "not run yet") if config.golden else None
        self._changeover: Check | None = None
        self._refusals = Refusals(journal)
        self._changing = threading.Lock()
        """For moments: a pause must not wait."""
        self._long = threading.Lock()
        """For as long as a bundle takes to load, or samples to be judged."""

    def begin(self) -> None:
        """Notes what the line starts with; says what is not as its file has it.

        Raises:
            OutputError: the journal cannot be written.
        """
        recipe = self._state.recipe
        with audited():
            for name, choice in self._taken_up.dropped.items():
                now = configured(self._config, name)
                choose(self._journal, "line's file", name, {name: None}, before=choice.value, after=now)
            if self._taken_up.lost is not None:
                self._journal.audit("start", "pause", why=str(self._taken_up.lost))
            version, tuned = thresholds_in_force(self._journal, recipe.bundle, "start")
            recipe.in_force = InForce(recipe.bundle, version)
        for check in self._standing():
            _log.warning("%s: %s", check.name, check.text)
        if tuned:
            _log.warning("thresholds: %s", tuned)

    def test_at_start(self) -> None:
        """Judges the golden samples if the line's file says so; a failure may pause the line, and a success ends the
        pause that an earlier failure began."""
        if self._config.golden is None or not self._config.golden.at_start:
            return
        passed = self.self_test("start").light == "ok"
        pause = self._choices.get("paused")
        if passed and not self._lost and pause is not None and pause.actor == SELF_TEST:
            self.pause(False, SELF_TEST)

    def set_threshold(self, value: float, product: str | None, actor: str, *, confirmed: bool) -> Check | None:
        """See `interface.Line`."""
        with self._alone(), self._refusing(actor, "threshold"), audited():
            recipe = self._state.recipe
            asked = asked_threshold(recipe.bundle, value, product, confirmed)
            checked = self._no_flip(asked)
            changed = set_threshold(self._journal, recipe.bundle, asked, actor, checked and checked.text)
            recipe.in_force = InForce(changed, recipe.in_force.version + 1)
            if self._config.golden is not None:
                self._golden = checked
        return checked

    def _no_flip(self, asked: Asked) -> Check | None:
        golden = self._config.golden
        if golden is None:
            return NOTHING_CHECKED if asked.odd else None
        return require_no_flip(self._state.recipe, golden, self._known(), asked.changed)

    def _known(self) -> KnownBundles:
        dashboard = self._config.dashboard
        return KnownBundles(dashboard and dashboard.bundles, [self._config.bundle, self._state.recipe.path])

    def pause(self, paused: bool, actor: str) -> None:
        """See `interface.Line`."""
        with self._changing, audited():
            chosen: dict[Chosen, Any] = {"paused": paused or None}
            if not paused and self._lost:  # whoever ends this pause was told by which recipe the line goes on
                chosen["recipe"] = None
            made = choose(self._journal, actor, "pause" if paused else "resume", chosen)
            self._state.paused = paused
            self._keep(made)

    def set_shadow(self, shadow: bool, actor: str) -> None:
        """See `interface.Line`."""
        with self._changing, audited():
            file: dict[Chosen, Any] = {"shadow": configured(self._config, "shadow")}
            made = choose(self._journal, actor, "shadow", {"shadow": shadow}, file, on=shadow)
            self._state.shadow = shadow
            self._keep(made)

    def set_order(self, order: Order, actor: str) -> None:
        """See `interface.Line`."""
        with self._changing, audited():
            wanted: dict[Chosen, Any] = {"order": order.plain() if order else None}
            made = choose(
                self._journal,
                actor,
                "order",
                wanted,
                order=order.order,
                lot=order.lot,
                operator=order.operator,
                fields=dict(order.fields),
            )
            self._state.order = order
            self._keep(made)

    def change_recipe(self, bundle: Path, actor: str, order: Order) -> Check:
        """See `interface.Line`."""
        with self._alone(), self._refusing(actor, "recipe"), audited():
            self._changeover = Check(_CHANGEOVER, "ok", f"{bundle} is being loaded and checked, for {actor}")
            try:
                checked = self._change_over(bundle, actor, order)
            except SnlEdgeError as error:
                what = f"{bundle} was refused to {actor} on {moment(time.time())}"
                text = f"{what}, {self._state.recipe.path} goes on: {error}"
                self._changeover = Check(_CHANGEOVER, "warning", text)
                raise
            except BaseException:
                self._changeover = None
                raise
            self._changeover = None
        return checked

    def _change_over(self, bundle: Path, actor: str, order: Order) -> Check:
        """Loads and checks beside the running recipe, which judges meanwhile; then parts go to the new one."""
        new = admitted(self._config, bundle)
        recipe = new.recipe
        try:
            golden = self._config.golden
            checked = NOTHING_CHECKED if golden is None else self_test(recipe, golden, self._known())
            if checked.light == "failed":
                raise ConfigError(
                    f"recipe {recipe.name} does not pass its golden samples",
                    checked.text,
                    f"repair the recipe, or put its own samples into a folder {recipe.path.name} below golden.folder",
                )
            new.tell(self._judges)
            with self._changing:
                made = choose(
                    self._journal,
                    actor,
                    "recipe",
                    {"recipe": str(bundle.absolute()), "order": order.plain() if order else None},
                    {"recipe": configured(self._config, "recipe")},
                    bundle=str(bundle),
                    name=recipe.name,
                    engine=recipe.sha256,
                    golden=checked.text,
                    order=str(order),
                )
                version, _ = thresholds_in_force(self._journal, recipe.bundle, actor)
                recipe.in_force = InForce(recipe.bundle, version)
                old, self._state.recipe = self._state.recipe, recipe
                self._state.order = order
                self._state.paused = self._state.paused and not (self._lost and "paused" not in self._choices)
                self._keep(made)
        except BaseException:
            recipe.close()
            raise
        self._drift.reset()
        self._golden = None if golden is None else checked
        old.close(_CLOSE_RECIPE_S)
        return checked

    def refused(self, change: str, error: SnlEdgeError, actor: str) -> None:
        """See `interface.Line`."""
        self._refusals.note(actor, change, error)

    def self_test(self, actor: str) -> Check:
        """See `interface.Line`."""
        golden = self._config.golden
        if golden is None:
            return Check(SELF_TEST, "warning", "no samples: name their folder under golden in the configuration")
        with self._alone():
            self._golden = found = self_test(self._state.recipe, golden, self._known())
            with audited():
                self._journal.audit(actor, SELF_TEST, light=found.light, text=found.text)
        if found.light != "ok" and golden.pause_on_failure and not self._state.paused:
            self.pause(True, SELF_TEST)
        return found

    def checks(self) -> list[Check]:
        """Its lines on the health page."""
        return [*self._standing(), *(check for check in (self._changeover, self._golden) if check is not None)]

    def _standing(self) -> list[Check]:
        """What is not as the line's file has it, and who wanted it so."""
        found: dict[Chosen, Check] = dict(self._notes)
        for name, choice in self._choices.items():  # replaced as a whole, see `_keep`
            if name not in found and (text := told(name, choice)):
                found[name] = Check(NAMES[name], "ok" if name in ("recipe", "order") else "warning", text)
        return list(found.values())

    def _keep(self, made: dict[Chosen, Choice]) -> None:
        standing: dict[Chosen, Choice] = self._choices | made
        left: dict[Chosen, Check] = {name: note for name, note in self._notes.items() if name not in made}
        self._lost = self._lost and "recipe" not in made
        self._notes = left
        self._choices = {name: choice for name, choice in standing.items() if choice.value is not None}

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One long change at a time: a second one would wait for minutes."""
        if not self._long.acquire(blocking=False):
            raise BusyError("a recipe change or self-test is running", fix="wait until it is done")
        try:
            yield
        finally:
            self._long.release()

    @contextmanager
    def _refusing(self, actor: str, change: str) -> Iterator[None]:
        try:
            yield
        except OutputError:
            raise  # nobody refused: it could not be done
        except SnlEdgeError as error:
            self._refusals.note(actor, change, error)
            raise
