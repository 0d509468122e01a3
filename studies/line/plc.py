"""A Modbus TCP server that records every write: what an actuator did, whatever the line's journal says."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

_SLOW_S = 10.0


class Plc:
    """A server with 16 coils and registers on this machine.

    Args:
        port: to listen at; 0 takes a free one.

    Attributes:
        port: where it listens.
        writes: ``(function, address, value)`` in the order they came.
        reads: how often coils or registers were read.
    """

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.writes: list[tuple[str, int, int]] = []
        self.reads = 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.start()
        assert self._ready.wait(_SLOW_S), f"no Modbus server at port {port}"

    async def _serve(self) -> None:
        coils = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
        registers = [SimData(0, count=16, datatype=DataType.REGISTERS)]
        device = SimDevice(id=1, simdata=(coils, coils, registers, registers))
        self._server = ModbusTcpServer(device, address=("127.0.0.1", self.port), trace_pdu=self._note)
        await self._server.serve_forever(background=True)
        listening: Any = self._server.transport  # declared as a transport, and an asyncio.Server here
        self.port = listening.sockets[0].getsockname()[1]
        self._ready.set()
        await self._server.serving

    def _note(self, sending: bool, pdu: Any) -> Any:
        if not sending and pdu.function_code in (1, 3):
            self.reads += 1
        if not sending and pdu.function_code == 5:
            self.writes.append(("coil", pdu.address, int(pdu.bits[0])))
        if not sending and pdu.function_code == 6:
            self.writes.append(("register", pdu.address, pdu.registers[0]))
        return pdu

    def close(self) -> None:
        """Ends it; a second call does nothing."""
        if self._loop.is_running():
            asyncio.run_coroutine_threadsafe(self._server.shutdown(), self._loop).result(_SLOW_S)
            self._thread.join(_SLOW_S)
