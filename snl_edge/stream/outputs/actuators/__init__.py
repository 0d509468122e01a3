"""Actuators: what moves on the line, in time or not at all.

The names here import none of the packages that an actuator needs; `build_actuator` says which one is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, Field

from ..sinks.transport import require
from .account import Account
from .gpio import GpioActuator, GpioOutput
from .modbus import ModbusActuator, ModbusOutput
from .outcomes import OutcomeLog
from .schedule import ActuatorThread, Output

__all__ = [
    "Account",
    "Actuator",
    "ActuatorThread",
    "Actuators",
    "GpioActuator",
    "ModbusActuator",
    "OutcomeLog",
    "build_actuator",
]

Actuator = Annotated[ModbusActuator | GpioActuator, Field(discriminator="type")]
"""Settings of one actuator."""


def _name(settings: ModbusActuator | GpioActuator) -> str:
    return settings.name or settings.type


def _different_names(actuators: tuple[Actuator, ...]) -> tuple[Actuator, ...]:
    names = [_name(actuator) for actuator in actuators]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two actuators are named {twice[0]}: give each a name of its own")
    return actuators


Actuators = Annotated[tuple[Actuator, ...], AfterValidator(_different_names)]
"""Settings of a line's actuators."""


def build_actuator(
    settings: Actuator, log: OutcomeLog, fault: Callable[[], str | None] = lambda: None
) -> ActuatorThread:
    """An actuator, ready to ``start()``.

    Args:
        settings: what, where and when.
        log: where its outcomes go.
        fault: why the line gives no verdicts; None while it does. With a fault the heartbeat stands still.

    Raises:
        ConfigError: a package or the GPIO chip is missing.
    """
    return ActuatorThread(_name(settings), settings, _output(settings), log, fault)


def _output(settings: Actuator) -> Output:
    if isinstance(settings, GpioActuator):
        require("gpiod", "gpio", "a gpio actuator")
        return GpioOutput(settings)
    require("pymodbus", "modbus", "a modbus actuator")
    return ModbusOutput(settings)
