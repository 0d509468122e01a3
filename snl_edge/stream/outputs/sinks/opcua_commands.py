"""Methods by which an OPC UA client changes recipe and order, and who it is that calls."""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import Awaitable, Callable
from typing import Any

from asyncua import ua
from asyncua.common.methods import uamethod
from asyncua.crypto.permission_rules import SimpleRoleRuleset, User

from ....outside.json_text import parse_json
from ...control.commands import CommandName, Commands

Method = Callable[..., Awaitable[tuple[Any, ...]]]
_T = ua.VariantType
_ORDER = [("Order", _T.String), ("Lot", _T.String), ("Operator", _T.String), ("Fields", _T.String)]
OUTPUTS = [("Accepted", _T.Boolean), ("Answer", _T.String)]
_caller: contextvars.ContextVar[str] = contextvars.ContextVar("opcua caller", default="")


class NotedCaller(SimpleRoleRuleset):
    """asyncua's own rules; they are asked in the task that then runs the method, which is not told who called."""

    def check_validity(self, user: User, action_type_id: ua.NodeId, body: Any) -> bool:
        """Whether the user may do that."""
        _caller.set(user.name or "")
        return super().check_validity(user, action_type_id, body)


def command_methods(commands: Commands) -> dict[str, tuple[Method, list[tuple[str, ua.VariantType]]]]:
    """By name, the methods with their arguments; an empty text is one that was not given."""

    async def carry_out(name: CommandName, **given: str) -> tuple[Any, ...]:
        fields = given.pop("fields")
        content: dict[str, Any] = {key: text for key, text in given.items() if text}
        try:
            content["fields"] = parse_json(fields or "{}")
        except ValueError:
            content["fields"] = fields  # refused in the words of the command's own check
        caller = _caller.get()
        # In a thread: a bundle takes its time to load, and other clients must be served meanwhile.
        answer = await asyncio.to_thread(
            commands.answer, name, json.dumps(content).encode(), f"{caller} (opcua)" if caller else "opcua"
        )
        return ua.Variant(answer["accepted"], _T.Boolean), json.dumps(answer)

    @uamethod
    async def change_recipe(
        parent: ua.NodeId, folder: str, order: str, lot: str, operator: str, fields: str
    ) -> tuple[Any, ...]:
        return await carry_out("recipe", folder=folder, order=order, lot=lot, operator=operator, fields=fields)

    @uamethod
    async def set_order(parent: ua.NodeId, order: str, lot: str, operator: str, fields: str) -> tuple[Any, ...]:
        return await carry_out("order", order=order, lot=lot, operator=operator, fields=fields)

    return {"ChangeRecipe": (change_recipe, [("Folder", _T.String), *_ORDER]), "SetOrder": (set_order, _ORDER)}
