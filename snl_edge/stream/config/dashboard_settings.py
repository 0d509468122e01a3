"""Settings of the dashboard, as they stand in the line's file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...errors import ConfigError
from ...network.addresses import is_loopback
from ...outside.files import MOST_SECRET, read_text, reason

Role = Literal["machine", "viewer", "operator", "engineer"]
SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class Access:
    """One token, and what it is good for."""

    token: str
    name: str | None = None
    """Whose it is; None for the one that several share, who may give a name when they log in."""
    role: Role = "engineer"


class MachinesSettings(BaseModel):
    """An address for machines alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(description="Address to listen on: that of the network of controllers and monitoring.")
    port: int = Field(8081, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")


class TokenSettings(BaseModel):
    """A token of somebody's own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=40, description="Whose it is, as the list of changes shows it.")
    role: Role = Field(
        description="`machine` triggers and reads metrics, `viewer` reads, `operator` also pauses, tests, sets order "
        "and recipe and acknowledges, `engineer` does everything."
    )
    file: Path = Field(description="File that holds the token.")


class DashboardSettings(BaseModel):
    """The web page that the streaming process serves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on; any but this machine's own needs a token.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    machines: MachinesSettings | None = Field(
        None,
        description="A second address, for `/health`, `/metrics` and `/api/trigger` alone; it has its own connections.",
    )
    token_file: Path | None = Field(None, description="File that holds the token for everything.")
    token_variable: str = Field(
        "SNL_EDGE_DASHBOARD_TOKEN", description="Environment variable with the token, read if there is no token file."
    )
    tokens: tuple[TokenSettings, ...] = Field((), description="Tokens of people and machines, with a role each.")
    certificate: Path | None = Field(None, description="TLS certificate chain (PEM); the page is https then.")
    private_key: Path | None = Field(None, description="The certificate's private key (PEM).")
    session_days: float = Field(30, gt=0, le=365, description="Days until a browser has to log in again.")
    open_metrics: bool = Field(False, description="Serve /metrics without the token.")
    bundles: Path | None = Field(None, description="Folder of bundles that the recipe may be changed to.")
    connections: int = Field(
        96, ge=16, le=1024, description="Most connections at a time; a third of them is kept for those who come new."
    )
    connections_of_one: int = Field(
        24, ge=8, le=1024, description="Most of them from one address; behind a proxy all callers share one."
    )
    live_width: int = Field(640, ge=64, le=1920, description="Largest width of the live picture, in pixels.")
    live_rate: float = Field(5, gt=0, le=30, description="Live pictures a second and camera, at most.")
    stale_seconds: float = Field(10, gt=0, description="A picture older than this is shown as old.")

    @model_validator(mode="after")
    def _fits(self) -> DashboardSettings:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key go together")
        if self.connections_of_one > self.connections:
            raise ValueError("connections_of_one is more than connections")
        names = [one.name.casefold() for one in self.tokens]
        if len(set(names)) < len(names):
            raise ValueError("two tokens have the same name")
        return self

    def access(self) -> tuple[Access, ...]:
        """Every token in force; none where the page is for this machine alone and asks for none.

        Raises:
            ConfigError: a token cannot be read or is too short, two are the same, or there is none and others could
                connect.
        """
        shared = self._shared()
        found = [] if shared is None else [Access(shared, None, "engineer")]
        found += [Access(_usable(_read(one.file), str(one.file)), one.name, one.role) for one in self.tokens]
        if len({one.token for one in found}) < len(found):
            raise ConfigError(
                "two of the dashboard's tokens are the same",
                "who sends it could not be told",
                "make another: openssl rand -hex 16",
            )
        return tuple(found)

    def _shared(self) -> str | None:
        if self.token_file is not None:
            return _usable(_read(self.token_file), str(self.token_file))
        source = f"${self.token_variable}"
        token = os.environ.get(self.token_variable, "").strip()
        if token:
            return _usable(token, source)
        hosts = [self.host] if self.machines is None else [self.host, self.machines.host]
        reachable = [host for host in hosts if not is_loopback(host)]
        if reachable and not self.tokens:
            raise ConfigError(
                f"the dashboard would listen on {reachable[0]} without a token",
                "anyone in the network could change thresholds",
                f"set token_file or {source} (openssl rand -hex 16), or listen on 127.0.0.1",
            )
        return None


def _read(file: Path) -> str:
    try:
        return read_text(file, MOST_SECRET).strip()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot read the dashboard's token from {file}", reason(error), "write one: openssl rand -hex 16"
        ) from error


def _usable(token: str, source: str) -> str:
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise ConfigError(
            f"the dashboard's token in {source} is not usable",
            f"it needs {SHORTEST_TOKEN} or more ASCII characters",
            "make one: openssl rand -hex 16",
        )
    return token
