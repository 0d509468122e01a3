"""Recipe and order, chosen over MQTT and OPC UA on a real line, and carried to every record and receiver."""

from __future__ import annotations

import asyncio
import csv
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from brokers import MOSQUITTO, Broker, Listener
from journals import until
from lines import SIDE, light, line_config, picture, running, wait_for, write_picture
from pydantic import ValidationError

from snl_edge.runtime.bundle import Bundle
from snl_edge.stream.config.line_config import LineConfig
from snl_edge.stream.control.commands import Commands, OrderCommand, RecipeCommand
from snl_edge.stream.line import RunningLine
from snl_edge.stream.outputs.sinks import OpcUaSink
from snl_edge.stream.records.record import NO_ORDER, Order, Record
from snl_edge.stream.report.export import export_journal
from studies.small_bundle import write_small_bundle

FULL: dict[str, Any] = {"order": "4711", "lot": "L22", "operator": "mm", "fields": {"shift": "early", "mould": "3"}}


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    folder = tmp_path / "bundles"
    write_small_bundle(folder / "a", SIDE)
    shutil.copytree(folder / "a", folder / "b")
    shutil.copytree(folder / "a", folder / "blind")
    Bundle.open(folder / "blind").set_threshold(90.0)
    write_picture(tmp_path / "golden" / "reject", "spotted", picture(1, spot=True))
    (tmp_path / "parts").mkdir()
    return folder


def line_of(bundles: Path, *sinks: dict[str, Any]) -> LineConfig:
    folder = bundles.parent
    watched = {"source": {"type": "folder", "path": folder / "parts", "watch": True, "poll_s": 0.02}}
    return line_config(
        bundles / "a",
        folder,
        camera=watched,
        golden={"folder": folder / "golden"},
        dashboard={"bundles": bundles},
        sinks=[{"type": "jsonlines", "folder": folder / "sink"}, *sinks],
    )


@contextmanager
def judging(bundles: Path, *sinks: dict[str, Any]) -> Iterator[tuple[RunningLine, Any]]:
    """A running line, and a function that has one more part judged and gives its record."""
    with running(line_of(bundles, *sinks)) as line:
        count = 0
        before = line.journal.last()

        def judged() -> Record:
            nonlocal count
            name = f"{line.journal.run}-{count}"
            write_picture(bundles.parent / "parts", name, picture(count))
            count += 1
            wait_for(lambda: line.recorder.committed == count)
            return line.journal.after(before, 99)[count - 1].record

        yield line, judged


def carried(record: Record) -> dict[str, Any]:
    return {"order": record.order, "lot": record.lot, "operator": record.operator, "fields": record.fields}


