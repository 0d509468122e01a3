"""The dashboard's server as programs meet it: a real server over a real journal and a small real line."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the stream extra is not installed")

from contract_graph import write_contract_bundle
from dashboard_line import NAME, USUAL, DrawnLine, fill
from prometheus_client import CollectorRegistry, Counter

from snl_edge.dashboard import queries
from snl_edge.dashboard.auth import MOST_CALLERS, Actor, FailureLimit, Gate, TooManyTriesError
from snl_edge.dashboard.events import MOST_VIEWERS
from snl_edge.dashboard.server import DashboardServer
from snl_edge.errors import BusyError, ConfigError, DataError
from snl_edge.network.connections import caller_of
from snl_edge.stream.config.dashboard_settings import Access, DashboardSettings
from snl_edge.stream.control.interface import Check
from snl_edge.stream.journal.journal import Journal

# The name of SVG's language, and an example in a comment: neither is fetched.
ALLOWED = ("http://www.w3.org", "https://cabinet")
NAN = b'{"value": NaN, "product": null}'
TOKEN = "correct-horse-battery"


class Client:
    """Sends requests as they are: no path is tidied up on the way."""

    def __init__(self, server: DashboardServer, **headers: str) -> None:
        self.port, self.headers = server.port, headers

    def __call__(
        self, path: str, body: object = None, method: str | None = None, **headers: str
    ) -> tuple[int, Any, http.client.HTTPMessage]:
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        content = None
        if body is not None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request(method or ("GET" if body is None else "POST"), path, content, sent)
            answer = connection.getresponse()
            data = answer.read()
        if answer.headers.get_content_type() == "application/json":
            data = json.loads(data)
        return answer.status, data, answer.headers


@pytest.fixture
def drawn(tmp_path: Path) -> Iterator[DrawnLine]:
    """A line with a few parts, to be changed."""
    journal = Journal(tmp_path / "journal")
    line = DrawnLine(journal, size=64)
    line.produce("left", "gear")
    line.produce("right", "hex_nut")
    yield line
    journal.close()


@pytest.fixture
def server(drawn: DrawnLine, tmp_path: Path) -> Iterator[DashboardServer]:
    (tmp_path / "token").write_text(TOKEN + "\n")
    registry = CollectorRegistry()
    Counter("parts", "Parts judged", registry=registry).inc(56)
    settings = DashboardSettings(
        port=0, token_file=tmp_path / "token", bundles=tmp_path / "bundles", live_rate=30, live_width=64
    )
    with DashboardServer(drawn, drawn.journal, settings, registry) as running:
        yield running


@pytest.fixture
def ask(server: DashboardServer) -> Client:
    return Client(server, Authorization=f"Bearer {TOKEN}")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrawnLine]:
    """A line with every kind of part in its journal, to be looked at only."""
    journal = Journal(tmp_path_factory.mktemp("filled") / "journal")
    line = DrawnLine(journal, size=64)
    fill(line, 54, strangers=1, lost=2)
    yield line
    journal.close()


@pytest.fixture(scope="module")
def look(filled: DrawnLine) -> Iterator[Client]:
    with DashboardServer(filled, filled.journal, DashboardSettings(port=0, token_variable="UNSET")) as running:
        yield Client(running)


# Who may come in


def test_everything_needs_the_token(server: DashboardServer, drawn: DrawnLine) -> None:
    stranger = Client(server)
    reading = ["session", "events", "parts", "parts/1/image", "live/left/1", "scores", "audit", "recipes"]
    reading += ["report", "report.html", "records.csv"]
    for path in (*(f"/api/{name}" for name in reading), "/metrics", "/docs", "/openapi.json", "/nothing"):
        assert stranger(path)[0] == 401, path
    assert stranger("/api/session", Authorization="Bearer not-the-right-token")[0] == 401
    body = {"paused": True, "shadow": True, "value": 1, "product": None}
    for name in ("threshold", "pause", "shadow", "recipe", "self-test", "logout"):
        assert stranger(f"/api/{name}", body)[0] == 401, name
    assert not drawn.paused
    assert not drawn.journal.audits()


def test_generated_api_pages_do_not_exist(look: Client) -> None:
    assert [look(path)[0] for path in ("/docs", "/redoc", "/openapi.json")] == [404] * 3


def test_the_api_describes_itself(look: Client, server: DashboardServer) -> None:
    status, found, _ = look("/api/openapi.json")
    assert status == 200
    assert found["openapi"].startswith("3.")
    written = (Path(__file__).parents[2] / "docs" / "dashboard.md").read_text(encoding="utf-8")
    for path in found["paths"]:  # nothing is undocumented for people
        assert path.partition("/{")[0] in written, path
    operations = {(method, path): one for path, methods in found["paths"].items() for method, one in methods.items()}
    assert all(one["description"] for one in operations.values())
    pause, health = operations["post", "/api/pause"], operations["get", "/health"]
    assert "For: operator, engineer." in pause["description"]
    assert pause["security"] == [{"token": []}]
    assert "security" not in health
    assert {"401", "403"} <= set(pause["responses"])
    assert "image/jpeg" in operations["get", "/api/parts/{entry_id}/{kind}"]["responses"]["200"]["content"]
    assert "text/event-stream" in operations["get", "/api/events"]["responses"]["200"]["content"]
    assert Client(server)("/api/openapi.json")[0] == 401


def test_page_without_session_leads_to_login(server: DashboardServer) -> None:
    status, _, headers = Client(server)("/")
    assert (status, headers["Location"]) == (303, "/login")
    assert Client(server)("/login")[0] == 200


def test_login_gives_a_session_that_names_the_actor(server: DashboardServer, drawn: DrawnLine) -> None:
    status, _, headers = Client(server)("/api/login", {"token": TOKEN, "name": " M. Huber\n "})
    assert status == 200
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    inside = Client(server, Cookie=cookie.partition(";")[0])
    assert inside("/")[0] == 200
    assert inside("/api/shadow", {"shadow": True})[0] == 200
    assert drawn.shadow
    assert drawn.journal.audits()[0].actor == "M. Huber (127.0.0.1)"


def test_changed_cookie_is_refused(server: DashboardServer) -> None:
    cookie = Client(server)("/api/login", {"token": TOKEN, "name": "x"})[2]["Set-Cookie"].partition(";")[0]
    name, _, value = cookie.partition("=")
    payload, _, signature = value.partition(".")
    other = Gate([Access("another-token-of-length")], 60).login("another-token-of-length", "x", "a")
    for forged in (payload, f"{payload}.", f"{payload[:-2]}A=.{signature}", f"{payload}.{'0' * 64}", other, "é.é", '"'):
        assert Client(server, Cookie=f"{name}={forged}".encode().decode("latin1"))("/api/session")[0] == 401


def test_session_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate([Access(TOKEN)], session_seconds=100)
    cookie = gate.login(TOKEN, "", "a")
    assert gate.actor(cookie, None, "a") == Actor("dashboard (a)", "engineer")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 101)
    assert gate.actor(cookie, None, "a") is None


def test_wrong_tokens_are_throttled_and_never_the_right_one(server: DashboardServer) -> None:
    guess = Client(server)
    assert [guess("/api/login", {"token": f"guess {i}"})[0] for i in range(5)] == [401] * 5
    status, _, headers = guess("/api/login", {"token": "guess 6"})
    assert status == 429
    assert 0 < int(headers["Retry-After"]) <= 61
    assert guess("/metrics", Authorization="Bearer wrong")[0] == 429
    # From the same address, as behind a proxy: whoever has the token must not suffer for those who have not.
    assert guess("/api/login", {"token": TOKEN})[0] == 200
    assert guess("/metrics", Authorization=f"Bearer {TOKEN}")[0] == 200


def test_wrong_tokens_count_for_their_caller_alone_and_for_a_while() -> None:
    now = [0.0]
    limit = FailureLimit(tries=2, window=60, clock=lambda: now[0])
    limit.failed("a")
    limit.failed("a")
    with pytest.raises(TooManyTriesError) as waited:
        limit.failed("a")
    assert waited.value.seconds == 60
    limit.failed("b")
    now[0] = 61
    limit.failed("a")
    for number in range(MOST_CALLERS + 5):
        limit.failed(f"many {number}")
    assert len(limit._failures) == MOST_CALLERS


def test_addresses_of_one_network_are_one_caller() -> None:
    assert caller_of("10.0.0.7") == caller_of("::ffff:10.0.0.7") == "10.0.0.7"
    assert caller_of("2001:db8::1") == caller_of("2001:db8::ffff:2%eth0") == "2001:db8::/64"
    assert caller_of("::1") != caller_of("::2")
    assert caller_of("unknown") == "unknown"


def test_other_sites_cannot_change_anything(ask: Client, drawn: DrawnLine) -> None:
    body = json.dumps({"paused": True}).encode()
    assert ask("/api/pause", body, Content_Type="text/plain")[0] == 415
    assert ask("/api/pause", body, Content_Type="application/x-www-form-urlencoded")[0] == 415
    for origin in ("http://elsewhere.example", "null", "", "http://["):
        assert ask("/api/pause", body, Origin=origin)[0] == 403
    assert not drawn.paused
    assert ask("/api/pause", body, Origin=f"http://127.0.0.1:{ask.port}")[0] == 200
    assert drawn.paused


def test_large_bodies_are_refused_unread(server: DashboardServer) -> None:
    assert (
        Client(server)("/api/login", method="POST", Content_Length="999999999", Content_Type="application/json")[0]
        == 413
    )
    assert (
        Client(server)("/api/login", method="POST", Transfer_Encoding="chunked", Content_Type="application/json")[0]
        == 413
    )


def test_every_answer_carries_strict_headers(look: Client) -> None:
    for path in ("/", "/login", "/health", "/api/parts", "/nothing"):
        headers = look(path)[2]
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert "Server" not in headers


def test_page_asks_for_nothing_outside(look: Client) -> None:
    names = ["index.html", "login.html", "style.css", "app.js", "live.js", "scores.js", "parts.js", "icon.svg"]
    for name in names:
        status, content, headers = look(f"/static/{name}")
        text = content.decode()
        assert status == 200
        assert not [address for address in re.findall(r"https?://[\w.]+", text) if address not in ALLOWED]
        assert look(f"/static/{name}", If_None_Match=headers["ETag"])[0] == 304


# Without a token


def test_without_token_only_for_this_machine(drawn: DrawnLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SNL_EDGE_DASHBOARD_TOKEN", raising=False)
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0 without a token"):
        DashboardServer(drawn, drawn.journal, DashboardSettings(host="0.0.0.0", port=0))
    with DashboardServer(drawn, drawn.journal, DashboardSettings(port=0)) as server:
        assert Client(server)("/api/session")[0] == 200
        # A foreign name that was made to resolve to 127.0.0.1.
        for host in ("evil.example:8080", "[", "127.0.0.1.evil.example", ""):
            assert Client(server)("/api/session", Host=host)[0] == 403


def test_token_from_the_environment(drawn: DrawnLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNL_EDGE_DASHBOARD_TOKEN", TOKEN)
    with DashboardServer(drawn, drawn.journal, DashboardSettings(port=0)) as server:
        assert Client(server)("/api/session")[0] == 401
        assert Client(server, Authorization=f"Bearer {TOKEN}")("/api/session")[0] == 200


@pytest.mark.parametrize("content", ["", "short", "sixteen letters\u00e4"])
def test_unusable_token_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match="16 or more ASCII"):
        DashboardSettings(token_file=tmp_path / "token").access()
    with pytest.raises(ConfigError, match="cannot read"):
        DashboardSettings(token_file=tmp_path / "missing").access()


def test_port_in_use_is_one_clear_error(server: DashboardServer, drawn: DrawnLine) -> None:
    with pytest.raises(ConfigError, match=f"port {server.port}"):
        DashboardServer(drawn, drawn.journal, DashboardSettings(port=server.port))


def test_serves_tls(drawn: DrawnLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    monkeypatch.setenv("SNL_EDGE_DASHBOARD_TOKEN", TOKEN)
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    name = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *options.split(), *name], check=True, capture_output=True)
    settings = DashboardSettings(port=0, certificate=certificate, private_key=key)
    with DashboardServer(drawn, drawn.journal, settings) as server:
        context = ssl.create_default_context(cafile=certificate)
        with closing(http.client.HTTPSConnection("127.0.0.1", server.port, context=context)) as connection:
            body = json.dumps({"token": TOKEN})
            connection.request("POST", "/api/login", body, {"Content-Type": "application/json"})
            assert "Secure" in connection.getresponse().headers["Set-Cookie"]
    key.write_text("no key")
    with pytest.raises(ConfigError, match="certificate"):
        DashboardServer(drawn, drawn.journal, settings)


# What it shows


def test_health_tells_no_detail(server: DashboardServer, drawn: DrawnLine) -> None:
    assert Client(server)("/health")[:2] == (200, {"status": "ok"})
    drawn.checks = (Check("engine", "failed", "secret detail"),)
    assert Client(server)("/health")[:2] == (503, {"status": "failed"})
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)) as connection:
        connection.request("HEAD", "/health")
        assert connection.getresponse().status == 503


def test_metrics_behind_the_token_or_open(ask: Client, drawn: DrawnLine) -> None:
    assert b"parts_total 56.0" in ask("/metrics")[1]
    settings = DashboardSettings(port=0, open_metrics=True)
    with DashboardServer(drawn, drawn.journal, settings, CollectorRegistry()) as server:
        assert Client(server)("/metrics")[0] == 200


def test_gallery_filters(look: Client, filled: DrawnLine) -> None:
    kinds = {verdict: look(f"/api/parts?verdict={verdict}&limit=100")[1]["parts"] for verdict in queries.VERDICTS}
    counted = filled.status().counts
    assert {kind: len(found) for kind, found in kinds.items()} == counted
    assert all(part["verdict"] == kind for kind, found in kinds.items() for part in found)
    assert all(counted.values())
    # What to look at comes first: all but the good ones, newest first.
    usual = [part["id"] for part in look("/api/parts?limit=100")[1]["parts"]]
    assert usual == sorted(usual, reverse=True)
    assert len(usual) == sum(counted.values()) - counted["good"]
    gears = look("/api/parts?product=gear&verdict=reject&verdict=good&limit=100")[1]["parts"]
    assert {part["product"] for part in gears} == {"gear"}
    assert {part["camera"] for part in look("/api/parts?camera=left")[1]["parts"]} == {"left"}
    one = kinds["reject"][0]
    assert [part["id"] for part in look(f"/api/parts?part={one['part']}")[1]["parts"]] == [one["id"]]
    since, until = one["captured"], one["captured"] + 0.001
    between = look(f"/api/parts?since={since}&until={until}&verdict=reject&verdict=good")[1]["parts"]
    assert [part["id"] for part in between] == [one["id"]]
    assert look(f"/api/parts?score_above={one['score']}&score_to={one['score']}")[1]["parts"] == []
    hostile = look("/api/parts?product=" + quote("gear' OR 1=1 --"))
    assert hostile[:2] == (200, {"parts": [], "more": False})


def test_gallery_pages_without_gap_or_repeat(look: Client) -> None:
    whole = [part["id"] for part in look("/api/parts?limit=100&verdict=reject&verdict=good")[1]["parts"]]
    paged: list[int] = []
    more = True
    while more:
        before = f"&before={paged[-1]}" if paged else ""
        answer = look(f"/api/parts?limit=7&verdict=reject&verdict=good{before}")[1]
        paged += [part["id"] for part in answer["parts"]]
        more = answer["more"]
    assert paged == whole


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "verdict=fine", "before=-1", "before=1e99", "since=x", "since=nan", "until=inf"]
)
def test_malformed_queries_are_refused(look: Client, query: str) -> None:
    status, answer, _ = look(f"/api/parts?{query}")
    assert status == 422
    assert all(answer.values())


def test_a_misspelt_filter_is_refused(look: Client) -> None:
    for path in ("parts?verdct=good", "scores?produkt=gear", "audit?last=3"):
        status, answer, _ = look(f"/api/{path}")
        assert status == 400
        assert path.partition("?")[2].partition("=")[0] in answer["what"]
        assert "limit" in answer["why"] or "product" in answer["why"]


def test_good_parts_are_listed_where_asked_for(look: Client) -> None:
    shown = {part["verdict"] for part in look("/api/parts?limit=100")[1]["parts"]}
    assert shown == {"reject", "unknown", "failsafe"}
    assert {part["verdict"] for part in look("/api/parts?verdict=good")[1]["parts"]} == {"good"}


def test_long_search_is_broken_off(drawn: DrawnLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "LONGEST_QUERY", -1.0)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"
    with pytest.raises(DataError, match="too long"), queries.limited(drawn.journal) as connection:
        connection.execute(endless).fetchall()


def test_pictures_of_a_part(look: Client) -> None:
    reject = look("/api/parts?verdict=reject")[1]["parts"][0]
    for kind in ("image", "heatmap"):
        status, content, headers = look(f"/api/parts/{reject['id']}/{kind}?size=small")
        assert status == 200
        assert headers["Content-Type"] == "image/jpeg"
        assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).shape == (64, 64, 3)
    good = look("/api/parts?verdict=good")[1]["parts"][0]
    assert look(f"/api/parts/{good['id']}/image")[0] == 404
    assert not {"image", "heatmap"} - {key for key, value in reject.items() if value is True}


def test_no_path_leads_out_of_the_journal(ask: Client, drawn: DrawnLine, tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    cv2.imwrite(str(outside), np.zeros((8, 8, 3), np.uint8))
    (drawn.journal.folder / "link.png").symlink_to(outside)
    entry = drawn.journal.after(0, 1)[0]
    names = ["../outside.png", str(outside), "link.png", "journal.sqlite", "pictures", "pictures/../../outside.png"]
    records = [replace(entry.record, sequence=9000 + i, image=name) for i, name in enumerate(names)]
    for number in drawn.journal.append(records):
        assert ask(f"/api/parts/{number}/image")[0] == 404
    for path in ("../journal.sqlite", "..%2fjournal.sqlite", "%2e%2e/%2e%2e/settings.py", "..\\settings.py", "%00"):
        for start in ("/static/", "/api/parts/", "/api/parts/1/", "/api/live/left/"):
            assert ask(f"{start}{path}")[0] in (404, 422)


def test_live_picture_belongs_to_its_verdict(ask: Client, drawn: DrawnLine) -> None:
    events = _events(ask, 3)
    parts = {content["camera"]: content for kind, content in events if kind == "part"}
    assert set(parts) == {"left", "right"}
    shown = parts["left"]
    plain = ask(f"/api/live/left/{shown['id']}?heatmap=false")
    assert plain[0] == 200
    assert plain[2]["Content-Type"] == "image/jpeg"
    time.sleep(0.1)
    reject = drawn.produce("left", "gear", "missing_tooth")
    later = next(content for kind, content in _events(ask, 3) if kind == "part" and content["camera"] == "left")
    assert later["id"] == reject.id
    assert ask(f"/api/live/left/{reject.id}?heatmap=true")[1] != ask(f"/api/live/left/{reject.id}?heatmap=false")[1]
    assert ask(f"/api/live/left/{shown['id']}?heatmap=false")[1] == plain[1]  # may still be on its way
    assert ask("/api/live/left/999999")[0] == 404
    assert ask("/api/live/nowhere/1")[0] == 404


def test_part_without_picture_is_told_as_such(ask: Client, drawn: DrawnLine) -> None:
    entry = drawn.lose("left", "camera")
    told = next(content for kind, content in _events(ask, 3) if kind == "part" and content["camera"] == "left")
    assert (told["id"], told["has_picture"], told["reason"]) == (entry.id, False, "camera")


def test_viewers_share_one_encoder(server: DashboardServer, ask: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from snl_edge.dashboard import live

    encoded: list[int] = []
    real = live.jpeg
    monkeypatch.setattr(live, "jpeg", lambda image: encoded.append(1) or real(image))
    shown = next(content for kind, content in _events(ask, 3) if kind == "part")
    viewers = [threading.Thread(target=ask, args=(f"/api/live/{shown['camera']}/{shown['id']}",)) for _ in range(6)]
    for viewer in viewers:
        viewer.start()
    for viewer in viewers:
        viewer.join()
    assert len(encoded) == 1


def test_pages_beyond_the_limit_are_told_so(ask: Client) -> None:
    pages = [http.client.HTTPConnection("127.0.0.1", ask.port, timeout=20) for _ in range(MOST_VIEWERS)]
    for page in pages:
        page.request("GET", "/api/events", headers=ask.headers)
        page.getresponse().readline()
    assert ask("/api/events")[0] == 503
    for page in pages:
        page.close()
    end = time.monotonic() + 10
    with closing(http.client.HTTPConnection("127.0.0.1", ask.port, timeout=20)) as page:
        while time.monotonic() < end:
            page.request("GET", "/api/events", headers=ask.headers)
            answer = page.getresponse()
            if answer.status == 200:
                break
            answer.read()
    assert answer.status == 200


def test_numbers_that_json_lacks_do_not_end_the_stream(ask: Client, drawn: DrawnLine) -> None:
    drawn._latencies = [float("nan")]
    kind, status = _events(ask, 1)[0]
    assert (kind, status["latency_p50_ms"]) == ("status", None)


def test_server_stops_with_pages_open(drawn: DrawnLine) -> None:
    before = set(threading.enumerate())
    server = DashboardServer(drawn, drawn.journal, DashboardSettings(port=0))
    server.start()
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)) as connection:
        connection.request("GET", "/api/events")
        assert connection.getresponse().readline().startswith(b"event: status")
        server.stop()
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name == "dashboard"]
    server.stop()


def test_report_and_records_of_a_time(look: Client, filled: DrawnLine) -> None:
    captured = sorted(entry.record.captured for entry in filled.journal.select("TRUE", ()))
    span = f"since={captured[10]!r}&until={captured[30]!r}"
    status, told, _ = look(f"/api/report?{span}&shifts=06:00,14:00")
    assert (status, told["line"], told["total"]["parts"]) == (200, NAME, 20)
    assert sum(row["parts"] for row in told["shifts"]) == 20
    status, content, headers = look(f"/api/records.csv?{span}")
    assert (status, content.decode("utf-8-sig").count("\n")) == (200, 21)
    begin = datetime.fromtimestamp(captured[10]).strftime("%Y-%m-%dT%H%M")
    assert headers["Content-Disposition"] == f'attachment; filename="{NAME}-records-{begin}.csv"'
    status, page, headers = look(f"/api/report.html?{span}")
    assert status == 200
    assert f'attachment; filename="{NAME}-report-{begin}.html"' == headers["Content-Disposition"]
    assert NAME in page.decode()
    assert look("/api/report")[1]["total"]["parts"] == len(captured)  # the last 24 hours


@pytest.mark.parametrize(
    ("query", "status"), [("since=2&until=1", 400), ("shifts=6", 400), ("until=1e300", 400), ("since=x", 422)]
)
def test_a_time_that_is_none_is_refused(look: Client, query: str, status: int) -> None:
    found, answer, _ = look(f"/api/report?{query}")
    assert found == status
    assert all(answer.values())


# What it changes


def test_histogram_says_what_a_threshold_does(look: Client, filled: DrawnLine) -> None:
    answer = look("/api/scores?product=gear&last=1000")[1]
    assert (answer["threshold"], answer["own_threshold"]) == (0.55, True)
    rejected = [part for part in answer["parts"] if part["score"] > 0.55]
    assert {part["verdict"] for part in rejected} == {"reject"}
    assert len(rejected) == len(filled.journal.select("verdict = 'reject' AND product = 'gear'", ()))
    # All that the bundle's own threshold decides: hex_nut, and unknown products, which none decides.
    others = look("/api/scores?last=1000")[1]
    known = {entry.id for entry in filled.journal.select("product = 'hex_nut' OR verdict = 'unknown'", ())}
    assert {part["id"] for part in others["parts"]} == known
    assert len(look("/api/scores?product=gear&last=10")[1]["parts"]) == 10


def test_histogram_leaves_out_other_engines(ask: Client, drawn: DrawnLine) -> None:
    judged = drawn.journal.select("product = 'gear'", ())[0].record
    drawn.journal.append([replace(judged, sequence=5000, engine="another")])
    assert len(ask("/api/scores?product=gear")[1]["parts"]) == 1


def test_threshold_is_set_and_audited(ask: Client, drawn: DrawnLine) -> None:
    assert ask("/api/threshold", {"value": 0.61, "product": "gear"})[0] == 200
    assert drawn.status().product_thresholds == {"gear": 0.61}
    assert ask("/api/threshold", {"value": 0.44, "product": None})[0] == 200
    assert drawn.status().threshold == 0.44
    changes = ask("/api/audit")[1]["changes"]
    assert [change["detail"]["after"] for change in changes] == [0.44, 0.61]
    assert changes[0]["actor"] == "api (127.0.0.1)"
    status, said, _ = ask("/api/threshold", {"value": 0.5, "product": "spoon"})
    assert status == 400
    assert "spoon" in said["what"]


def test_a_threshold_far_from_that_of_training_needs_a_confirmation(ask: Client, drawn: DrawnLine) -> None:
    assert ask("/api/scores?product=gear")[1]["usual"] == list(USUAL)
    odd = {"value": 0.9999, "product": "gear"}
    for unconfirmed in (odd, {**odd, "confirmed": False}):
        status, said, _ = ask("/api/threshold", unconfirmed)
        assert status == 400
        assert "confirmed" in said["fix"]
    assert ask("/api/threshold", {**odd, "confirmed": "yes"})[0] == 422
    assert drawn.status().product_thresholds == {"gear": 0.55}
    status, answer, _ = ask("/api/threshold", {**odd, "confirmed": True})
    assert (status, answer["golden"]["text"]) == (200, "12 samples judged rightly")
    assert drawn.status().product_thresholds == {"gear": 0.9999}


def test_malformed_thresholds_are_refused(ask: Client, drawn: DrawnLine) -> None:
    values = [{"value": value, "product": None} for value in (0, -1, "x", None, 1e300)]
    for body in (*values, {"value": 0.5}, {"value": 0.5, "product": None, "more": 1}, b"{", b"[]", NAN):
        assert ask("/api/threshold", body)[0] == 422, body
    assert drawn.status().threshold_version == 3


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("threshold", {"value": True, "product": None}, ["value", "number", "True"]),
        ("threshold", {"value": "0.5", "product": None}, ["value", "number", "'0.5'"]),
        ("threshold", NAN, ["value", "finite", "nan"]),
        ("threshold", {"value": 0.5}, ["product", "required"]),
        ("threshold", {"value": 0.5, "product": None, "prodct": "gear"}, ["prodct", "not permitted"]),
        ("threshold", b"{", ["no JSON", "JSON object"]),
        ("acknowledge", {"last": True}, ["last", "integer", "True"]),
        ("trigger", {"camera": "left", "encoder": 1.0}, ["encoder", "integer", "1.0"]),
        ("pause", {"paused": 1}, ["paused", "boolean", "1"]),
    ],
)
def test_a_wrong_type_is_no_value_and_is_told_with_why_and_fix(
    ask: Client, drawn: DrawnLine, path: str, body: Any, said: list[str]
) -> None:
    status, answer, _ = ask(f"/api/{path}", body)
    assert status == 422
    assert all(answer[part] and "\n" not in answer[part] for part in ("what", "why", "fix"))
    text = " ".join(answer.values())
    assert all(word in text for word in said), text
    assert not drawn.journal.audits()


def test_an_unknown_path_or_method_is_told_as_other_errors(ask: Client) -> None:
    for path, body in (("/api/nothing", None), ("/api/audit", {})):
        status, answer, _ = ask(path, body)
        assert status == (404 if body is None else 405)
        assert answer["what"]
        assert path in answer["why"]


def test_pause_and_self_test(ask: Client, drawn: DrawnLine) -> None:
    assert ask("/api/pause", {"paused": True})[0] == 200
    assert drawn.produce("left", "gear").record.reason == "paused"
    assert ask("/api/pause", {"paused": "yes"})[0] == 422
    assert ask("/api/pause", {"paused": False})[0] == 200
    assert ask("/api/self-test", {})[1]["light"] == "ok"
    assert [change["action"] for change in ask("/api/audit")[1]["changes"]] == ["self-test", "resume", "pause"]


def test_rejects_of_unknown_outcome_are_acknowledged_as_they_were_seen(ask: Client, drawn: DrawnLine) -> None:
    defect = replace(drawn.produce("left", "gear", "missing_tooth").record, verdict="reject")
    drawn.journal.append([replace(defect, sequence=7000 + number) for number in range(2)], lambda record: ["ejector"])
    drawn.journal.begin("the next run", "{}")
    ((_, status),) = _events(ask, 1)
    lost = status["unaccounted"]
    assert (lost["rejects"], lost["runs"]) == (2, [1])
    (part, _, other, *_) = ask("/api/parts")[1]["parts"]
    assert [one["outcome"] for one in part["outcomes"]] == ["unknown"]
    assert other["outcomes"] == []
    assert [one["sequence"] for one in ask("/api/parts?unaccounted=true")[1]["parts"]] == [7001, 7000]
    assert ask("/api/acknowledge", {})[0] == 422
    assert ask("/api/acknowledge", {"last": lost["last"] - 1})[1] == {"rejects": 1}  # a page that was not up to date
    assert len(ask("/api/parts?unaccounted=true&verdict=reject")[1]["parts"]) == 1
    assert drawn.status().unaccounted is not None
    assert ask("/api/acknowledge", {"last": lost["last"]})[1] == {"rejects": 1}
    assert ask("/api/acknowledge", {"last": lost["last"]})[1] == {"rejects": 0}
    assert drawn.status().unaccounted is None
    assert [(one["action"], one["detail"]) for one in ask("/api/audit")[1]["changes"]] == [
        ("acknowledge", {"rejects": 1, "runs": [1]})
    ] * 2


def test_recipe_changes_only_to_what_is_listed(ask: Client, drawn: DrawnLine, tmp_path: Path) -> None:
    (tmp_path / "bundles" / "broken").mkdir(parents=True)
    (tmp_path / "bundles" / "broken" / "manifest.json").write_text("{}")
    write_contract_bundle(tmp_path / "bundles" / "bolts", name="bolts")
    write_contract_bundle(tmp_path / "elsewhere", name="elsewhere")
    listed = ask("/api/recipes")[1]["recipes"]
    assert [(one["name"], one["fault"] is None) for one in listed] == [("bolts", True), ("broken", False)]
    for folder in ("../elsewhere", str(tmp_path / "elsewhere"), "", ".", "nothing"):
        assert ask("/api/recipe", {"folder": folder})[0] == 400
    assert ask("/api/recipe", {"folder": "broken"})[0] == 400
    assert drawn.recipe == "hall2-mixed"
    refused = [change["detail"] for change in ask("/api/audit")[1]["changes"] if change["action"] == "refused"]
    assert [one["change"] for one in refused] == ["recipe"] * 5
    assert refused[0]["why"].startswith("no recipe 'nothing'")
    status, answer, _ = ask("/api/recipe", {"folder": "bolts"})
    assert (status, answer["golden"]["light"]) == (200, "ok")
    assert drawn.recipe == "bolts"


def test_a_change_while_another_is_made_is_told_to_wait(ask: Client, drawn: DrawnLine, monkeypatch: Any) -> None:
    def busy(*_: object, **__: object) -> None:
        raise BusyError("a recipe change or self-test is running", fix="wait until it is done")

    monkeypatch.setattr(drawn, "self_test", busy)
    status, said, _ = ask("/api/self-test", {})
    assert (status, said["fix"]) == (409, "wait until it is done")


def test_an_order_is_set_carried_and_found_again(ask: Client, drawn: DrawnLine, tmp_path: Path) -> None:
    order = {"order": "4711", "lot": "L22", "operator": "mm", "fields": {"shift": "early"}}
    assert ask("/api/order", order)[:2] == (200, order)
    made = drawn.produce("left", "gear", "missing_tooth")
    found = ask("/api/parts?order=4711&lot=L22&verdict=reject")[1]["parts"]
    assert [{name: part[name] for name in ("id", *order)} for part in found] == [{"id": made.id, **order}]
    assert ask("/api/parts?order=4712&verdict=reject")[1]["parts"] == []
    _, status = next((kind, content) for kind, content in _events(ask, 1) if kind == "status")
    assert status["order"] == order
    for wrong in ({"order": 4711}, {"order": "x" * 65}, {"lot": "a\nb"}, {"more": "x"}):
        assert ask("/api/order", wrong)[0] == 422
    write_contract_bundle(tmp_path / "bundles" / "bolts", name="bolts")
    assert ask("/api/recipe", {"folder": "bolts", "order": "4712"})[0] == 200
    assert drawn.order.plain() == {"order": "4712", "lot": None, "operator": None, "fields": {}}


def _events(ask: Client, count: int) -> list[tuple[str, Any]]:
    """The first events of a new stream."""
    found: list[tuple[str, Any]] = []
    with closing(http.client.HTTPConnection("127.0.0.1", ask.port, timeout=20)) as connection:
        connection.request("GET", "/api/events", headers=ask.headers)
        stream = connection.getresponse()
        kind = ""
        while len(found) < count:
            name, _, value = stream.readline().decode().strip().partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                found.append((kind, json.loads(value)))
    return found
