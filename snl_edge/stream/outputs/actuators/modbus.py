"""Modbus TCP: a coil or a holding register of a PLC or an output module, and a heartbeat that the PLC can watch."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from ...records.record import Record
from .actuator_settings import ActuatorSettings
from .schedule import ActuationError

if TYPE_CHECKING:
    from pymodbus.client import ModbusTcpClient

CODES = {"reject": 1, "hold": 2}
"""What a register holds while the output is on; off is 0."""


class ModbusActuator(ActuatorSettings):
    """Sets a coil or register of a Modbus TCP server."""

    type: Literal["modbus"]
    host: str
    """The server (PLC)."""
    port: int = Field(default=502, ge=1, le=65535)
    """Of the server."""
    unit: int = Field(default=1, ge=0, le=255)
    """Unit identifier."""
    coil: int | None = Field(default=None, ge=0, le=65535)
    """On for the length of a pulse. Addresses count from 0."""
    register_: int | None = Field(default=None, ge=0, le=65535, alias="register")
    """A holding register, in place of a coil: 1 for a reject, 2 for a hold, 0 else."""
    heartbeat_register: int | None = Field(default=None, ge=0, le=65535)
    """A holding register that counts up (0 to 65535, then 0 again) as long as the line gives verdicts."""
    heartbeat_s: float = Field(default=0.5, ge=0.05, le=60)
    """Pause between two beats. Without a heartbeat register the output is read instead, to see that it is there."""
    timeout_s: float = Field(default=0.2, gt=0, le=5)
    """For connecting and for each answer; an answer that takes longer is a failure."""

    @model_validator(mode="after")
    def _one_output(self) -> ModbusActuator:
        if (self.coil is None) == (self.register_ is None):
            raise ValueError("give coil or register")
        if self.register_ is not None and self.register_ == self.heartbeat_register:
            raise ValueError("register and heartbeat_register are the same")
        return self


class ModbusOutput:
    """A connection to one server."""

    def __init__(self, settings: ModbusActuator) -> None:
        self.beat_s: float | None = settings.heartbeat_s
        self._settings = settings
        self._client: ModbusTcpClient | None = None
        self._beats = 0

    def open(self) -> None:
        """Connects and switches off, whatever an earlier run has left on."""
        from pymodbus.client import ModbusTcpClient

        # At each failed try it logs an error and its last frames; what is wrong is in our own log, once.
        logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)
        settings = self._settings
        self._client = ModbusTcpClient(settings.host, port=settings.port, timeout=settings.timeout_s, retries=0)
        if not self._client.connect():
            raise ActuationError(f"Modbus server {settings.host}:{settings.port} cannot be reached")
        self.off()

    def on(self, record: Record) -> None:
        """Sets the coil or register."""
        self._write(CODES[record.action])

    def off(self) -> None:
        """Clears it."""
        self._write(0)

    def beat(self) -> None:
        """Counts the heartbeat register up; without one, reads the output, so that a dead connection shows at once."""
        if self._settings.heartbeat_register is not None:
            self._beats = (self._beats + 1) % 65536
            self._checked("write_register", self._settings.heartbeat_register, self._beats)
        elif self._settings.coil is not None:
            self._checked("read_coils", self._settings.coil)
        else:
            self._checked("read_holding_registers", self._settings.register_)

    def close(self) -> None:
        """Switches off if the server still answers, and disconnects."""
        client = self._client
        if client is None:
            return
        try:
            if client.connected:
                self.off()
        except ActuationError:
            pass  # it has gone: there the PLC's watch over the heartbeat is what switches off
        finally:
            self._client = None
            client.close()

    def _write(self, value: int) -> None:
        if self._settings.coil is not None:
            self._checked("write_coil", self._settings.coil, value != 0)
        else:
            assert self._settings.register_ is not None
            self._checked("write_register", self._settings.register_, value)

    def _checked(self, function: str, address: int | None, *value: bool | int) -> None:
        from pymodbus.exceptions import ModbusException

        server = f"Modbus server {self._settings.host}:{self._settings.port}"
        try:
            answer: Any = getattr(self._client, function)(address, *value, device_id=self._settings.unit)
        except (ModbusException, OSError) as error:
            raise ActuationError(f"{server} does not answer: {error}") from error
        if answer.isError():
            raise ActuationError(f"{server} refuses {function} at {address}: {answer}; check the address and the unit")
