"""Failures to order, as TensorRT has them: a call that returns null or false and logs, or raises."""

from __future__ import annotations

import os
from typing import Any

_orders: dict[str, list[tuple[int, str]]] = {}
_calls: dict[str, int] = {}


def arm(call: str, nth: int, how: str) -> None:
    """The nth call from now of, say, ``execute_async_v3`` fails: ``refuse`` (null or false) or ``raise``."""
    _orders.setdefault(call, []).append((_calls.get(call, 0) + nth, how))


def disarm() -> None:
    """No call fails from now on."""
    _orders.clear()


def due(logger: Any, call: str) -> bool:
    """Whether this call must refuse; it has logged why."""
    _calls[call] = _calls.get(call, 0) + 1
    for nth, how in _orders.get(call, []):
        if nth == _calls[call]:
            if how == "raise":
                raise RuntimeError(f"{call} was told to raise")
            logger.log(logger.ERROR, f"{call} was told to fail")
            return True
    return False


# STANDIN_TENSORRT_FAIL="execute_async_v3:3:refuse,deserialize_cuda_engine:1:raise"
for order in filter(None, os.environ.get("STANDIN_TENSORRT_FAIL", "").split(",")):
    name, number, outcome = order.split(":")
    arm(name, int(number), outcome)
