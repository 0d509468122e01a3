"""The OPC UA sink with a real client."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from journals import fill, new_journal, record, until

pytest.importorskip("asyncua", reason="asyncua is not installed: pip install 'snl-edge[opcua]'")

from asyncua import ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from opcua_plant import Plant

from snl_edge.stream.control.commands import Commands
from snl_edge.stream.journal.journal import Journal
from snl_edge.stream.outputs.outputs import Outputs
from snl_edge.stream.outputs.sinks import Forwarder, OpcUaSink, build_sink
from snl_edge.stream.outputs.sinks.opcua import APPLICATION
from snl_edge.stream.outputs.sinks.opcua_model import NOT_SUPPORTED, UNKNOWN_RESULT


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Line:
    """A line with one server, which several tests share: a server takes seconds of CPU to start."""

    journal: Journal
    port: int
    sink: Forwarder
    state: str = "starting"


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    journal = new_journal(tmp_path_factory.mktemp("line") / "journal")
    line = Line(journal, port, None)
    line.sink = running(journal, port, lambda: line.state)
    yield line
    assert line.sink.stop(10)
    assert not listening(port)
    assert line.sink.failures == 0
    journal.close()


def running(journal: Journal, port: int, state: Callable[[], Any] = lambda: "running", **settings: object) -> Forwarder:
    values = {"type": "opcua", "host": "127.0.0.1", "port": port, "retry_first_s": 0.05, **settings}
    sink = build_sink(OpcUaSink(**values), journal, state)
    sink.start()
    until(lambda: "OK" if listening(port) else sink.failures)
    return sink


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def eventually(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not happen in time")


def test_a_client_sees_the_latest_result_and_gets_an_event_for_each(line: Line) -> None:
    journal, port, sink = line.journal, line.port, line.sink

    async def plant() -> None:
        async with Plant(port) as client:
            await client.listen()
            ids = fill(journal, 5)
            sink.wake()
            await eventually(lambda: len(client.events) == 5)
            assert [event.ResultId for event in client.events] == ids
            reject, failsafe = client.events[1], client.events[4]
            assert (reject.Verdict, reject.ResultState, reject.Severity, reject.Score) == ("reject", 1, 500, 0.25)
            assert (reject.PartId, reject.ProductId, reject.JobId) == ("P1", "bolt", "1")
            assert json.loads(reject.ResultContent)["regions"][0]["peak"] == 0.9
            assert (failsafe.Verdict, failsafe.ResultState) == ("failsafe", 4)
            await eventually(lambda: sink.backlog == 0)
            assert await client.latest("ResultId") == ids[4]
            assert await client.latest("Verdict") == "failsafe"
            assert (await client.latest("CreationTime")).isoformat().startswith("2027-01-15T08:00:04")

    asyncio.run(plant())


def test_a_client_that_was_away_fetches_what_it_missed(line: Line) -> None:
    journal, port, sink = line.journal, line.port, line.sink
    delivered, before = sink.delivered, journal.last()

    async def first() -> list[Any]:
        async with Plant(port) as client:
            await client.listen(client.client.nodes.server)
            fill(journal, 2, 1000)
            sink.wake()
            await eventually(lambda: len(client.events) == 2)
            return client.events

    async def later(last: str) -> None:
        async with Plant(port) as client:
            missed, error = await client.after(last)
            assert error == 0
            assert [message["message_id"] for message in missed] == ids
            some, _ = await client.after(ids[0], 3)
            assert [message["message_id"] for message in some] == ids[1:4]
            everything, _ = await client.after("")
            assert len(everything) == before + 42
            assert await client.after("another journal:7") == ([], UNKNOWN_RESULT)

    seen = asyncio.run(first())
    ids = fill(journal, 40, 1002)  # nobody listens
    sink.wake()
    until(lambda: sink.delivered == delivered + 42)
    asyncio.run(later(seen[-1].ResultId))


def test_results_are_found_by_id_and_by_filter(line: Line) -> None:
    journal, port = line.journal, line.port
    ids = journal.append([record(2000 + number, recipe="this") for number in range(10)])
    ids = [f"{journal.id}:{number}" for number in ids]
    journal.append([record(2099, product="nut", part="P2003", recipe="this")])

    async def plant() -> None:
        async with Plant(port) as client:
            timeout = ua.Variant(0, ua.VariantType.Int32)
            _, result, error = await client.call("GetResultById", ids[3], timeout)
            assert (json.loads(result)["part"], error) == ("P2003", 0)
            assert (await client.call("GetResultById", "nonsense", timeout))[2] == UNKNOWN_RESULT
            whole, count, _, found, _ = await client.filtered(PartId="P2003")
            assert (whole, count) == (True, 2)
            assert [json.loads(text)["sequence"] for text in found] == [2099, 2003]
            assert (await client.filtered(ProductId="nut"))[1] == 1
            assert (await client.filtered(InternalRecipeId="this", state=4))[1] == 2 + 1
            assert (await client.filtered(InternalRecipeId="this", state=1))[1] == 8
            assert (await client.filtered(InternalRecipeId="this", state=2))[1] == 0
            whole, count, _, found, _ = await client.filtered(most=4, start=2, JobId="1")
            assert (whole, count) == (False, 4)
            assert [json.loads(text)["message_id"] for text in found] == ids[8:4:-1]
            assert (await client.filtered(MeasId="x"))[4] == NOT_SUPPORTED
            assert (await client.filtered(PartId="' OR 1=1 --"))[1] == 0

    asyncio.run(plant())


def test_the_state_machine_follows_the_line(line: Line) -> None:
    port = line.port

    async def plant() -> None:
        async with Plant(port) as client:

            async def shows(*states: str) -> bool:
                return (await client.state(), await client.state("AutomaticModeStateMachine")) == states

            async def becomes(*states: str) -> None:
                for _ in range(100):
                    if await shows(*states):
                        return
                    await asyncio.sleep(0.05)
                raise AssertionError(await client.state())

            assert await shows("Preoperational", "")
            line.state = "running"
            await becomes("Operational", "ContinuousExecution")
            line.state = "paused"
            await becomes("Operational", "Ready")
            line.state = "draining"
            await becomes("Operational", "ContinuousExecution")

    asyncio.run(plant())


def test_nobody_may_write(line: Line) -> None:
    async def plant() -> None:
        administrator = Plant(line.port)
        administrator.client.set_user("admin")
        with pytest.raises(ua.UaError):
            await administrator.client.connect()
        async with Plant(line.port) as client:
            node = await client._below(client.results, "Results", "Latest", "Verdict")
            with pytest.raises(ua.UaStatusCodeError):
                await node.write_value("good")

    asyncio.run(plant())


def test_a_port_in_use_is_a_failure_until_it_is_free_and_a_new_start_repeats_nothing(
    journal: Journal, port: int
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        sink = build_sink(
            OpcUaSink(type="opcua", host="127.0.0.1", port=port, retry_first_s=0.05, retry_most_s=0.2),
            journal,
            lambda: "running",
        )
        sink.start()
        ids = fill(journal, 3)
        until(lambda: sink.failures > 1 and sink.backlog == 3)
        assert f"cannot listen at 127.0.0.1:{port}" in sink.check().text
    until(lambda: sink.delivered == 3)

    async def plant() -> None:
        async with Plant(port) as client:
            assert await client.latest("ResultId") == ids[-1]

    asyncio.run(plant())
    assert sink.stop(10)
    again = running(journal, port)
    asyncio.run(plant())
    assert again.stop(10)
    assert again.delivered == 0


def test_a_client_that_dies_disturbs_nobody(line: Line) -> None:
    journal, port, sink = line.journal, line.port, line.sink

    async def plant() -> None:
        dying = Plant(port)
        await dying.__aenter__()
        await dying.listen()
        async with Plant(port) as client:
            await client.listen()
            dying.client.uaclient.protocol.transport.abort()
            ids = fill(journal, 20, 3000)
            sink.wake()
            await eventually(lambda: [event.ResultId for event in client.events] == ids)

    asyncio.run(plant())


def test_encryption_users_and_trusted_clients(journal: Journal, port: int, tmp_path: Path) -> None:
    plant_authority, stranger = Authority(tmp_path / "plant"), Authority(tmp_path / "stranger", "stranger")
    certificate, key = plant_authority.issue("server", APPLICATION)
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    known = plant_authority.issue("client", "urn:client")
    unknown = stranger.issue("client", "urn:client")
    (trusted / "ca.pem").write_bytes(plant_authority.ca.read_bytes())
    sink = running(
        journal,
        port,
        certificate=certificate,
        key=key,
        users={"scada": {"clear": "right"}},
        trusted_clients=trusted,
    )

    async def reads(pair: tuple[Path, Path] | None, password: str | None) -> str:
        plant = Plant(port)
        plant.client.application_uri = "urn:client"
        if pair is not None:
            await plant.client.set_security(SecurityPolicyBasic256Sha256, *map(str, pair), server_certificate=None)
        if password is not None:
            plant.client.set_user("scada")
            plant.client.set_password(password)
        async with plant:
            return await plant.state()

    assert asyncio.run(reads(known, "right")) == "Operational"
    for pair, password in ((known, "wrong"), (known, None), (unknown, "right"), (None, "right")):
        with pytest.raises((ua.UaError, ConnectionError, asyncio.TimeoutError)):
            asyncio.run(reads(pair, password))
    assert sink.stop(10)


def test_a_crowd_from_one_address_leaves_places_to_others(line: Line) -> None:
    """Half of the sixteen places; who connects from elsewhere still finds one."""
    with ExitStack() as stack:
        for _ in range(30):
            try:
                client = socket.create_connection(("127.0.0.1", line.port), 5, source_address=("127.0.0.9", 0))
                stack.enter_context(client).sendall(b"HEL")
            except ConnectionError:  # closed at once
                continue

        async def plant() -> None:
            async with Plant(line.port) as client:
                assert await client.state()

        asyncio.run(plant())


def test_others_may_read_only_with_a_login_or_where_a_setting_says_so(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    secured = {"certificate": certificate, "key": key}
    users = {"users": {"scada": {"clear": "secret"}}}
    assert OpcUaSink(type="opcua").host == "127.0.0.1"
    for host in ("0.0.0.0", "::", "192.168.0.10", "line3.plant"):
        for settings in ({}, secured):  # encryption alone keeps nobody out
            with pytest.raises(ValueError, match="anyone on the network"):
                OpcUaSink(type="opcua", host=host, **settings)
        for settings in ({**secured, **users}, {**secured, "trusted_clients": tmp_path}):
            assert not OpcUaSink(type="opcua", host=host, **settings).open_to_all
        assert OpcUaSink(type="opcua", host=host, anonymous=True).open_to_all
    assert not OpcUaSink(type="opcua", anonymous=True).open_to_all
    with pytest.raises(ValueError, match="exclude each other"):
        OpcUaSink(type="opcua", anonymous=True, **secured, **users)


def test_a_server_open_to_all_is_a_standing_warning(journal: Journal, port: int) -> None:
    def warned(**settings: object) -> list[str]:
        sink = OpcUaSink(type="opcua", port=port, anonymous=True, **settings)
        outputs = Outputs((), (sink,), journal, lambda: "running", lambda: None, Commands(None, None))
        return [check.text for check in outputs.checks() if check.light == "warning"]

    assert warned() == []
    assert warned(host="0.0.0.0", name="scada") == ["anyone who reaches 0.0.0.0 may read verdicts: anonymous is true"]
