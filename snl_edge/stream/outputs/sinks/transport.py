"""What a transport is to the forwarding loop: it opens, delivers, closes, and says how a delivery failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ....errors import ConfigError
from ....extras import installed
from ...records.record import Entry


class DeliveryError(Exception):
    """The receiver is away, slow, or does not take what we send now; it is tried again later.

    Args:
        text: what is wrong and what to do, one line.
        confirmed: how many entries, counted from the first, the receiver has confirmed all the same.
        retry_after_s: when the receiver itself asks for a pause.
    """

    def __init__(self, text: str, confirmed: int = 0, retry_after_s: float = 0.0) -> None:
        super().__init__(text)
        self.confirmed = confirmed
        self.retry_after_s = retry_after_s


class PoisonError(Exception):
    """The receiver is well but refuses this one message for what it says; trying again would not help.

    Args:
        text: the receiver's answer.
        confirmed: how many entries before the refused one it has confirmed.
    """

    def __init__(self, text: str, confirmed: int) -> None:
        super().__init__(text)
        self.confirmed = confirmed


class Transport(Protocol):
    """One way out. Only the forwarding thread calls it, one call at a time."""

    def open(self) -> None:
        """Connects. Raises `DeliveryError`; what was half opened is closed by `close`."""
        ...

    def deliver(self, entries: Sequence[Entry]) -> int:
        """Hands entries over, in order, and returns how many, from the first, the receiver has confirmed: one or more.

        Without entries it only looks whether the connection still stands.

        Raises:
            DeliveryError: the receiver is away or does not confirm.
            PoisonError: one of them is refused for good.
        """
        ...

    def close(self) -> None:
        """Disconnects; also after a failed `open`, and a second time."""
        ...


def require(module: str, extra: str, what: str) -> None:
    """Refuses early what would fail at every try.

    Raises:
        ConfigError: ``module`` is not installed.
    """
    if not installed(module):
        raise ConfigError(
            f"{what} needs the package {module}", "it is not installed", f"install it: pip install 'snl-edge[{extra}]'"
        )
