"""The webhook sink with a real web server."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from certificates import Authority
from journals import fill, record, until

from snl_edge.stream.journal.journal import Journal
from snl_edge.stream.outputs.sinks import Forwarder, WebhookSink, build_sink, forwarding


class Receiver:
    """A web server that notes what it accepts; ``answer(body)`` chooses the status, a negative one means silence."""

    def __init__(self, port: int = 0, context: ssl.SSLContext | None = None) -> None:
        self.got: list[dict] = []
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.answer: Callable[[object], int] = lambda _: 204
        self.headers: dict[str, str] = {}
        self.connections: list[socket.socket] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                receiver.connections.append(self.connection)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append((dict(self.headers), body))
                content = json.loads(body)
                status = receiver.answer(content)
                if status < 0:
                    time.sleep(-status)
                    self.close_connection = True
                    return
                if status < 300:
                    receiver.got.extend(content if isinstance(content, list) else [content])
                self.send_response(status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def ids(self) -> list[str]:
        return [message["message_id"] for message in self.got]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def running(journal: Journal, port: int, scheme: str = "http", **settings: object) -> Forwarder:
    url = f"{scheme}://localhost:{port}/verdicts"
    values = {"type": "webhook", "url": url, "retry_first_s": 0.05, "retry_most_s": 0.2, "timeout_s": 2, **settings}
    sink = build_sink(WebhookSink(**values), journal, lambda: "running")
    sink.start()
    return sink


def test_each_verdict_is_one_signed_request(journal: Journal, receiver: Receiver, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("the key\n")
    (tmp_path / "token").write_text("abc")
    sink = running(
        journal,
        receiver.port,
        signing_key={"file": tmp_path / "key"},
        token={"file": tmp_path / "token"},
        headers={"X-Line": "4"},
    )
    ids = fill(journal, 3)
    assert sink.stop(10)
    assert receiver.ids() == ids
    headers, body = receiver.requests[0]
    assert headers["Idempotency-Key"] == ids[0]
    assert headers["Authorization"] == "Bearer abc"
    assert headers["X-Line"] == "4"
    at, _, mac = headers["X-Snl-Edge-Signature"].removeprefix("t=").partition(",v1=")
    assert mac == hmac.new(b"the key", at.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert abs(int(at) - time.time()) < 60


def test_batches_are_arrays(journal: Journal, receiver: Receiver) -> None:
    sink = running(journal, receiver.port, batch=10)
    ids = fill(journal, 25)
    assert sink.stop(10)
    assert receiver.ids() == ids
    assert all(isinstance(json.loads(body), list) for _, body in receiver.requests)


@pytest.mark.parametrize("status", [500, 503, 429, 404, 401, 302, -3])
def test_what_may_pass_is_tried_until_it_has_passed(journal: Journal, receiver: Receiver, status: int) -> None:
    receiver.answer = lambda _: status
    receiver.headers = {"Location": "http://localhost:1/elsewhere"}
    sink = running(journal, receiver.port, timeout_s=0.3)
    ids = fill(journal, 3)
    sink.wake()
    until(lambda: sink.failures > 1 and sink.backlog == 3)
    assert sink.check().light == "warning"
    assert str(status) in sink.check().text or "Read timed out" in sink.check().text
    receiver.answer = lambda _: 200
    assert sink.stop(20)
    assert receiver.ids() == ids
    assert sink.parked == 0


def test_a_server_that_asks_for_a_pause_gets_it(journal: Journal, receiver: Receiver) -> None:
    receiver.answer, receiver.headers = (lambda _: 429), {"Retry-After": "2"}
    sink = running(journal, receiver.port)
    ids = fill(journal, 1)
    sink.wake()
    until(lambda: sink.failures)
    asked = time.monotonic()
    receiver.answer = lambda _: 200
    until(lambda: sink.delivered)
    assert time.monotonic() - asked > 1.5
    assert sink.stop(5)
    assert receiver.ids() == ids


@pytest.mark.parametrize("batch", [1, 8])
def test_a_message_that_is_refused_for_good_is_parked_and_on_record(
    journal: Journal, receiver: Receiver, batch: int
) -> None:
    def answer(content: object) -> int:
        messages = content if isinstance(content, list) else [content]
        return 422 if any(message["sequence"] in (3, 5) for message in messages) else 200

    receiver.answer = answer
    sink = running(journal, receiver.port, batch=batch)
    ids = fill(journal, 20)
    assert sink.stop(10)
    assert receiver.ids() == [message for index, message in enumerate(ids) if index not in (3, 5)]
    assert (sink.delivered, sink.parked, sink.failures, sink.backlog) == (18, 2, 0, 0)
    notes = journal.audits()
    assert [note.detail["message_id"] for note in notes] == [ids[5], ids[3]]
    assert (notes[0].actor, notes[0].action) == ("sink webhook", "parked")
    assert "422" in str(notes[0].detail["answer"])


def test_a_server_that_refuses_everything_does_not_empty_the_journal(journal: Journal, receiver: Receiver) -> None:
    receiver.answer = lambda _: 400
    sink = running(journal, receiver.port)
    ids = fill(journal, 30)
    sink.wake()
    until(lambda: sink.failures > 1)
    assert sink.parked == forwarding.MOST_POISON
    assert "one after the other" in sink.check().text
    receiver.answer = lambda _: 200
    assert sink.stop(10)
    assert receiver.ids() == ids[forwarding.MOST_POISON :]


def test_a_server_that_was_away_gets_everything_when_it_is_back(journal: Journal, receiver: Receiver) -> None:
    sink = running(journal, receiver.port)
    ids = fill(journal, 2)
    sink.wake()
    until(lambda: receiver.ids() == ids)
    receiver.close()
    late = fill(journal, 5, 2)
    sink.wake()
    until(lambda: sink.failures > 1 and sink.backlog == 5)
    back = Receiver(receiver.port)
    assert sink.stop(10)
    assert back.ids() == late
    back.close()


def test_https_works_with_the_plants_authority_and_not_with_another(journal: Journal, tmp_path: Path) -> None:
    right, wrong = Authority(tmp_path / "right"), Authority(tmp_path / "wrong")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*right.issue("server"))
    secure = Receiver(context=context)
    sink = running(journal, secure.port, "https", tls={"ca": right.ca})
    wary = running(journal, secure.port, "https", name="wary", tls={"ca": wrong.ca})
    ids = fill(journal, 3)
    assert sink.stop(10)
    assert secure.ids() == ids
    until(lambda: wary.failures)
    assert "certificate verify failed" in wary.check().text.lower()
    assert not wary.stop(0.2)
    secure.close()


def test_a_missing_secret_is_a_failure_that_names_it(journal: Journal, receiver: Receiver, tmp_path: Path) -> None:
    sink = running(journal, receiver.port, token={"file": tmp_path / "not there"})
    fill(journal, 1)
    sink.wake()
    until(lambda: sink.failures)
    assert "not there" in sink.check().text
    assert receiver.requests == []
    assert not sink.stop(0.1)


def test_a_receiver_that_takes_less_than_comes_is_told(journal: Journal, receiver: Receiver) -> None:
    def slow(_: object) -> int:
        time.sleep(0.2)
        return 204

    receiver.answer = slow
    sink = running(journal, receiver.port, alarm_after_s=0.5)
    now = time.time()
    journal.append([record(number, decided=now) for number in range(8)])
    sink.wake()
    until(lambda: sink.check().light == "warning")
    assert "s behind: it takes less than the line gives" in sink.check().text
    until(lambda: len(receiver.got) == 8 and sink.check().light == "ok")
    assert sink.stop(10)
