"""Slow connections and wrong tokens against a dashboard on this machine, from a process of their own."""

from __future__ import annotations

import asyncio
import resource
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Attack:
    """Who attacks, and how."""

    connections: int = 1200
    """Connections that never finish their request, held at once; each is opened again as soon as it is closed."""
    addresses: int = 200
    """Addresses of this machine that they come from, that of the honest client among them."""
    wrong_tokens: float = 20.0
    """Requests a second with a wrong token, from the honest client's address."""


def attack_forever(port: int, attack: Attack, opened: Any, most_held: Any) -> None:
    """The attacker's process, which is killed at the end.

    Args:
        port: of the dashboard, on 127.0.0.1.
        attack: how many connections, and from where.
        opened: shared integer: connections opened so far.
        most_held: shared integer: the most that were open at once.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(_attack_all(port, attack, opened, most_held))


async def _attack_all(port: int, attack: Attack, opened: Any, most_held: Any) -> None:
    held = 0

    async def slow(number: int) -> None:
        nonlocal held
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, local_addr=(f"127.0.0.{1 + number % attack.addresses}", 0)
                )
                opened.value += 1
                held += 1
                most_held.value = max(most_held.value, held)
                try:
                    writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
                    await _dribble(reader, writer)
                finally:
                    held -= 1
                    writer.close()
            await asyncio.sleep(1.0)

    async def guess() -> None:
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer wrong\r\n\r\n")
                writer.close()
            await asyncio.sleep(1 / attack.wrong_tokens)

    await asyncio.gather(guess(), *(slow(number) for number in range(attack.connections)))


async def _dribble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A byte of a header every few seconds, until the server ends it."""
    while True:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(reader.read(1), 3.0)
            return
        writer.write(b"x")
        await writer.drain()
