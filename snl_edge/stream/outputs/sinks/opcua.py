"""OPC UA: we are the server; clients read the latest result, get an event for each and fetch what they missed."""

from __future__ import annotations

import asyncio
import concurrent.futures
import hmac
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import Field, model_validator

from ....errors import ConfigError
from ....network.accepting import ListeningSocket
from ....network.addresses import is_loopback, listen
from ....network.connections import Connections
from ....network.credentials import Secret
from ....outside.files import MOST_SECRET, read_bytes
from ...control.commands import Commands
from ...control.interface import State
from ...journal.journal import Journal
from ...records.record import Entry
from .sink_settings import SinkSettings
from .transport import DeliveryError

if TYPE_CHECKING:
    from asyncua.server.server import Server

Security = Literal["none", "sign", "sign_and_encrypt"]
Result = TypeVar("Result")
APPLICATION = "urn:snl-edge:stream"
"""Application URI; the server's certificate must name it as its subject's alternative URI."""
START_S = 60.0
"""Longest start; building the address space takes a second or two on a small board."""
ACTIVATION_S = 10.0
"""A client that has no session by then is disconnected: else it would hold a place for nothing."""
STATE_EVERY_S = 0.5


class OpcUaSink(SinkSettings):
    """Serves verdicts to OPC UA clients, named after OPC 40100-1 (Machine Vision)."""

    type: Literal["opcua"]
    host: str = "127.0.0.1"
    """Address to listen at; 0.0.0.0 is all. Any but this machine's own needs ``users``, ``trusted_clients`` or
    ``anonymous``."""
    port: int = Field(default=4840, ge=1, le=65535)
    """To listen at."""
    system: str = Field(default="VisionSystem", min_length=1)
    """Browse name of the vision system below Objects."""
    certificate: Path | None = None
    """Our application certificate (PEM or DER); its alternative name must hold the URI ``urn:snl-edge:stream``."""
    key: Path | None = None
    """The certificate's private key (PEM, without a password)."""
    security: tuple[Security, ...] = ()
    """What is offered, by Basic256Sha256; if not given, ``sign_and_encrypt`` with a certificate, ``none`` without."""
    users: dict[str, Secret] = Field(default={})
    """User names and passwords; without any, everyone may read. Nobody may write."""
    commands: bool = False
    """Offer the methods ``ChangeRecipe`` and ``SetOrder`` to those who have logged in."""
    trusted_clients: Path | None = None
    """Folder with the certificates (DER) of clients, or of their authorities; without it, any client may connect."""

    anonymous: bool = False
    """Let everyone who reaches ``host`` read the verdicts, without a login; the health page warns of it."""
    clients: int = Field(default=16, ge=1, le=256)
    """Most clients connected at a time, and half as many from one address."""

    @model_validator(mode="after")
    def _secure(self) -> OpcUaSink:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        if self.certificate is None and set(self.security) - {"none"}:
            raise ValueError("security other than none needs certificate and key")
        if self.users and "none" in self.offered:
            raise ValueError(
                "users need certificate and key, and no security none: else passwords cross the network in clear"
            )
        if self.commands and not self.users:
            raise ValueError("commands need users: not everyone may change the recipe, and the audit says who did")
        if self.trusted_clients and "none" in self.offered:
            raise ValueError("trusted_clients needs certificate and key, and no security none: else clients show none")
        if self.anonymous and (self.users or self.trusted_clients):
            raise ValueError("anonymous and users or trusted_clients exclude each other: who may read?")
        if self.open_to_all and not self.anonymous:
            raise ValueError(
                f"anyone on the network could read the verdicts at {self.host}: give users or trusted_clients (both "
                "with certificate and key), listen on 127.0.0.1, or say anonymous: true"
            )
        return self

    @property
    def open_to_all(self) -> bool:
        """Whether others than this machine's programs may read without showing who they are."""
        return not (self.users or self.trusted_clients or is_loopback(self.host))

    @property
    def offered(self) -> tuple[Security, ...]:
        """The security modes in force."""
        return self.security or (("sign_and_encrypt",) if self.certificate else ("none",))


