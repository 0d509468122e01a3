"""``line.yaml``: everything about one line, in one file, checked before anything starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from ...errors import ConfigError
from ...outside.files import reason
from ...outside.json_text import faults, validated
from ...outside.yaml_text import read_yaml
from ..capture.camera_settings import CameraSettings
from ..health.drift import DriftSettings
from ..health.shares import SharesSettings
from ..health.watchdog import WatchdogSettings
from ..journal.journal_settings import JournalSettings
from ..journal.kept_pictures import FOLDER as PICTURES
from ..outputs.actuators import Actuators, GpioActuator, ModbusActuator
from ..outputs.sinks import JsonLinesSink, MqttSink, Sinks
from ..pipeline.golden import GoldenSettings
from ..pipeline.parts import QueuePolicy
from ..pipeline.recipe import EngineSettings
from ..pipeline.ruling import Rules
from ..settings import Settings
from .dashboard_settings import DashboardSettings


class QueueSettings(Settings):
    """Between cameras and engine."""

    size: int = Field(default=8, ge=1, le=1024)
    """Prepared pictures that may wait for the engine."""
    policy: QueuePolicy = "newest"
    """When the engine is slower: ``newest`` pushes the oldest part out (it gets the fail-safe verdict ``dropped``),
    ``block`` makes the source wait, which only files can."""


class LineConfig(Settings):
    """One line. Relative paths start at the folder in which the command runs."""

    name: str = Field(default="line", pattern=r"^[A-Za-z0-9_-]{1,32}$")
    """The line's name: in messages, on the dashboard and in exported files."""
    bundle: Path
    """The recipe: a bundle folder."""
    engine: EngineSettings = EngineSettings()
    """What runs the bundle."""
    cameras: Annotated[tuple[CameraSettings, ...], Field(min_length=1)]
    """All of them share one engine."""
    queue: QueueSettings = QueueSettings()
    """Between cameras and engine."""
    deadline_ms: float | None = Field(default=1000, gt=0)
    """From trigger to verdict; a part without one by then gets the fail-safe verdict ``deadline``. null: none, for
    files and demonstrations."""
    rules: Rules = Rules()
    """What follows from a verdict."""
    shadow: bool = False
    """Start in shadow mode: decide and record, but move no actuator."""
    journal: JournalSettings = JournalSettings()
    """Where verdicts are kept."""
    sinks: Sinks = ()
    """Who hears of verdicts, from the journal, whenever they are there."""
    actuators: Actuators = ()
    """What moves for rejects, in time."""
    dashboard: DashboardSettings | None = DashboardSettings()  # pyright: ignore[reportCallIssue]
    """The web page with health and metrics; null: none."""
    shares: SharesSettings = SharesSettings()
    """When too many of a camera's last parts were not judged as they should be."""
    drift: DriftSettings = DriftSettings()
    """When parts count as having drifted from what the model was trained on."""
    golden: GoldenSettings | None = None
    """Samples for the self-test; none if not given."""
    watchdog: WatchdogSettings = WatchdogSettings()
    """When the service counts as dead."""
    drain_s: float = Field(default=5.0, ge=0)
    """At the end (SIGTERM), how long parts on their way may still get their verdict."""

    @model_validator(mode="after")
    def _names_differ(self) -> LineConfig:
        names = [camera.name for camera in self.cameras]
        if len(set(names)) < len(names):
            raise ValueError("two cameras have the same name")
        return self

    @model_validator(mode="after")
    def _actuators_see_parts(self) -> LineConfig:
        names = {camera.name for camera in self.cameras}
        for actuator in self.actuators:
            called = actuator.name or actuator.type
            if actuator.cameras == ():
                raise ValueError(f"actuator {called} is for no camera: name some, or leave out cameras")
            if unknown := sorted(set(actuator.cameras or ()) - names):
                raise ValueError(
                    f"actuator {called} is for camera {unknown[0]}, which there is not: it would never move"
                )
        return self

    @model_validator(mode="after")
    def _nobody_shares_what_he_writes(self) -> LineConfig:
        """Two that write one output or one folder undo each other's work, and both believe that it is done."""
        owners: dict[object, str] = {}
        for kind, things in (("actuator", self.actuators), ("sink", self.sinks)):
            for thing in things:
                called = f"{kind} {thing.name or thing.type}"
                for place in _written(thing):
                    if place in owners:
                        raise ValueError(
                            f"{owners[place]} and {called} write to the same {place[0]}: give each its own"
                        )
                    owners[place] = called
        kept = (self.journal.folder / PICTURES).absolute()
        for sink in self.sinks:
            folder = getattr(sink, "folder", None)
            if folder is not None and Path(folder).absolute().is_relative_to(kept):
                raise ValueError(
                    f"sink {sink.name or sink.type} writes among the journal's own pictures: give it a folder"
                )
        return self


def _written(thing: object) -> Iterator[tuple[object, ...]]:
    """What an actuator or sink writes, in comparable form: what it is, and where."""
    if isinstance(thing, ModbusActuator):
        where = thing.host, thing.port, thing.unit
        if thing.coil is not None:
            yield "coil", *where, thing.coil
        for register in (thing.register_, thing.heartbeat_register):
            if register is not None:
                yield "register", *where, register
    elif isinstance(thing, GpioActuator):
        yield "GPIO line", thing.chip, thing.line
    elif isinstance(thing, JsonLinesSink):
        yield "folder", thing.folder.absolute()
    elif isinstance(thing, MqttSink) and thing.sparkplug is not None:
        yield "Sparkplug node", thing.host, thing.port, thing.sparkplug.group, thing.sparkplug.node


def read_config(path: Path) -> LineConfig:
    """Reads and checks a line's file; executes nothing in it.

    Raises:
        ConfigError: it cannot be read, is no YAML, or says something that cannot be: where and what.
    """
    try:
        content = read_yaml(path)
    except OSError as error:
        raise ConfigError(f"cannot read {path}", reason(error), "check path and permissions") from error
    except ValueError as error:
        raise ConfigError(f"{path} cannot be used", str(error), "check indentation and quotes there") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no settings", fix="start from an example in examples/lines")
    try:
        return validated(LineConfig, content)
    except ValueError as error:
        raise ConfigError(
            f"{path} is not valid", faults(error, limit=5), "see the table of settings in docs/stream.md"
        ) from error
