"""Tokens of people and machines: what each may do, and as whom the list of changes shows it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the stream extra is not installed")

from dashboard_line import DrawnLine

from snl_edge.dashboard.server import DashboardServer
from snl_edge.errors import ConfigError
from snl_edge.stream.config.dashboard_settings import DashboardSettings, Role
from snl_edge.stream.journal.journal import Journal

TOKENS: dict[Role, tuple[str, str]] = {
    "machine": ("PLC 3", "machine-token-of-length"),
    "viewer": ("Shift lead", "viewer-token-of-length"),
    "operator": ("M. Huber", "operator-token-of-length"),
    "engineer": ("A. Weber", "engineer-token-of-length"),
}
SHARED = "shared-token-of-length"
CHANGES: dict[str, dict[str, Any]] = {
    "/api/threshold": {"value": 0.6, "product": "gear"},
    "/api/shadow": {"shadow": False},
    "/api/pause": {"paused": False},
    "/api/self-test": {},
    "/api/trigger": {"camera": "left"},
}


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrawnLine]:
    journal = Journal(tmp_path_factory.mktemp("line") / "journal")
    line = DrawnLine(journal, size=64)
    line.produce("left", "gear")
    yield line
    journal.close()


def _settings(folder: Path, **changes: Any) -> DashboardSettings:
    tokens = []
    for role, (name, token) in TOKENS.items():
        (folder / role).write_text(token)
        tokens.append({"name": name, "role": role, "file": folder / role})
    (folder / "shared").write_text(SHARED)
    return DashboardSettings(**{"port": 0, "token_file": folder / "shared", "tokens": tokens, **changes})


@pytest.fixture(scope="module")
def server(line: DrawnLine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardServer]:
    with DashboardServer(line, line.journal, _settings(tmp_path_factory.mktemp("tokens"))) as running:
        yield running


def ask(
    server: DashboardServer, path: str, body: object = None, token: str | None = None, cookie: str | None = None
) -> tuple[int, Any, http.client.HTTPMessage]:
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    if cookie is not None:
        headers["Cookie"] = cookie
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)) as connection:
        connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        content = answer.read()
    is_json = answer.headers.get_content_type() == "application/json"
    return answer.status, json.loads(content) if is_json else content, answer.headers


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("machine", {"/api/trigger"}),
        ("viewer", set()),
        ("operator", {"/api/pause", "/api/self-test", "/api/trigger"}),
        ("engineer", set(CHANGES)),
    ],
)
def test_a_role_changes_what_it_may_and_no_more(server: DashboardServer, role: Role, may: set[str]) -> None:
    token = TOKENS[role][1]
    answers = {path: ask(server, path, body, token) for path, body in CHANGES.items()}
    assert {path for path, answer in answers.items() if answer[0] == 200} == may
    refused = [answer for path, answer in answers.items() if path not in may]
    assert {answer[0] for answer in refused} <= {403}
    assert all(role in answer[1]["what"] for answer in refused)
    pages = ["/", "/api/parts", "/api/scores", "/api/audit", "/api/recipes", "/api/session"]
    assert {ask(server, path, token=token)[0] for path in pages} == ({403} if role == "machine" else {200})
    assert [ask(server, path, token=token)[0] for path in ("/health", "/metrics")] == [200, 200]
    # What is new is an engineer's until somebody says otherwise.
    assert ask(server, "/api/new", {}, token)[0] == (404 if role == "engineer" else 403)


def test_the_audit_names_who_has_a_token_of_their_own(server: DashboardServer, line: DrawnLine) -> None:
    name, token = TOKENS["operator"]
    assert ask(server, "/api/pause", {"paused": False}, token)[0] == 200
    assert line.journal.audits(1)[0].actor == f"{name} (127.0.0.1)"
    cookie = ask(server, "/api/login", {"token": token, "name": "Somebody else"})[2]["Set-Cookie"].partition(";")[0]
    assert ask(server, "/api/pause", {"paused": False}, cookie=cookie)[0] == 200
    assert line.journal.audits(1)[0].actor == f"{name} (127.0.0.1)"
    assert ask(server, "/api/shadow", {"shadow": True}, cookie=cookie)[0] == 403
    session = ask(server, "/api/session", cookie=cookie)[1]
    assert (session["role"], "/api/pause" in session["may"], "/api/threshold" in session["may"]) == (
        "operator",
        True,
        False,
    )
    assert ask(server, "/api/logout", {}, cookie=cookie)[0] == 200


def test_nobody_logs_in_with_the_common_token_as_somebody_else(server: DashboardServer, line: DrawnLine) -> None:
    status, said, _ = ask(server, "/api/login", {"token": SHARED, "name": " m. huber "})
    assert status == 400
    assert "a token of their own" in said["what"]
    cookie = ask(server, "/api/login", {"token": SHARED, "name": "H. K."})[2]["Set-Cookie"].partition(";")[0]
    assert ask(server, "/api/shadow", {"shadow": False}, cookie=cookie)[0] == 200
    assert line.journal.audits(1)[0].actor == "H. K. (127.0.0.1)"


def test_a_session_ends_with_its_own_token_alone(line: DrawnLine, tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    with DashboardServer(line, line.journal, settings) as server:
        cookies = {
            role: ask(server, "/api/login", {"token": token})[2]["Set-Cookie"].partition(";")[0]
            for role, (_, token) in TOKENS.items()
        }
    (tmp_path / "viewer").write_text("another-token-of-length")
    with DashboardServer(line, line.journal, settings) as server:
        assert ask(server, "/api/session", cookie=cookies["viewer"])[0] == 401
        assert ask(server, "/api/session", cookie=cookies["engineer"])[1]["role"] == "engineer"


def test_tokens_must_differ_in_name_and_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SNL_EDGE_DASHBOARD_TOKEN", raising=False)
    settings = _settings(tmp_path, token_file=None, host="0.0.0.0")
    assert len(settings.access()) == len(TOKENS)  # those will do; there need not be a common one
    (tmp_path / "viewer").write_text(TOKENS["engineer"][1])
    with pytest.raises(ConfigError, match="are the same"):
        settings.access()
    (tmp_path / "viewer").write_text("short")
    with pytest.raises(ConfigError, match="16 or more"):
        settings.access()
    twice = [{"name": name, "role": "viewer", "file": tmp_path / "viewer"} for name in ("Weber", "weber")]
    with pytest.raises(ValueError, match="same name"):
        DashboardSettings(tokens=twice)