class OpcUaTransport:
    """A server in a thread of its own.

    A result counts as delivered when its events are out and it stands in the address space. A client that was away asks
    for what it missed (``GetResultsAfter``), and the journal answers.
    """

    def __init__(
        self, settings: OpcUaSink, journal: Journal, state: Callable[[], State], commands: Commands | None = None
    ) -> None:
        self._settings = settings
        self._commands = commands if settings.commands else None
        self._journal = journal
        self._state = state
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: Server | None = None
        self._watch: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Builds the address space and listens."""
        self._claim_port()  # first: to build for nothing, at each try, would take seconds of CPU from the line
        self._loop = _Loop(self._settings.clients)
        self._thread = threading.Thread(target=self._loop.run_forever, name="opcua", daemon=True)
        self._thread.start()
        self._call(self._start(), START_S)

    def deliver(self, entries: Sequence[Entry]) -> int:
        """Shows the results, in order."""
        self._call(self._show(entries), self._settings.timeout_s)
        return len(entries)

    def close(self) -> None:
        """Stops listening; clients are disconnected."""
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is None or thread is None:
            return
        try:
            asyncio.run_coroutine_threadsafe(self._end(), loop).result(self._settings.timeout_s)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(self._settings.timeout_s)
            if not thread.is_alive():
                loop.close()

    def _call(self, work: Coroutine[Any, Any, Result], timeout_s: float) -> Result:
        assert self._loop is not None
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)
        except concurrent.futures.TimeoutError as error:
            raise DeliveryError(f"the server did nothing for {timeout_s:g} s") from error

    def _claim_port(self) -> None:
        try:
            listen(self._settings.host, self._settings.port).close()
        except OSError as error:
            raise self._cannot_listen(error) from error

    def _cannot_listen(self, error: OSError) -> DeliveryError:
        address = f"{self._settings.host}:{self._settings.port}"
        return DeliveryError(f"cannot listen at {address}: {error.strerror or error}; is the port in use?")

    async def _start(self) -> None:
        from asyncua.server.server import Server

        from .opcua_model import AddressSpace

        settings = self._settings
        self._server = server = Server(user_manager=_users(settings) if settings.users else None)
        await server.init()
        server.iserver.allow_remote_admin = False
        server.iserver.max_pending_activation_seconds = ACTIVATION_S
        server.set_endpoint(f"opc.tcp://{settings.host}:{settings.port}/snl-edge")
        server.set_server_name("snl-edge")
        await server.set_application_uri(APPLICATION)
        await self._secure(server)
        self._space = await AddressSpace.build(server, settings.system, self._journal, self._commands)
        latest = await asyncio.to_thread(self._journal.select, "1 ORDER BY id DESC LIMIT 1", ())
        await self._space.show(latest, events=False)
        await self._space.show_state(self._state())
        try:
            await server.start()
        except OSError as error:
            raise self._cannot_listen(error) from error
        self._watch = asyncio.create_task(self._watch_state())

    async def _secure(self, server: Server) -> None:
        from asyncua import ua
        from asyncua.crypto.truststore import TrustStore
        from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions

        from .opcua_commands import NotedCaller

        settings = self._settings
        policies = {
            "none": ua.SecurityPolicyType.NoSecurity,
            "sign": ua.SecurityPolicyType.Basic256Sha256_Sign,
            "sign_and_encrypt": ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
        }
        server.set_security_policy([policies[mode] for mode in settings.offered], NotedCaller())
        server.set_identity_tokens([ua.UserNameIdentityToken if settings.users else ua.AnonymousIdentityToken])
        try:
            if settings.certificate is not None and settings.key is not None:
                await server.load_certificate(*_encoded(settings.certificate))
                content, form = _encoded(settings.key)
                await server.load_private_key(content, None, form)
            if settings.trusted_clients is not None:
                store = TrustStore([settings.trusted_clients], [])
                await store.load()
                options = CertificateValidatorOptions.TRUSTED_VALIDATION | CertificateValidatorOptions.PEER_CLIENT
                server.set_certificate_validator(CertificateValidator(options, store))
        except (OSError, ValueError) as error:
            raise ConfigError(
                "cannot use the server's certificate, key or trusted clients", str(error), "give PEM or DER files"
            ) from error

    async def _show(self, entries: Sequence[Entry]) -> None:
        if self._watch is not None and self._watch.done():
            self._watch.result()  # raises what has ended it: the server is then started again
        await self._space.show(entries)

    async def _watch_state(self) -> None:
        while True:
            await asyncio.sleep(STATE_EVERY_S)
            await self._space.show_state(self._state())

    async def _end(self) -> None:
        server, watch = self._server, self._watch
        self._server = self._watch = None
        if watch is not None:
            watch.cancel()
        if server is not None and server.bserver is not None:
            await server.stop()
        left = asyncio.all_tasks() - {asyncio.current_task()}  # asyncua's own, of clients that were still connected
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


class _Loop(asyncio.SelectorEventLoop):
    """An event loop whose servers accept only so many clients; asyncua's own cap comes after accepting."""

    def __init__(self, clients: int) -> None:
        super().__init__()
        self._connections = Connections("opcua", clients, max(1, clients // 2), displace=False)

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        """As asyncio's, for one address."""
        listening = ListeningSocket(listen(host, port), self._connections, None)
        return await super().create_server(protocol_factory, sock=listening, **options)


def _encoded(path: Path) -> tuple[bytes, str]:
    """A file's content, and by its content, not by its name, whether it is PEM."""
    content = read_bytes(path, MOST_SECRET)
    return content, "pem" if b"-----BEGIN" in content else "der"


def _users(settings: OpcUaSink) -> Any:
    """Checks names and passwords, in constant time."""
    from asyncua.crypto.permission_rules import User, UserRole
    from asyncua.server.user_managers import UserManager

    passwords = {name: secret.read() for name, secret in settings.users.items()}

    class Users(UserManager):
        def get_user(
            self, iserver: object, username: str | None = None, password: str | None = None, certificate: object = None
        ) -> User | None:
            expected = passwords.get(username or "", "")
            same = hmac.compare_digest(expected.encode(), (password or "").encode())
            return User(role=UserRole.User, name=username) if expected and same else None

    return Users()
