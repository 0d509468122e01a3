"""What the service may use up: open files and log."""

from __future__ import annotations

import logging
import resource
from pathlib import Path

import pytest
from lines import line_config

from snl_edge.errors import ConfigError
from snl_edge.service.log import OURS, WINDOW_S, ThrottledHandler, throttled_log
from snl_edge.service.open_files import Descriptors, raise_limit
from snl_edge.service.ports import listening


@pytest.fixture
def hard_limit(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A hard limit that is only told: a real one could not be raised again."""
    limit = [1024]
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, limit[0]))
    return limit


def test_the_dashboard_gets_what_the_line_leaves(tmp_path: Path, hard_limit: list[int]) -> None:
    config = line_config(tmp_path / "bundle", tmp_path, dashboard={"port": 0})
    plenty = Descriptors.of(config)
    assert plenty.connections == 96
    assert plenty.checks() == []
    hard_limit[0] = plenty.line + 40
    scarce = Descriptors.of(config)
    assert scarce.connections == 40
    (told,) = scarce.checks()
    assert told.light == "warning"
    assert "LimitNOFILE" in told.text
    assert str(plenty.line + 96) in told.text
    hard_limit[0] = plenty.line + 15
    with pytest.raises(ConfigError, match=f"may open {plenty.line + 15} files, and the line needs {plenty.line + 16}"):
        Descriptors.of(config)


def test_the_line_keeps_more_for_more(tmp_path: Path, hard_limit: list[int]) -> None:
    alone = Descriptors.of(line_config(tmp_path / "bundle", tmp_path))
    sinks = [{"type": "opcua", "clients": 20}, {"type": "jsonlines", "folder": tmp_path}]
    more = Descriptors.of(line_config(tmp_path / "bundle", tmp_path, sinks=sinks))
    assert more.line - alone.line == 20 + 2 * 8
    machines = {"port": 0, "machines": {"host": "127.0.0.1"}}
    config = line_config(tmp_path / "bundle", tmp_path, dashboard=machines)
    assert Descriptors.of(config).line > alone.line
    assert listening(config)["dashboard for machines"] == ("127.0.0.1", 8081)
    hard_limit[0] = resource.RLIM_INFINITY
    assert Descriptors.of(line_config(tmp_path / "bundle", tmp_path)).limit == 65_536


def test_the_soft_limit_is_lifted_to_the_hard_one() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, before[1]), before[1]))
    try:
        raise_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(before[1], 65_536), before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def _record(name: str, line: int, text: str, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord(name, level, f"/{name}.py", line, text, None, None)


def test_a_flood_of_one_kind_is_a_few_lines_and_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    handler = ThrottledHandler(clock=lambda: now[0])
    for number in range(1185):
        handler.handle(_record("asyncio", 160, f"socket.accept() out of system resource {number}"))
        handler.handle(_record("snl_edge.dashboard.auth", 9, f"wrong token from 10.0.0.{number}"))
    handler.handle(_record("asyncio", 161, "something else"))
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 + OURS + 1
    assert "something else" in told[-1]
    now[0] = WINDOW_S - 1
    handler.conclude()
    assert capsys.readouterr().err == ""
    now[0] = WINDOW_S
    handler.conclude()
    assert capsys.readouterr().err.splitlines() == [
        "socket.accept() out of system resource 1184: 1,184 more like it in the last 60 s",
        "wrong token from 10.0.0.1184: 1,165 more like it in the last 60 s",
    ]
    handler.handle(_record("asyncio", 160, "again"))
    assert capsys.readouterr().err == "again\n"
    handler.conclude()
    assert capsys.readouterr().err == ""


def test_kinds_that_are_remembered_are_bounded_and_none_is_forgotten(capsys: pytest.CaptureFixture[str]) -> None:
    handler = ThrottledHandler(clock=lambda: 0.0)
    for _ in range(2):
        handler.handle(_record("library", 0, "first"))
    for number in range(1, 2000):
        handler.handle(_record("library", number, "other"))
    assert "first: 1 more like it" in capsys.readouterr().err
    assert len(handler._kinds) <= 512


def test_what_the_service_logs_goes_through_it(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("some.library")
    with throttled_log():
        for _ in range(50):
            try:
                raise OSError(24, "Too many open files")
            except OSError:
                log.exception("cannot accept")
    told = capsys.readouterr().err
    assert told.count("Traceback") == 1
    assert "cannot accept: 49 more like it" in told
    assert not [one for one in logging.getLogger().handlers if isinstance(one, ThrottledHandler)]