def test_an_order_is_carried_from_trigger_to_journal_file_and_sink_and_over_a_restart(bundles: Path) -> None:
    nothing = NO_ORDER.plain()
    with judging(bundles) as (line, judged):
        commands = Commands(line, bundles)
        assert carried(judged()) == nothing
        commands.change_recipe(RecipeCommand(folder="b", **FULL), "anna")
        assert carried(judged()) == FULL
        assert line.status().order == Order(**FULL)
        order = next(check for check in line.status().checks if check.name == "order")
        assert order.text.startswith("order 4711, lot L22, operator mm, shift early, mould 3, set by anna on 20")
        with pytest.raises(Exception, match="does not pass its golden samples"):
            commands.change_recipe(RecipeCommand(folder="blind", order="4712"), "anna")
        assert line.status().order == Order(**FULL)  # a change that was refused changes nothing
    with judging(bundles) as (line, judged):
        line.pause(True, "anna")
        assert carried(judged()) == FULL
        line.pause(False, "anna")
        line.set_order(Order("4713"), "anna")
        assert carried(judged()) == {**nothing, "order": "4713"}
        line.change_recipe(bundles / "a", "anna")
        assert carried(judged()) == nothing  # what a change does not name is not carried on
    folder = bundles.parent
    export_journal(folder / "journal", folder / "x.csv", "csv")
    with (folder / "x.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["order"], row["lot"], json.loads(row["fields"])) for row in rows[:2]] == [
        ("", "", {}),
        ("4711", "L22", FULL["fields"]),
    ]
    told = [json.loads(text) for text in (folder / "sink" / "verdicts.jsonl").read_text().splitlines()]
    assert [{name: message[name] for name in FULL} for message in told] == [
        nothing,
        FULL,
        FULL,
        {**nothing, "order": "4713"},
        nothing,
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"order": "x" * 65},
        {"order": ""},
        {"order": 4711},
        {"lot": "two\nlines"},
        {"lot": "\ud800"},
        {"operator": " mm"},
        {"fields": {"a b": "c"}},
        {"fields": {"a": "x" * 201}},
        {"fields": {str(number): "x" for number in range(17)}},
        {"fields": {"a": 1}},
        {"more": "x"},
    ],
)
def test_what_is_no_short_plain_text_is_no_order(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OrderCommand.model_validate(wrong)


def test_recipe_and_order_over_mqtt(bundles: Path) -> None:
    pytest.importorskip("paho", reason="paho-mqtt is not installed: pip install 'snl-edge[mqtt]'")
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed: apt-get install mosquitto")
    broker = Broker(bundles.parent / "broker")
    listener = Listener(broker.port, "cell/reply/#")
    publish = listener._client.publish

    def answer(count: int) -> dict[str, Any]:
        until(lambda: len(listener.messages) == count)
        return listener.messages[-1][1]

    sink = {"type": "mqtt", "host": "127.0.0.1", "port": broker.port, "topic": "cell", "commands": True}
    try:
        publish("cell/command/recipe", json.dumps({"folder": "blind"}), 1, True)  # retained: from before the line
        with judging(bundles, sink) as (line, judged):
            first = answer(1)
            assert (first["accepted"], first["what"]) == (False, "a retained message is no command")
            publish("cell/command/recipe", json.dumps({"id": "17", "folder": "b", **FULL}), 1)
            assert answer(2) == {
                "version": 1,
                "id": "17",
                "accepted": True,
                "golden": {"name": "self-test", "light": "ok", "text": "1 samples judged rightly"},
            }
            assert listener.messages[-1][0] == "cell/reply/recipe"
            assert line.state.recipe.path == bundles / "b"
            assert carried(judged()) == FULL
            publish("cell/command/order", json.dumps({"order": "4712"}), 1)
            assert answer(3)["accepted"]
            assert carried(judged()) == {**NO_ORDER.plain(), "order": "4712"}
            refused = [
                ("recipe", {"folder": "blind", "operator": "mm"}, "does not pass its golden samples"),
                ("recipe", {"folder": "../a"}, "no recipe '../a'"),
                ("order", {"order": 4711}, "the command order is not valid"),
                ("threshold", {"value": 0.9}, "there is no command 'threshold'"),
            ]
            for number, (name, content, what) in enumerate(refused, start=4):
                publish(f"cell/command/{name}", json.dumps(content), 1)
                said = answer(number)
                assert not said["accepted"]
                assert what in said["what"]
            publish("cell/command/recipe", b"\xff{", 1)
            assert answer(8)["what"] == "the command recipe is not valid"
            assert line.state.recipe.path == bundles / "b"
            noted = [entry for entry in reversed(line.journal.audits()) if "mqtt" in entry.actor]
            assert [(entry.actor, entry.action, entry.detail.get("change")) for entry in noted] == [
                ("mm (mqtt)", "recipe", None),
                ("mqtt", "order", None),
                ("mm (mqtt)", "refused", "recipe"),
                ("mqtt", "refused", "recipe"),
                ("mqtt", "refused", "order"),
                ("mqtt", "refused", "command"),
                ("mqtt", "refused", "recipe"),
            ]
    finally:
        listener.close()
        broker.kill()


def test_a_command_while_another_is_carried_out_is_told_to_wait(bundles: Path, monkeypatch: Any) -> None:
    pytest.importorskip("paho", reason="paho-mqtt is not installed: pip install 'snl-edge[mqtt]'")
    from snl_edge.stream.outputs.sinks.mqtt_commands import CommandListener

    begun, may_end, answers = threading.Event(), threading.Event(), []
    with judging(bundles) as (line, _):

        def slow(*_: object) -> None:
            begun.set()
            assert may_end.wait(20)

        monkeypatch.setattr(line, "set_order", slow)
        listener = CommandListener(
            "cell", Commands(line, bundles), lambda topic, content: answers.append((topic, json.loads(content)))
        )
        listener.take("cell/command/order", b'{"order": "1", "id": "a"}', False)
        assert begun.wait(20)
        listener.take("cell/command/order", b'{"order": "2", "id": "b"}', False)
        assert [(said["id"], said["what"]) for _, said in answers] == [("b", "another command is being carried out")]
        may_end.set()
        until(lambda: len(answers) == 2)
        assert (answers[1][1]["id"], answers[1][1]["accepted"]) == ("a", True)


def test_recipe_and_order_by_opcua_methods_for_those_who_have_logged_in(bundles: Path) -> None:
    pytest.importorskip("asyncua", reason="asyncua is not installed: pip install 'snl-edge[opcua]'")
    from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
    from certificates import Authority
    from opcua_plant import Plant

    from snl_edge.stream.outputs.sinks.opcua import APPLICATION

    with pytest.raises(ValidationError, match="commands need users"):
        OpcUaSink(type="opcua", commands=True)
    authority = Authority(bundles.parent / "authority")
    certificate, key = authority.issue("server", APPLICATION)
    own = authority.issue("client", "urn:client")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    users = {"scada": {"clear": "right"}}
    sink = {"type": "opcua", "host": "127.0.0.1", "port": port, "users": users, "commands": True}

    async def plant(line: RunningLine, judged: Any) -> None:
        client = Plant(port)
        client.client.application_uri = "urn:client"
        await client.client.set_security(SecurityPolicyBasic256Sha256, *map(str, own), server_certificate=None)
        client.client.set_user("scada")
        client.client.set_password("right")
        client.client.uaclient._timeout = 20
        async with client:

            async def call(name: str, *arguments: str) -> tuple[bool, dict[str, Any]]:
                accepted, answer = await client.system.call_method(f"{client._space}:{name}", *arguments)
                return accepted, json.loads(answer)

            accepted, answer = await call("ChangeRecipe", "b", "4711", "L22", "mm", json.dumps(FULL["fields"]))
            assert accepted, answer
            assert answer["golden"]["text"] == "1 samples judged rightly"
            assert line.state.recipe.path == bundles / "b"
            assert carried(await asyncio.to_thread(judged)) == FULL
            assert await client.latest("Order") in ("", "4711")
            accepted, answer = await call("ChangeRecipe", "blind", "", "", "", "")
            assert not accepted
            assert "does not pass its golden samples" in answer["what"]
            assert (await call("SetOrder", "4712", "", "", ""))[0]
            assert not (await call("SetOrder", "4713", "", "", "no json"))[0]
            assert carried(await asyncio.to_thread(judged)) == {**NO_ORDER.plain(), "order": "4712"}
            for _ in range(200):
                if await client.latest("Order") == "4712":
                    break
                await asyncio.sleep(0.05)
            assert await client.latest("Order") == "4712"

    with judging(bundles, {**sink, "certificate": certificate, "key": key}) as (line, judged):
        wait_for(lambda: light(line, "sink opcua") == "ok" and _listening(port))
        asyncio.run(plant(line, judged))
        noted = [
            entry for entry in reversed(line.journal.audits()) if "opcua" in entry.actor and "sink" not in entry.actor
        ]
        assert [(entry.actor, entry.action) for entry in noted] == [
            ("scada (opcua)", "recipe"),
            ("scada (opcua)", "refused"),
            ("scada (opcua)", "order"),
            ("scada (opcua)", "refused"),
        ]


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
