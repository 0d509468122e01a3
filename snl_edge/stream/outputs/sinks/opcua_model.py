"""The OPC UA address space, with the names of OPC 40100-1.

Source of the names: https://reference.opcfoundation.org/MachineVision/v100/docs/. The types are ours and flat;
docs/sinks.md says what of the companion specification is followed and what is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from asyncua import ua
from asyncua.common.methods import uamethod
from asyncua.common.node import Node
from asyncua.server.server import Server
from asyncua.ua.object_ids import ObjectIds

from ...control.commands import Commands
from ...control.interface import State
from ...journal.journal import Journal
from ...records.record import Entry
from .message import encode
from .opcua_commands import OUTPUTS, command_methods

NAMESPACE = "urn:snl-edge:machine-vision"
COMPLETED, FAILED = 1, 4
"""ResultStateDataType (12.19)."""
UNKNOWN_RESULT, NOT_SUPPORTED = 1, 2
"""``error`` of our methods; 0 is well."""
MOST_RESULTS = 1000
"""In one answer."""
_SEVERITY = {"good": 100, "unknown": 400, "reject": 500, "failsafe": 700}
# State and StateNumber of VisionStateMachineType (8.2.6) and VisionAutomaticModeStateMachineType (8.3.5).
_STATES: dict[State, tuple[tuple[str, int], tuple[str, int] | None]] = {
    "starting": (("Preoperational", 1), None),
    "running": (("Operational", 4), ("ContinuousExecution", 8)),
    "draining": (("Operational", 4), ("ContinuousExecution", 8)),
    "paused": (("Operational", 4), ("Ready", 6)),
    "stopped": (("Halted", 2), None),
}
_T = ua.VariantType
_FIELDS: dict[str, ua.VariantType] = {
    "ResultId": _T.String,
    "HasTransferableDataOnFile": _T.Boolean,
    "IsPartial": _T.Boolean,
    "ResultState": _T.Int32,
    "PartId": _T.String,
    "InternalRecipeId": _T.String,
    "InternalConfigurationId": _T.String,
    "ProductId": _T.String,
    "JobId": _T.String,
    "CreationTime": _T.DateTime,
    "ResultContent": _T.String,
    # Ours, so that a controller need not read JSON:
    "Camera": _T.String,
    "Verdict": _T.String,
    "Action": _T.String,
    "Score": _T.Double,
    "Order": _T.String,
    "Lot": _T.String,
    "Operator": _T.String,
}
_FILTER: tuple[str, ...] = ("MeasId", "PartId", "ExternalRecipeId", "InternalRecipeId", "ExternalConfigurationId")
_FILTER += ("InternalConfigurationId", "ProductId", "JobId")


def result_fields(entry: Entry) -> dict[str, Any]:
    """What `_FIELDS` names, of one entry."""
    record = entry.record
    return {
        "ResultId": entry.message_id,
        "HasTransferableDataOnFile": False,
        "IsPartial": False,
        "ResultState": FAILED if record.verdict == "failsafe" else COMPLETED,
        "PartId": record.part or "",
        "InternalRecipeId": record.recipe,
        "InternalConfigurationId": f"{record.engine}/{record.threshold_version}",
        "ProductId": record.product or "",
        "JobId": str(entry.run),
        "CreationTime": datetime.fromtimestamp(record.decided, timezone.utc),
        "ResultContent": encode(entry).decode(),
        "Camera": record.camera,
        "Verdict": record.verdict,
        "Action": record.action,
        "Score": float("nan") if record.score is None else record.score,
        "Order": record.order or "",
        "Lot": record.lot or "",
        "Operator": record.operator or "",
    }


@dataclass(frozen=True)
class AddressSpace:
    """The nodes that change while the line runs."""

    server: Server
    latest: dict[str, ua.NodeId]
    states: tuple[tuple[ua.NodeId, ua.NodeId], ...]
    """``CurrentState`` and its ``Number``: of the vision state machine and of its automatic mode."""
    events: tuple[Any, ...]

    @classmethod
    async def build(cls, server: Server, system_name: str, journal: Journal, commands: Commands | None) -> AddressSpace:
        """Adds the vision system below Objects."""
        space = await server.register_namespace(NAMESPACE)

        async def kind(base: Node, name: str) -> ua.NodeId:
            return (await base.add_object_type(_node_id(name, space), ua.QualifiedName(name, space))).nodeid

        async def part(parent: Node, name: str, of: ua.NodeId | None = None) -> Node:
            path = f"{parent.nodeid.Identifier}/{name}" if parent.nodeid.NamespaceIndex == space else name
            return await parent.add_object(_node_id(path, space), ua.QualifiedName(name, space), objecttype=of)

        async def variable(parent: Node, name: str, value: Any, of: ua.VariantType) -> Node:
            path = _node_id(f"{parent.nodeid.Identifier}/{name}", space)
            return await parent.add_variable(path, ua.QualifiedName(name, space), value, varianttype=of)

        async def state_machine(parent: Node, name: str, type_name: str) -> tuple[Node, tuple[ua.NodeId, ua.NodeId]]:
            machine = await part(parent, name, await kind(server.nodes.base_object_type, type_name))
            current = await variable(machine, "CurrentState", ua.LocalizedText(""), _T.LocalizedText)
            number = await variable(current, "Number", 0, _T.UInt32)
            return machine, (current.nodeid, number.nodeid)

        base = server.nodes.base_object_type
        system = await part(server.nodes.objects, system_name, await kind(base, "VisionSystemType"))
        machine, state = await state_machine(system, "VisionStateMachine", "VisionStateMachineType")
        _, automatic = await state_machine(machine, "AutomaticModeStateMachine", "VisionAutomaticModeStateMachineType")
        management = await part(system, "ResultManagement", await kind(base, "ResultManagementType"))
        results = await part(management, "Results", await kind(base, "ResultFolderType"))
        shown = await part(results, "Latest")
        latest = {name: (await variable(shown, name, _empty(of), of)).nodeid for name, of in _FIELDS.items()}
        await _add_methods(management, space, journal)
        for name, (method, inputs) in (command_methods(commands) if commands else {}).items():
            await _method(system, space, name, method, inputs, OUTPUTS)
        event = await server.create_custom_event_type(
            space, "ResultReadyEventType", ObjectIds.BaseEventType, list(_FIELDS.items())
        )
        # asyncua sends an event only to those who subscribed at the very node: the system itself, or the server.
        emitters = (system.nodeid, server.nodes.server.nodeid)
        events = tuple([await server.get_event_generator(event, emitter) for emitter in emitters])
        for generator in events:
            generator.event.SourceNode = system.nodeid
            generator.event.SourceName = system_name
        return cls(server, latest, (state, automatic), events)

    async def show(self, entries: Sequence[Entry], events: bool = True) -> None:
        """Fires an event for each result and shows the last one."""
        if not entries:
            return
        for entry in entries if events else ():
            fields = result_fields(entry)
            for generator in self.events:
                for name, value in fields.items():
                    setattr(generator.event, name, value)
                generator.event.Severity = _SEVERITY[entry.record.verdict]
                await generator.trigger(
                    message=f"{entry.record.camera} {entry.record.sequence}: {entry.record.verdict}"
                )
        for name, value in result_fields(entries[-1]).items():
            await self._write(self.latest[name], value, _FIELDS[name])

    async def show_state(self, state: State) -> None:
        """Writes the state machines' current states."""
        for (current, number), shown in zip(self.states, _STATES[state], strict=True):
            name, value = shown or ("", 0)
            await self._write(current, ua.LocalizedText(name, "en"), _T.LocalizedText)
            await self._write(number, value, _T.UInt32)

    async def _write(self, node: ua.NodeId, value: Any, of: ua.VariantType) -> None:
        now = ua.DateTime.now(timezone.utc)
        await self.server.write_attribute_value(
            node, ua.DataValue(ua.Variant(value, of), SourceTimestamp=now, ServerTimestamp=now)
        )


