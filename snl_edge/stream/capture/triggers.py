"""What says that a part is there."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field

from ...errors import ConfigError
from ...outside.json_text import parse_json
from ..control.interface import Check
from ..settings import Seconds, Settings


class EveryFrame(Settings):
    """Every picture is a part, or shows a stretch of endless goods."""

    type: Literal["every_frame"] = "every_frame"
    every: int = Field(default=1, ge=1)
    """Take each n-th picture."""


class Hardware(Settings):
    """The camera waits for a signal of its own (light barrier, encoder), so each picture that comes is a part."""

    type: Literal["hardware"] = "hardware"


class Interval(Settings):
    """A part every so many seconds."""

    type: Literal["interval"] = "interval"
    seconds: Seconds
    """From part to part."""


class Software(Settings):
    """A program says so: ``POST /api/trigger`` of the dashboard, or a line on standard input."""

    type: Literal["software"] = "software"
    stdin: bool = False
    """Read triggers from standard input: one JSON object a line, ``{"camera": "left", "part": "A17", "encoder": 4}``,
    each of them optional; an empty line triggers the first camera that listens."""


class Gpio(Settings):
    """An input line of the board (Jetson or other), with the camera running free."""

    type: Literal["gpio"] = "gpio"
    chip: Path = Path("/dev/gpiochip0")
    """The chip with the line, as `gpioinfo` shows it."""
    line: int | str = Field(union_mode="left_to_right")
    """Offset on the chip, or the line's name, as ``gpioinfo`` shows them."""
    edge: Literal["rising", "falling"] = "rising"
    """Which change of the level is a part."""
    debounce_ms: float = Field(default=1.0, ge=0)
    """A level must last so long to count."""


TriggerSettings = Annotated[EveryFrame | Hardware | Interval | Software | Gpio, Field(discriminator="type")]


class Fire(Protocol):
    """Says that a part is there now."""

    def __call__(self, part_id: str | None = None, encoder: int | None = None) -> object:
        """Takes the part's id and the encoder's count, where they are known."""
        ...


class IntervalTrigger(threading.Thread):
    """Fires at even times; one that was missed is not made up for."""

    def __init__(self, seconds: float, fire: Fire) -> None:
        super().__init__(name="trigger interval", daemon=True)
        self._seconds = seconds
        self._fire = fire
        self._stopping = threading.Event()

    def run(self) -> None:
        """The thread's body."""
        due = time.monotonic() + self._seconds
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            self._fire()
            due = max(due + self._seconds, time.monotonic())

    def stop(self) -> None:
        """Ends it."""
        self._stopping.set()


class GpioTrigger(threading.Thread):
    """Fires at each edge of an input line, through libgpiod 2. Not yet run on a board."""

    def __init__(self, settings: Gpio, fire: Fire) -> None:
        super().__init__(name=f"trigger gpio {settings.line}", daemon=True)
        self._settings = settings
        self._fire = fire
        self._stopping = threading.Event()
        self._request: Any = None

    def start(self) -> None:
        """Takes the line and listens to it.

        Raises:
            ConfigError: there is no gpiod, or the line is not available.
        """
        settings = self._settings
        try:
            import gpiod
            from gpiod.line import Direction, Edge

            line = gpiod.LineSettings(
                direction=Direction.INPUT,
                edge_detection=Edge.RISING if settings.edge == "rising" else Edge.FALLING,
                debounce_period=timedelta(milliseconds=settings.debounce_ms),
            )
            self._request = gpiod.request_lines(str(settings.chip), {settings.line: line}, consumer="snl-edge")
        except (ImportError, OSError, ValueError) as error:
            raise ConfigError(
                f"cannot listen to GPIO line {settings.line} of {settings.chip}",
                str(error),
                'run: pip install "snl-edge[gpio]", check `gpioinfo`, and let the service\'s user read the chip',
            ) from error
        super().start()

    def run(self) -> None:
        """The thread's body."""
        with self._request as request:
            while not self._stopping.is_set():
                if request.wait_edge_events(timedelta(milliseconds=200)):
                    for _ in request.read_edge_events():
                        self._fire()

    def stop(self) -> None:
        """Ends it and lets the line go."""
        self._stopping.set()


def firing(settings: TriggerSettings, fire: Fire) -> IntervalTrigger | GpioTrigger | None:
    """What fires this trigger by itself; None where pictures do, or someone calls."""
    if isinstance(settings, Interval):
        return IntervalTrigger(settings.seconds, fire)
    return GpioTrigger(settings, fire) if isinstance(settings, Gpio) else None


class StdinTriggers(threading.Thread):
    """Fires for each line on standard input.

    Args:
        fires: what each listening camera's trigger is.
        complain: is told of a line that makes no sense.
    """

    def __init__(self, fires: Mapping[str, Fire], complain: Callable[[str], object]) -> None:
        super().__init__(name="trigger stdin", daemon=True)  # a blocking read cannot be ended; the process can
        self._fires = fires
        self._complain = complain

    def run(self) -> None:
        """The thread's body."""
        for line in sys.stdin:
            try:
                self.take(line)
            except Exception as error:  # whatever a program writes: the next line may be a part
                why = str(error) or type(error).__name__
                self._complain(f"standard input: {line.strip()[:80]!r} is no trigger ({why})")

    def checks(self) -> list[Check]:
        """A line on the health page for each camera that it fires, once it fires no more."""
        if self.is_alive():
            return []
        text = "standard input has ended, so no part is triggered any more: start the program that writes there"
        return [Check(f"trigger {camera}", "failed", text) for camera in self._fires]

    def take(self, line: str) -> None:
        """One line.

        Raises:
            ValueError, KeyError, TypeError: it is no trigger, or names a camera that does not listen.
        """
        content = parse_json(line) if line.strip() else {}
        if not isinstance(content, dict):
            raise ValueError("it is no object in braces")
        camera = content.pop("camera", next(iter(self._fires)))
        part, encoder = content.pop("part", None), content.pop("encoder", None)
        if content:
            raise ValueError(f"unknown {', '.join(content)}")
        self._fires[camera](None if part is None else str(part), None if encoder is None else int(encoder))
