"""The dashboard and the line behind it among clients that mean no good, with real sockets."""

from __future__ import annotations

import http.client
import json
import resource
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the stream extra is not installed")

from certificates import Authority
from dashboard_line import DrawnLine
from journals import until

from snl_edge.dashboard import listener, protocol
from snl_edge.dashboard.events import MOST_OF_ONE, MOST_VIEWERS, EventFeed
from snl_edge.dashboard.live import LiveFeed
from snl_edge.dashboard.server import DashboardServer
from snl_edge.errors import ConfigError
from snl_edge.network.accepting import CountedSocket, ListeningSocket
from snl_edge.network.connections import DISPLACE_PER_S, Connection, Connections
from snl_edge.stream.config.dashboard_settings import DashboardSettings
from snl_edge.stream.journal.journal import Journal

TOKEN = "correct-horse-battery"
HALF = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "


@pytest.fixture
def drawn(tmp_path: Path) -> Iterator[DrawnLine]:
    journal = Journal(tmp_path / "journal")
    line = DrawnLine(journal, size=64)
    line.produce("left", "gear")
    yield line
    journal.close()


@pytest.fixture
def server(drawn: DrawnLine, tmp_path: Path) -> Iterator[DashboardServer]:
    (tmp_path / "token").write_text(TOKEN)
    settings = DashboardSettings(port=0, token_file=tmp_path / "token", connections=24, connections_of_one=12)
    with DashboardServer(drawn, drawn.journal, settings) as running:
        yield running