def _empty(of: ua.VariantType) -> Any:
    empty = {_T.Boolean: False, _T.Int32: 0, _T.DateTime: datetime(1970, 1, 1, tzinfo=timezone.utc)}
    return empty.get(of, float("nan") if of == _T.Double else "")


async def _add_methods(management: Node, space: int, journal: Journal) -> None:
    def parse(result_id: str) -> int | None:
        owner, _, number = (result_id or "").rpartition(":")
        return int(number) if owner == journal.id and number.isdecimal() else None

    @uamethod
    async def get_result_by_id(parent: ua.NodeId, result_id: str, timeout: int) -> tuple[Any, ...]:
        found = await asyncio.to_thread(journal.select, "id = ?", (parse(result_id),))
        if not found:
            return ua.Variant(0, _T.UInt32), "", ua.Variant(UNKNOWN_RESULT, _T.Int32)
        return ua.Variant(0, _T.UInt32), encode(found[0]).decode(), ua.Variant(0, _T.Int32)

    @uamethod
    async def get_results_after(parent: ua.NodeId, result_id: str, most: int) -> tuple[Any, ...]:
        position = parse(result_id) if result_id else 0
        if position is None:
            return _strings([]), ua.Variant(UNKNOWN_RESULT, _T.Int32)
        found = await asyncio.to_thread(journal.after, position, min(most or MOST_RESULTS, MOST_RESULTS))
        return _strings(found), ua.Variant(0, _T.Int32)

    @uamethod
    async def get_result_list_filtered(parent: ua.NodeId, state: int, *others: Any) -> tuple[Any, ...]:
        wanted = dict(zip(_FILTER, others, strict=False))
        most, start = others[len(_FILTER)], others[len(_FILTER) + 1]
        condition, values = ["1"], []
        if state:
            condition.append("(verdict = 'failsafe') = ?")
            values.append(state == FAILED)
            condition.append(f"{state in (COMPLETED, FAILED):d}")
        for name, column in (("PartId", "part"), ("InternalRecipeId", "recipe"), ("ProductId", "product")):
            if text := wanted.pop(name):
                condition.append(f"{column} = ?")
                values.append(text)
        if job := wanted.pop("JobId"):
            condition.append("CAST(run AS TEXT) = ?")
            values.append(job)
        if any(wanted.values()):
            return False, ua.Variant(0, _T.UInt32), ua.Variant(0, _T.UInt32), _strings([]), _error(NOT_SUPPORTED)
        most = min(most or MOST_RESULTS, MOST_RESULTS)
        query = f"{' AND '.join(condition)} ORDER BY id DESC LIMIT ? OFFSET ?"
        found = await asyncio.to_thread(journal.select, query, (*values, most + 1, start))
        shown = found[:most]
        return (
            len(found) <= most,
            ua.Variant(len(shown), _T.UInt32),
            ua.Variant(0, _T.UInt32),
            _strings(shown),
            _error(0),
        )

    text, whole, count, handle = _T.String, _T.Int32, _T.UInt32, ("ResultHandle", _T.UInt32)
    await _method(
        management,
        space,
        "GetResultById",
        get_result_by_id,
        [("ResultId", text), ("Timeout", whole)],
        [handle, ("Result", text), ("Error", whole)],
    )
    await _method(
        management,
        space,
        "GetResultListFiltered",
        get_result_list_filtered,
        [
            ("ResultState", whole),
            *((name, text) for name in _FILTER),
            ("MaxResults", count),
            ("StartIndex", count),
            ("Timeout", whole),
        ],
        [("IsComplete", _T.Boolean), ("ResultCount", count), handle, ("ResultList", text), ("Error", whole)],
    )
    await _method(
        management,
        space,
        "GetResultsAfter",
        get_results_after,
        [("ResultId", text), ("MaxResults", count)],
        [("ResultList", text), ("Error", whole)],
    )


async def _method(
    parent: Node,
    space: int,
    name: str,
    call: Any,
    inputs: Sequence[tuple[str, ua.VariantType]],
    outputs: Sequence[tuple[str, ua.VariantType]],
) -> None:
    def argument(name: str, of: ua.VariantType) -> ua.Argument:
        rank = 1 if name == "ResultList" else -1
        return ua.Argument(Name=ua.String(name), DataType=ua.NodeId(ua.Int32(of.value)), ValueRank=ua.Int32(rank))

    await parent.add_method(
        _node_id(f"{parent.nodeid.Identifier}/{name}", space),
        ua.QualifiedName(name, space),
        call,
        [argument(*pair) for pair in inputs],
        [argument(*pair) for pair in outputs],
    )


def _node_id(path: str, space: int) -> ua.NodeId:
    """A string id, the same at every start: clients may keep it."""
    return ua.NodeId(ua.String(path), ua.Int16(space))


def _error(code: int) -> ua.Variant:
    return ua.Variant(code, _T.Int32)


def _strings(entries: Sequence[Entry]) -> ua.Variant:
    return ua.Variant([encode(entry).decode() for entry in entries], _T.String, is_array=True)
