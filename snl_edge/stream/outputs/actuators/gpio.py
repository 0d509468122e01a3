"""GPIO of a Jetson or any other Linux board, through the kernel's character device.

libgpiod 2, not Jetson.GPIO: it is the kernel's own interface, the same on every board and with JetPack 6 and later, its
wheel brings the library, and the kernel's simulator (gpio-sim) can stand in for the pins in tests.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ....errors import ConfigError
from ...records.record import Record
from .actuator_settings import ActuatorSettings
from .schedule import ActuationError

if TYPE_CHECKING:
    from gpiod import LineRequest
    from gpiod.line import Value


class GpioActuator(ActuatorSettings):
    """Pulses a pin."""

    type: Literal["gpio"]
    chip: Path = Path("/dev/gpiochip0")
    """The chip with the line, as ``gpioinfo`` shows it."""
    line: int | str = Field(union_mode="left_to_right")
    """Offset on the chip, or the line's name, as ``gpioinfo`` shows them."""
    active_low: bool = False
    """On is low."""


class GpioOutput:
    """One line of a chip, as an output.

    Raises:
        ConfigError: there is no such chip.
    """

    beat_s: float | None = None

    def __init__(self, settings: GpioActuator) -> None:
        import gpiod

        if not gpiod.is_gpiochip_device(str(settings.chip)):
            chips = ", ".join(sorted(map(str, Path("/dev").glob("gpiochip*")))) or "none"
            raise ConfigError(
                f"{settings.chip} is no GPIO chip",
                f"chips of this machine: {chips}",
                "name one, or remove the actuator",
            )
        self._settings = settings
        self._request: LineRequest | None = None

    def open(self) -> None:
        """Takes the line as an output, off."""
        import gpiod
        from gpiod.line import Direction, Value

        settings = self._settings
        line = gpiod.LineSettings(
            direction=Direction.OUTPUT, output_value=Value.INACTIVE, active_low=settings.active_low
        )
        try:
            self._request = gpiod.request_lines(str(settings.chip), {settings.line: line}, consumer="snl-edge")
        except (OSError, ValueError) as error:
            raise ActuationError(f"cannot take line {settings.line} of {settings.chip}: {error}") from error

    def on(self, record: Record) -> None:
        """Makes the line active."""
        from gpiod.line import Value

        self._set(Value.ACTIVE)

    def off(self) -> None:
        """Makes it inactive."""
        from gpiod.line import Value

        self._set(Value.INACTIVE)

    def beat(self) -> None:
        """Nothing beats."""

    def close(self) -> None:
        """Makes the line inactive and gives it back."""
        request, self._request = self._request, None
        if request is not None:
            from gpiod.line import Value

            try:
                request.set_value(self._settings.line, Value.INACTIVE)
            finally:
                request.release()

    def _set(self, value: Value) -> None:
        assert self._request is not None
        try:
            self._request.set_value(self._settings.line, value)
        except OSError as error:
            raise ActuationError(
                f"cannot switch line {self._settings.line} of {self._settings.chip}: {error}"
            ) from error