def ask(port: int, method: str, path: str, body: object = None, source: str = "127.0.0.1", token: str = TOKEN) -> int:
    """The status of the answer; 0 for none."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    content = None if body is None else json.dumps(body)
    try:
        with closing(http.client.HTTPConnection("127.0.0.1", port, 10, source_address=(source, 0))) as connection:
            connection.request(method, path, content, headers)
            return connection.getresponse().status
    except OSError:
        return 0


def machines(port: int, source: str = "127.0.0.1") -> list[int]:
    """What health, metrics and a trigger answer."""
    trigger = ask(port, "POST", "/api/trigger", {"camera": "left"}, source)
    return [ask(port, "GET", "/health", source=source), ask(port, "GET", "/metrics", source=source), trigger]


def slow(port: int, source: str, sent: bytes = HALF) -> socket.socket:
    """A connection that does not finish its request."""
    client = socket.create_connection(("127.0.0.1", port), 10, source_address=(source, 0))
    client.sendall(sent)
    return client


def ended(client: socket.socket, seconds: float) -> float:
    """Seconds until the server ended it; what it sends before does not count."""
    begun = time.monotonic()
    client.settimeout(seconds)
    try:
        while client.recv(65536):
            pass
    except ConnectionError:
        pass
    return time.monotonic() - begun


def test_who_never_finishes_a_request_keeps_nobody_out(server: DashboardServer) -> None:
    with ExitStack() as stack:
        for number in range(150):  # 37 addresses, the honest one among them
            stack.enter_context(slow(server.port, f"127.0.0.{1 + number % 37}"))
        for _ in range(5):
            assert machines(server.port) == [200, 200, 200]
            assert ask(server.port, "GET", "/api/parts") == 200
        (told,) = server.checks()
        assert told.light == "warning"
        assert "turned away" in told.text


def test_one_address_cannot_take_the_places_of_others(server: DashboardServer) -> None:
    with ExitStack() as stack:
        crowd = [stack.enter_context(slow(server.port, "127.0.0.9")) for _ in range(60)]
        other = stack.enter_context(slow(server.port, "127.0.0.8"))
        assert machines(server.port, "127.0.0.9") == [
            200,
            200,
            200,
        ]  # even to its own, who may be behind the same proxy
        other.sendall(b"x\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\nConnection: close\r\n\r\n")
        assert other.recv(12) == b"HTTP/1.1 200"
        assert sum(_is_open(client) for client in crowd) <= 12


def _is_open(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


@pytest.mark.parametrize(
    "sent",
    [
        HALF,
        b"POST /api/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{",
        b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",  # whole; kept, and nothing more is asked
        b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + HALF,
    ],
)
def test_every_wait_for_a_client_ends(
    drawn: DrawnLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    _hurry(monkeypatch)
    (tmp_path / "token").write_text(TOKEN)
    settings = DashboardSettings(port=0, token_file=tmp_path / "token")
    with DashboardServer(drawn, drawn.journal, settings) as server, slow(server.port, "127.0.0.2", sent) as client:
        assert ended(client, 3) < 2.5


def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUEST_S", "WRITE_S", "CLOSE_S"):
        monkeypatch.setattr(protocol, name, 0.3)
    monkeypatch.setattr(listener, "KEEP_ALIVE_S", 1)
    monkeypatch.setattr(listener, "REQUEST_S", 0.3)
    monkeypatch.setattr(protocol, "KEEP_ALIVE_S", 1)


def test_a_handshake_that_stays_out_ends(drawn: DrawnLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _hurry(monkeypatch)
    authority = Authority(tmp_path)
    certificate, key = authority.issue("dashboard")
    settings = DashboardSettings(port=0, certificate=certificate, private_key=key)
    with (
        DashboardServer(drawn, drawn.journal, settings) as server,
        slow(server.port, "127.0.0.2", b"\x16\x03\x01") as client,
    ):
        assert ended(client, 3) < 2.5
        until(lambda: not server.open_connections, 2)


def test_who_takes_nothing_of_an_answer_is_left(drawn: DrawnLine, monkeypatch: pytest.MonkeyPatch) -> None:
    _hurry(monkeypatch)
    with DashboardServer(drawn, drawn.journal, DashboardSettings(port=0)) as server, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.settimeout(0.2)
        with suppress(OSError):
            while True:  # until the server reads no more, as its answers are not taken
                client.sendall(b"GET /static/app.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
        until(lambda: not server.open_connections, 5)


def test_answers_that_last_are_not_cut(drawn: DrawnLine, monkeypatch: pytest.MonkeyPatch) -> None:
    _hurry(monkeypatch)
    with (
        DashboardServer(drawn, drawn.journal, DashboardSettings(port=0)) as server,
        closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as page,
    ):
        page.request("GET", "/api/events")
        stream = page.getresponse()
        begun = time.monotonic()
        while time.monotonic() - begun < 1.2:
            assert stream.readline()


def test_pages_that_others_have_open_keep_no_machine_out(server: DashboardServer) -> None:
    """All answers that there may be at a time are being made, by callers with a token."""
    with ExitStack() as stack:
        for number in range(MOST_VIEWERS + 8):
            page = stack.enter_context(slow(server.port, f"127.0.0.{2 + number // 8}", b""))
            page.sendall(f"GET /api/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
            page.recv(1)
        assert ask(server.port, "GET", "/api/parts") == 503
        assert machines(server.port) == [200, 200, 200]


def test_requests_without_their_body_hold_no_answer(server: DashboardServer) -> None:
    half = b"POST /api/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{"
    with ExitStack() as stack:
        for number in range(20):  # there may be sixteen answers at a time
            stack.enter_context(slow(server.port, f"127.0.0.{2 + number // 10}", half))
        assert ask(server.port, "GET", "/api/parts") == 200
        assert ask(server.port, "POST", "/api/login", {"token": TOKEN}) == 200


def test_one_caller_leaves_viewers_places_to_others(drawn: DrawnLine) -> None:
    feed = EventFeed(drawn, drawn.journal, LiveFeed(drawn, 64, 5), threading.Event())
    with ExitStack() as stack:
        assert all(stack.enter_context(feed.place("10.0.0.1")) for _ in range(MOST_OF_ONE))
        assert not stack.enter_context(feed.place("10.0.0.1"))
        assert all(stack.enter_context(feed.place("10.0.0.2")) for _ in range(MOST_VIEWERS - MOST_OF_ONE))
        assert not stack.enter_context(feed.place("10.0.0.3"))
    with feed.place("10.0.0.3") as there:
        assert there


def test_machines_have_an_address_of_their_own(drawn: DrawnLine, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    settings = DashboardSettings(port=0, token_file=tmp_path / "token", machines={"host": "127.0.0.1", "port": 0})
    with DashboardServer(drawn, drawn.journal, settings) as server:
        port = server.machines_port
        assert port is not None
        assert machines(port) == [200, 200, 200]
        assert [ask(port, "GET", path) for path in ("/", "/login", "/api/parts", "/static/app.js")] == [404] * 4
        assert ask(port, "POST", "/api/pause", {"paused": True}) == 404
        assert not drawn.paused
        assert ask(port, "GET", "/metrics", token="wrong") == 401
        assert ask(port, "GET", "/api/parts", token="wrong") == 401


def test_an_address_for_machines_needs_the_token_too(drawn: DrawnLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SNL_EDGE_DASHBOARD_TOKEN", raising=False)
    settings = DashboardSettings(port=0, machines={"host": "0.0.0.0", "port": 0})
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0 without a token"):
        DashboardServer(drawn, drawn.journal, settings)


def test_who_has_more_than_a_share_gives_way_first_then_who_waits_longest() -> None:
    now = [0.0]
    ended: list[str] = []
    places = Connections("door", 12, 8, clock=lambda: now[0])

    def come(caller: str, asks: bool = False) -> Connection | None:
        now[0] += 0.001
        return places.admit(caller, lambda: ended.append(caller), lambda: asks)

    first = come("old")
    assert first is not None
    many = [come("many") for _ in range(8)]
    assert all(come(f"one {number}") for number in range(3))
    assert come("new")
    assert ended == ["many"]
    assert come("many")
    assert ended == ["many"] * 2
    for one in many:
        assert one is not None
        one.over()
    for number in range(6):
        assert come(f"further {number}")
    first.answered = True
    ended.clear()
    assert come("newest")
    assert ended == ["one 0"]  # the oldest of those who wait; the one being answered stays


def test_a_flood_without_requests_displaces_little_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    places = Connections("door", 4, 4, clock=lambda: now[0])
    for number in range(5000):
        places.admit(f"10.0.{number % 50}.{number % 250}", lambda: None, lambda: False)
    assert places.displaced <= DISPLACE_PER_S
    assert places.refused == 5000 - 4 - places.displaced
    assert len(places) == 4
    assert places.admit("10.1.1.1", lambda: None, lambda: True) is not None  # it asks
    told = places.turned_away()
    assert told is not None
    assert "4,997 connections" in told
    assert caplog.messages == ["door: no room for every connection: 4 are there, 0 of them from 10.0.4.4"]
    now[0] = 61
    assert places.turned_away() is None


def test_places_are_not_displaced_where_clients_stay_for_long() -> None:
    places = Connections("door", 2, 1, displace=False)
    first = places.admit("10.0.0.1", lambda: None, lambda: True)
    assert first is not None
    assert places.admit("10.0.0.1", lambda: None, lambda: True) is None
    assert places.admit("10.0.0.2", lambda: None, lambda: True) is not None
    assert places.admit("10.0.0.3", lambda: None, lambda: True) is None
    first.over()
    first.over()
    assert places.admit("10.0.0.3", lambda: None, lambda: True) is not None


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_who_asks_is_told_from_who_holds_a_place(share: float) -> None:
    hello = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="cabinet").do_handshake()
    places = Connections("door", 9, 9)
    with ListeningSocket(socket.create_server(("127.0.0.1", 0)), places, None) as listening:
        for request in (hello.read(), b"GET /health HTTP/1.1\r\nHost: cabinet\r\n\r\n"):
            with slow(listening.getsockname()[1], "127.0.0.1", request[: int(share * len(request))]):
                accepted, _ = listening.accept()
                with accepted:
                    assert isinstance(accepted, CountedSocket)
                    assert accepted.asks() == (share == 1)


def test_answers_do_not_wait_for_acknowledgements() -> None:
    listening = ListeningSocket(socket.create_server(("127.0.0.1", 0)), Connections("door", 9, 9, displace=False), None)
    with listening, slow(listening.getsockname()[1], "127.0.0.1"):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_hundred_tries_to_accept_without_a_descriptor_are_one() -> None:
    """asyncio tries as often as its backlog is long, and logs each."""
    listening = ListeningSocket(socket.create_server(("127.0.0.1", 0)), Connections("door", 9, 9), 1.0)
    listening.setblocking(False)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with listening, socket.create_connection(listening.getsockname()) as client:
        client.sendall(b"x")
        select.select([listening], [], [], 5)
        resource.setrlimit(resource.RLIMIT_NOFILE, (listening.fileno(), before[1]))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                listening.accept()
            with pytest.raises(BlockingIOError):
                listening.accept()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_an_attacked_line_answers_and_records(tmp_path: Path) -> None:
    """The whole of it, in a process of its own with few descriptors: what `python -m studies.line.attack`
    measures for longer."""
    pytest.importorskip("onnx", reason="the train extra is not installed")
    from studies.line.attack import Attack, attack_line, line_process

    with line_process(tmp_path, descriptors=256, deadline_ms=60_000) as line:
        seen = attack_line(line, Attack(connections=300, addresses=60), seconds=4)
    assert seen["connections_held"] > 200, seen
    assert seen["descriptors_most"] < 200, seen
    for path in ("health", "metrics", "trigger"):
        assert seen[path]["answered"] == seen[path]["asked"] > 3, seen
    assert seen["parts"] > 10, seen
    lost = ("failsafe", "triggers_without_record", "rejects_without_picture", "sink_missed")
    assert [seen[name] for name in lost] == [0, 0, 0, 0], seen
    assert seen["rejects"] > 0, seen
    assert seen["log_bytes"] < 20_000, line.log.read_text()[:5000]
