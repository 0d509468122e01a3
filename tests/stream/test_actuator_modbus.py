"""The Modbus actuator with a real Modbus TCP server."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from journals import record, until

pytest.importorskip("pymodbus", reason="pymodbus is not installed: pip install 'snl-edge[modbus]'")

from snl_edge.stream.journal.journal import Journal
from snl_edge.stream.outputs.actuators import ActuatorThread, ModbusActuator, OutcomeLog, build_actuator
from studies.line.plc import Plc


@pytest.fixture
def plc() -> Iterator[Plc]:
    plc = Plc()
    yield plc
    plc.close()


def running(log: OutcomeLog, port: int, **settings: object) -> ActuatorThread:
    values = {"host": "127.0.0.1", "port": port, "tolerance_ms": 5000, "pulse_ms": 30, "heartbeat_s": 0.1}
    actuator = build_actuator(
        ModbusActuator.model_validate({"type": "modbus", **values, "timeout_s": 2, **settings}), log
    )
    actuator.start()
    return actuator


def reject(actuator: ActuatorThread, sequence: int, action: str = "reject") -> None:
    actuator.submit(record(sequence, verdict="reject", action=action), 1, time.monotonic())


def test_a_reject_sets_the_coil_and_clears_it(plc: Plc, journal: Journal, log: OutcomeLog) -> None:
    actuator = running(log, plc.port, coil=3)
    reject(actuator, 1)
    until(lambda: plc.writes[-2:] == [("coil", 3, 1), ("coil", 3, 0)])
    assert plc.writes[0] == ("coil", 3, 0)  # whatever was left on is off from the start
    until(lambda: plc.reads > 2)  # it looks whether the server is there
    actuator.stop(5)
    assert log.stop(5)
    assert [actuation.outcome for actuation in journal.actuations()] == ["done"]
    assert actuator.done == 1


def test_a_register_tells_reject_from_hold_and_another_counts_the_heartbeat(plc: Plc, log: OutcomeLog) -> None:
    actuator = running(log, plc.port, register=2, heartbeat_register=5, heartbeat_s=0.05, actions=["reject", "hold"])
    reject(actuator, 1)
    until(lambda: ("register", 2, 1) in plc.writes)
    reject(actuator, 2, "hold")
    until(lambda: ("register", 2, 2) in plc.writes)
    until(lambda: ("register", 5, 10) in plc.writes)
    actuator.stop(5)
    beats = [value for _, address, value in plc.writes if address == 5]
    assert beats == list(range(1, len(beats) + 1))
    assert plc.writes[-1] == ("register", 2, 0)


def test_a_server_that_goes_and_comes_back_costs_the_parts_in_between(
    plc: Plc, journal: Journal, log: OutcomeLog
) -> None:
    actuator = running(log, plc.port, coil=0)
    reject(actuator, 1)
    until(lambda: actuator.done == 1)
    plc.close()
    until(lambda: actuator.check().light == "failed")  # though there is nothing to reject
    assert "rejects are not carried out" in actuator.check().text
    reject(actuator, 2)
    until(lambda: actuator.failed == 1)
    back = Plc(plc.port)
    until(lambda: actuator.check().light == "warning")
    reject(actuator, 3)
    until(lambda: actuator.done == 2)
    actuator.stop(5)
    assert log.stop(5)
    assert [(done.sequence, done.outcome) for done in reversed(journal.actuations())] == [
        (1, "done"),
        (2, "failed"),
        (3, "done"),
    ]
    assert back.writes.count(("coil", 0, 1)) == 1
    back.close()


def test_a_server_that_hangs_makes_a_part_fail_and_no_other_hit(journal: Journal, log: OutcomeLog) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        actuator = running(log, mute.getsockname()[1], coil=0, timeout_s=0.2)
        reject(actuator, 1)
        until(lambda: actuator.failed == 1)
        assert "does not answer" in actuator.check().text
        actuator.stop(5)
    assert log.stop(5)
    assert journal.actuations()[0].outcome == "failed"


def test_an_address_that_the_server_lacks_is_said_plainly(plc: Plc, log: OutcomeLog) -> None:
    actuator = running(log, plc.port, coil=99)
    until(lambda: "check the address and the unit" in actuator.check().text)
    reject(actuator, 1)
    until(lambda: actuator.failed == 1)
    actuator.stop(5)


def test_a_connection_that_broke_unseen_costs_no_part(plc: Plc, log: OutcomeLog) -> None:
    actuator = running(log, plc.port, coil=0, heartbeat_s=60)
    reject(actuator, 1)
    until(lambda: plc.writes[-2:] == [("coil", 0, 1), ("coil", 0, 0)])
    plc.close()
    back = Plc(plc.port)
    reject(actuator, 2)
    until(lambda: actuator.done == 2)
    actuator.stop(5)
    assert actuator.failed == 0
    assert back.writes.count(("coil", 0, 1)) == 1
    back.close()
