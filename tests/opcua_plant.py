"""What a plant does with the line's OPC UA server."""

from __future__ import annotations

import json
from typing import Any

from asyncua import Client, ua

from snl_edge.stream.outputs.sinks.opcua_model import NAMESPACE


class Plant:
    """A client that browses by the companion specification's names."""

    def __init__(self, port: int) -> None:
        self.client = Client(f"opc.tcp://127.0.0.1:{port}/snl-edge")
        self.events: list[Any] = []

    async def __aenter__(self) -> Plant:
        await self.client.connect()
        self._space = await self.client.get_namespace_index(NAMESPACE)
        self.system = await self._below(self.client.nodes.objects, "VisionSystem")
        self.results = await self._below(self.system, "ResultManagement")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.disconnect()

    async def _below(self, node: Any, *names: str) -> Any:
        return await node.get_child([f"{self._space}:{name}" for name in names])

    async def latest(self, field: str) -> Any:
        return await (await self._below(self.results, "Results", "Latest", field)).read_value()

    async def state(self, *machine: str) -> str:
        node = await self._below(self.system, "VisionStateMachine", *machine, "CurrentState")
        return (await node.read_value()).Text

    async def listen(self, node: Any = None) -> None:
        kind = await self.client.nodes.base_event_type.get_child(f"{self._space}:ResultReadyEventType")
        subscription = await self.client.create_subscription(20, self)
        await subscription.subscribe_events(node or self.system, kind)

    def event_notification(self, event: Any) -> None:
        self.events.append(event)

    async def call(self, name: str, *arguments: Any) -> Any:
        return await self.results.call_method(f"{self._space}:{name}", *arguments)

    async def filtered(self, most: int = 0, start: int = 0, state: int = 0, **only: str) -> Any:
        names = ["MeasId", "PartId", "ExternalRecipeId", "InternalRecipeId", "ExternalConfigurationId"]
        names += ["InternalConfigurationId", "ProductId", "JobId"]
        counts = [ua.Variant(number, ua.VariantType.UInt32) for number in (most, start)]
        whole = [ua.Variant(number, ua.VariantType.Int32) for number in (state, 0)]
        return await self.call(
            "GetResultListFiltered", whole[0], *(only.get(name, "") for name in names), *counts, whole[1]
        )

    async def after(self, result_id: str, most: int = 0) -> tuple[list[dict], int]:
        found, error = await self.call("GetResultsAfter", result_id, ua.Variant(most, ua.VariantType.UInt32))
        return [json.loads(text) for text in found or []], error
