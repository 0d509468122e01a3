"""The running line: every part of it, put together, started and stopped in the right order."""

from __future__ import annotations

import gc
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ..errors import ConfigError, OutputError, SnlEdgeError
from ..runtime.tuning import usual_range
from ..version import __version__
from .capture.camera import Camera
from .capture.triggers import Software
from .config.line_config import LineConfig
from .control.commands import Commands
from .control.interface import Check, Latest, State, Status
from .health.drift import Drift
from .health.health import Health
from .health.metrics import Depths, Metrics
from .health.shares import Shares
from .health.tally import Counting, Tally
from .health.watchdog import Watchdog
from .journal.journal import Journal
from .outputs.outputs import Outputs
from .pipeline.inference import Engine, Judgement
from .pipeline.judges import Judges
from .pipeline.parts import Part, Parts, Waiting
from .pipeline.recorder import Recorder
from .pipeline.ruling import Ruling
from .records.actuation import Unaccounted
from .records.record import NO_ORDER, Order
from .steering.audit import audited
from .steering.steering import Steering
from .steering.taken_up import take_up


class RunningLine:
    """A line from its file; see `interface.Line` for what it offers while it runs.

    The way of a part: `Camera` → `Waiting` → `Engine` → `Judgement` → `Parts.decide` → `Recorder` → actuators, sinks.

    Args:
        config: the line.

    Attributes:
        beside: further lines of the health page, of what runs beside the line.

    Raises:
        SnlEdgeError: the bundle, the journal or a setting cannot be used; nothing runs then.
    """

    def __init__(self, config: LineConfig) -> None:
        self.config = config
        self.tally = Tally()
        self.metrics = Metrics(self.tally, self.status, self._depths, [camera.name for camera in config.cameras])
        self._mode: State = "starting"
        self.journal = Journal(config.journal.folder, hold=True)
        try:
            taken_up = take_up(config, self.journal)
        except BaseException:
            self.journal.close()
            raise
        self.state = taken_up.state(config)
        products = {camera.name: camera.product for camera in config.cameras}
        uncompared = [camera.name for camera in config.cameras if not camera.compare_product]
        judges = Judges(products, uncompared)
        taken_up.admitted.tell(judges)
        self._ruling = Ruling(config.rules, self.state, products, uncompared)
        self._drift = Drift(config.drift)
        self.steering = Steering(config, self.state, self.journal, judges, self._drift, taken_up)
        self._shares = Shares(config.shares)
        self._counting = Counting(
            {
                "verdicts": lambda part, record: self.tally.count(record),
                "shares": lambda part, record: self._shares.take(record),
                "metrics": self.metrics.count,
                "drift": self._drift.take,
            }
        )
        commands = Commands(self, config.dashboard and config.dashboard.bundles)
        self._outputs = Outputs(config.actuators, config.sinks, self.journal, lambda: self.mode, self._fault, commands)
        self.recorder = Recorder(
            self.journal,
            config.journal,
            self._outputs.act,
            self._outputs.concerned,
            self._outputs.wake,
            tuple(self._outputs.backlogs()),
        )
        deadline = None if config.deadline_ms is None else config.deadline_ms / 1000
        self.parts = Parts(deadline, self._ruling.failsafe, self._counting.take, self.recorder.put, self._triggered)
        self._waiting = Waiting(config.queue.size, config.queue.policy)
        self._judgement = Judgement(
            judges,
            self._ruling,
            self.parts,
            self.recorder,
            block=config.queue.policy == "block",
            batches=2 * config.engine.in_flight,
        )
        self._engines = [
            Engine(number, config.engine, self.parts, self._waiting, self._judgement)
            for number in range(config.engine.in_flight)
        ]
        self.cameras = {
            camera.name: Camera(
                camera,
                self.state,
                self.parts,
                self._waiting,
                self.recorder,
                focus_every=config.drift.focus_every,
                waiting_limit=config.queue.size,
            )
            for camera in config.cameras
        }
        self._deadlines = threading.Thread(target=self.parts.deadlines.run, name="deadlines", daemon=True)
        self._health = Health(
            self.state,
            tuple(self.cameras.values()),
            self._engines,
            self.recorder,
            self._outputs,
            self._ruling,
            config.actuators,
            config.deadline_ms,
            self._shares,
            self._counting,
            self._drift,
            config.watchdog,
            (self._deadlines, self._judgement),
        )
        self._watchdog = Watchdog(self._health.fault, self._summary)
        self.beside: list[Callable[[], Sequence[Check]]] = []

    def start(self) -> None:
        """Begins a run: journal first, cameras last.

        Raises:
            OutputError: the journal cannot be written.
            ConfigError: a trigger's input cannot be used.
        """
        recipe = self.state.recipe
        with audited():
            self.journal.begin(__version__, self.config.model_dump_json())
            self.steering.begin()
            self.journal.audit("line", "start", recipe=recipe.name, engine=recipe.sha256, backend=recipe.reason)
            self.recorder.pictures.name_left()  # before sinks, which name pictures, too
        self._outputs.start()
        self.recorder.start()
        for thread in (self._deadlines, self._judgement, *self._engines):
            thread.start()
        self.steering.test_at_start()
        if self._mode == "starting":
            self._mode = "running"
        self._watchdog.start()
        gc.collect()
        gc.freeze()  # what is loaded stays: the collector need not walk through it while parts wait
        for camera in self.cameras.values():
            camera.start()

    @property
    def mode(self) -> State:
        """Its state now."""
        return "paused" if self._mode == "running" and self.state.paused else self._mode

    @property
    def ended(self) -> bool:
        """Whether every source is at its end and every part has its verdict; `stop` writes what is left."""
        return (
            all(not camera.is_alive() and camera.ended for camera in self.cameras.values()) and not self.parts.waiting
        )

    def stop(self, actor: str = "line") -> None:
        """Drains: no new parts, those on their way get their verdict or ``shutdown``, everything is written."""
        if self._judgement.ident is None:  # it never got so far as to take a part
            self.journal.close()
            self.state.recipe.close()
            return
        self._mode = "draining"
        for camera in self.cameras.values():
            camera.stop()
        self.parts.close(self.config.drain_s)
        self._waiting.close()
        for thread in (*self.cameras.values(), *self._engines):
            if thread.ident is not None:
                thread.join(self.config.drain_s + 1)
        self._judgement.finish()
        self._deadlines.join()
        self._watchdog.stop()
        self.recorder.close()
        self._outputs.stop(self.config.drain_s)
        try:
            self.journal.audit(actor, "stop", **self.tally.verdicts)
            self.journal.close()
        except sqlite3.Error as error:
            raise OutputError("the journal could not be closed properly", str(error), "check the disk") from error
        finally:
            self.state.recipe.close()
            self._mode = "stopped"

    @property
    def lost(self) -> str:
        """Why this process can judge nothing any more, a lost GPU: end it at once, so that it is started again."""
        return self.state.recipe.lost or next((engine.lost for engine in self._engines if engine.lost), "")

    def _fault(self) -> str | None:
        return self._health.fault() if self._mode in ("running", "draining") else f"the line is {self._mode}"

    def _triggered(self, part: Part) -> None:
        part.order = self.state.order
        self._outputs.triggered(part)

    # What `interface.Line` offers.

    def trigger(self, camera: str, part: str | None, encoder: int | None) -> int | None:
        """See `interface.Line`."""
        if camera not in self.cameras:
            raise ConfigError(f"there is no camera {camera!r}", fix=f"choose of {', '.join(self.cameras)}")
        if not isinstance(self.cameras[camera].settings.trigger, Software):
            kind = self.cameras[camera].settings.trigger.type
            raise ConfigError(
                f"camera {camera} is not triggered from outside",
                f"its trigger is {kind}: a part that nobody sees would get the fail-safe verdict, and be rejected",
                "trigger another camera, or give it trigger: {type: software}",
            )
        return self.cameras[camera].trigger(part, encoder)

    def latest(self, camera: str) -> Latest | None:
        """See `interface.Line`."""
        return self.recorder.latest(camera)

    def status(self) -> Status:
        """See `interface.Line`."""
        recipe, tally = self.state.recipe, self.tally
        bundle, version = recipe.in_force
        manifest = bundle.manifest
        median, p99 = tally.latency_ms(0.5, 0.99)
        return Status(
            name=self.config.name,
            state=self.mode,
            shadow=self.state.shadow,
            recipe=recipe.name,
            recipe_hash=recipe.sha256,
            threshold=manifest.threshold,
            product_thresholds={name: manifest.threshold_for(name) for name in manifest.products},
            products=manifest.products,
            threshold_version=version,
            order=self.state.order,
            cameras=tuple(self.cameras),
            counts=dict(tally.verdicts),
            dropped=tally.reasons["dropped"],
            deadline_missed=tally.reasons["deadline"],
            parts_per_second=tally.rate(),
            latency_p50_ms=median,
            latency_p99_ms=p99,
            checks=tuple(self._checks()),
            usual_thresholds={name: usual_range(manifest, name) for name in (None, *manifest.products)},
            unaccounted=self._unaccounted(),
        )

    def set_threshold(self, value: float, product: str | None, actor: str, *, confirmed: bool = False) -> Check | None:
        """See `interface.Line`."""
        return self.steering.set_threshold(value, product, actor, confirmed=confirmed)

    def pause(self, paused: bool, actor: str) -> None:
        """See `interface.Line`."""
        self.steering.pause(paused, actor)

    def set_shadow(self, shadow: bool, actor: str) -> None:
        """See `interface.Line`."""
        self.steering.set_shadow(shadow, actor)

    def set_order(self, order: Order, actor: str) -> None:
        """See `interface.Line`."""
        self.steering.set_order(order, actor)

    def change_recipe(self, bundle: Path, actor: str, order: Order = NO_ORDER) -> Check:
        """See `interface.Line`."""
        return self.steering.change_recipe(bundle, actor, order)

    def refused(self, change: str, error: SnlEdgeError, actor: str) -> None:
        """See `interface.Line`."""
        self.steering.refused(change, error, actor)

    def acknowledge(self, last: int, actor: str) -> Unaccounted | None:
        """See `interface.Line`."""
        with audited():
            return self.journal.acknowledge_unknown(last, actor)

    def self_test(self, actor: str) -> Check:
        """See `interface.Line`."""
        return self.steering.self_test(actor)

    def _checks(self) -> list[Check]:
        if self._mode in ("draining", "stopped"):
            return [Check("line", "warning", f"the line is {self._mode}")]
        found = self._health.checks() + self.steering.checks()
        return found + [check for look in self.beside for check in look()]

    def _unaccounted(self) -> Unaccounted | None:
        with suppress(sqlite3.Error):  # the check of the same says that the journal cannot be read
            return self.journal.unaccounted()
        return None

    def _depths(self) -> Depths:
        return Depths(
            pictures={name: camera.pictures for name, camera in self.cameras.items()},
            waiting=len(self._waiting),
            undecided=self.parts.waiting,
            journal=self.recorder.backlog,
            late=self.parts.late,
            acted_early=self.recorder.acted_early,
            pictures_missed=self.recorder.pictures.missed,
            disk_free=self.recorder.pictures.free(),
            sinks=self._outputs.backlogs(),
            outcomes=self._outputs.outcomes(),
            intents=self._outputs.account.waiting,
        )

    def _summary(self) -> str:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in self.tally.verdicts.items())
        return f"{self.mode}: {counts}; {self.tally.rate():.1f} parts/s"
