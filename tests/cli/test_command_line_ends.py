"""How the command line ends: numbers out of range, an answer that nobody takes, a file that is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from snl_edge.cli import app

RUN = CliRunner()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["train", ".", "--learning-rate=-1"], "'-1' is no number above 0 to 1"),
        (["train", ".", "--learning-rate=nan"], "'nan' is no number"),
        (["train", ".", "--false-reject-budget=5"], "'5' is no number above 0 and below 0.5"),
        (["train", ".", "--cache-gib=inf"], "'inf' is no number from 0 to 65536"),
        (["train", ".", "--steps=0"], "--steps"),
        (["train", ".", f"--seed={2**32}"], "--seed"),
        (["evaluate", ".", "--threshold=nan"], "'nan' is no number above 0 to 100"),
        (["bench", "run", ".", "--seconds=0"], "'0' is no number from 0.01 to 3600"),
        (["stream", "demo", "--port=-1"], "--port"),
        (["stream", "demo", "--rate=0"], "'0' is no number above 0 to 1000"),
    ],
)
def test_a_number_out_of_range_is_refused_before_any_work(command: list[str], said: str) -> None:
    result = RUN.invoke(app, command)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


@pytest.mark.parametrize(
    "setting",
    ["student.embedding=99999999999", "anomaly_map.sigma=1e308", "height=1048576", "student.depth=" + "9" * 5000],
)
def test_a_setting_out_of_range_is_refused_in_one_line(setting: str) -> None:
    result = RUN.invoke(app, ["train", ".", "--set", setting])
    assert type(result.exception).__name__ == "ConfigError"
    assert "\n" not in str(result.exception)


def _run(*words: str, **options: int | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "snl_edge", *words],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
        **options,  # pyright: ignore[reportArgumentType,reportCallIssue]
    )


def test_an_answer_that_has_no_room_is_an_error_in_one_line() -> None:
    with Path("/dev/full").open("wb") as full:
        done = _run("--help", stdout=full.fileno())
    assert (done.returncode, done.stderr) == (
        1,
        "snl-edge: cannot write the answer to standard output: No space left on device.\n",
    )


def test_a_reader_that_has_enough_ends_the_command_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = _run("--help", stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_standard_output_that_is_closed_is_said() -> None:
    words = [sys.executable, "-m", "snl_edge", "--version"]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *words], stderr=subprocess.PIPE, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "standard output is closed" in done.stderr
