"""A running line whose dashboard is attacked with slow connections and wrong tokens.

``python -m studies.line.attack --name NAME`` starts a line as a process of its own, as a service manager would, and
attacks its dashboard from another one. Then it reads the journal: was every verdict in time, has every reject its
picture, did health, metrics and triggers answer, and how much was logged?
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from snl_edge.errors import SnlEdgeError
from snl_edge.progress import progress_bar
from snl_edge.provenance import revision
from snl_edge.stream.journal.journal import Journal

from ..command import run_command
from ..result_files import save_result
from ..small_bundle import write_small_bundle
from .attacker import Attack, attack_forever

SIDE = 64
TOKEN = "a-token-that-is-long-enough"
DEADLINE_MS = 1000
_ASK_S = 0.5
_CLIENT_S = 20.0
_ROUNDS = 5
"""Of questions, however short the attack is and however slow the machine."""
_START_S = 60.0


def measure(
    name: Annotated[str, typer.Option(help="Name of the result file.")],
    connections: Annotated[int, typer.Option(min=1)] = Attack.connections,
    addresses: Annotated[int, typer.Option(min=1, max=250)] = Attack.addresses,
    seconds: Annotated[float, typer.Option(min=5)] = 70.0,
    descriptors: Annotated[int, typer.Option(min=64, help="The line's limit of open files, hard and soft.")] = 1024,
) -> None:
    """Attacks a line on this machine."""
    revision()
    attack = Attack(connections, addresses)
    settings = {
        "connections": connections,
        "addresses": addresses,
        "wrong_tokens_per_second": attack.wrong_tokens,
        "seconds": seconds,
        "descriptors": descriptors,
        "deadline_ms": DEADLINE_MS,
    }
    with tempfile.TemporaryDirectory() as folder, line_process(Path(folder), descriptors) as line:
        figures = attack_line(line, attack, seconds)
    typer.echo(f"wrote {save_result('stream_siege', name, settings=settings, figures=figures)}")


@dataclass(frozen=True)
class LineProcess:
    """A line that runs in a process of its own."""

    folder: Path
    process: subprocess.Popen[bytes]
    port: int

    @property
    def log(self) -> Path:
        """What it has written to stderr."""
        return self.folder / "log"

    def descriptors(self) -> int:
        """Open file descriptors now."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


@contextmanager
def line_process(folder: Path, descriptors: int, deadline_ms: int = DEADLINE_MS) -> Iterator[LineProcess]:
    """Runs a line of two cameras (one free, one that ``POST /api/trigger`` triggers) and stops it at the end.

    Args:
        folder: where its bundle, journal, sink and log are written.
        descriptors: its limit of open files.
        deadline_ms: from a part's trigger to its verdict.

    Raises:
        SnlEdgeError: it did not start.
    """
    write_small_bundle(folder / "bundle", SIDE)
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port: int = probe.getsockname()[1]
    (folder / "token").write_text(TOKEN)
    (folder / "line.yaml").write_text(json.dumps(_config(folder, port, deadline_ms)))  # JSON is YAML, too
    command = [sys.executable, "-m", "snl_edge", "stream", "run", str(folder / "line.yaml")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (descriptors, descriptors))
    line = LineProcess(folder, process, port)
    try:
        end = time.monotonic() + _START_S
        while Honest(port).health().status != 200:
            if process.poll() is not None or time.monotonic() > end:
                raise SnlEdgeError("the line did not start", line.log.read_text(), "see above")
            time.sleep(0.1)
        yield line
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_START_S)


def _config(folder: Path, port: int, deadline_ms: int) -> dict[str, Any]:
    source = {"type": "synthetic", "size": SIDE, "pictures": 64}
    return {
        "name": "attacked",
        "bundle": str(folder / "bundle"),
        "engine": {"backend": "onnxruntime", "threads": 1},
        "cameras": [
            {"name": "free", "source": {**source, "rate": 10}},
            {"name": "triggered", "source": {**source, "rate": 20, "seed": 1}, "trigger": {"type": "software"}},
        ],
        "deadline_ms": deadline_ms,
        "journal": {"folder": str(folder / "journal"), "pictures": {"min_free_gib": 0}},
        "sinks": [{"type": "jsonlines", "folder": str(folder / "sink")}],
        "dashboard": {"port": port, "token_file": str(folder / "token")},
    }


@dataclass(frozen=True)
class Answer:
    """What an honest client got; status 0 where it got nothing."""

    status: int
    seconds: float
    sequence: int | None = None


@dataclass(frozen=True)
class Honest:
    """A client that has the token, or needs none."""

    port: int

    def health(self) -> Answer:
        """``GET /health``."""
        return self._ask("GET", "/health")

    def metrics(self) -> Answer:
        """``GET /metrics``."""
        return self._ask("GET", "/metrics")

    def trigger(self) -> Answer:
        """``POST /api/trigger``."""
        return self._ask("POST", "/api/trigger", json.dumps({"camera": "triggered"}))

    def _ask(self, method: str, path: str, body: str | None = None) -> Answer:
        begun = time.monotonic()
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=_CLIENT_S)) as connection:
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                content = answer.read()
        except (OSError, http.client.HTTPException):
            return Answer(0, time.monotonic() - begun)
        sequence = json.loads(content)["sequence"] if path == "/api/trigger" and answer.status == 200 else None
        return Answer(answer.status, time.monotonic() - begun, sequence)


@dataclass
class _Asked:
    """The answers of one path."""

    answers: list[Answer] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """How many were asked and answered, and in what time."""
        seconds = [answer.seconds for answer in self.answers if answer.status == 200]
        return {
            "asked": len(self.answers),
            "answered": len(seconds),
            "median_ms": round(1000 * statistics.median(seconds), 1) if seconds else None,
            "slowest_ms": round(1000 * max(seconds), 1) if seconds else None,
        }


def attack_line(line: LineProcess, attack: Attack, seconds: float) -> dict[str, Any]:
    """Attacks a running line and asks it meanwhile; stops it, and returns what was seen and what its journal says."""
    context = multiprocessing.get_context("spawn")
    opened, most_held = context.Value("i", 0), context.Value("i", 0)
    attacker = context.Process(target=attack_forever, args=(line.port, attack, opened, most_held), daemon=True)
    honest = Honest(line.port)
    asked = {"health": _Asked(), "metrics": _Asked(), "trigger": _Asked()}
    most_descriptors = line.descriptors()
    attacker.start()
    try:
        begun = time.monotonic()
        with progress_bar("attacking") as report:
            # On a slow machine it takes a while until the attack is whole.
            while (
                (elapsed := time.monotonic() - begun) < seconds
                or len(asked["health"].answers) < _ROUNDS
                or (opened.value < attack.connections and elapsed < _START_S)
            ):
                for path, answers in asked.items():
                    answers.answers.append(getattr(honest, path)())
                most_descriptors = max(most_descriptors, line.descriptors())
                report(min(int(elapsed), int(seconds)), int(seconds))
                time.sleep(_ASK_S)
    finally:
        attacker.kill()
        attacker.join()
    line.process.send_signal(signal.SIGTERM)
    line.process.wait(_START_S)
    triggered = {answer.sequence for answer in asked["trigger"].answers} - {None}
    return {
        "seconds": round(elapsed, 1),
        "connections_opened": opened.value,
        "connections_held": most_held.value,
        "descriptors_most": most_descriptors,
        "log_bytes": line.log.stat().st_size,
        **{path: answers.figures() for path, answers in asked.items()},
        **_recorded(line.folder, triggered),
    }


def _recorded(folder: Path, triggered: set[int | None]) -> dict[str, Any]:
    journal = Journal(folder / "journal")
    try:
        records = [entry.record for entry in journal.after(0, 10_000_000)]
    finally:
        journal.close()
    rejects = [record for record in records if record.verdict == "reject"]
    kept = [record for record in rejects if record.image and (folder / "journal" / record.image).is_file()]
    told = sum(len(path.read_bytes().splitlines()) for path in (folder / "sink").glob("*.jsonl"))
    latencies = sorted(record.latency_ms for record in records)
    return {
        "parts": len(records),
        "failsafe": sum(record.verdict == "failsafe" for record in records),
        "latency_p99_ms": round(latencies[int(0.99 * (len(latencies) - 1))], 1),
        "latency_most_ms": round(latencies[-1], 1),
        "triggers_without_record": len(triggered - {r.sequence for r in records if r.camera == "triggered"}),
        "rejects": len(rejects),
        "rejects_without_picture": len(rejects) - len(kept),
        "sink_missed": len(records) - told,
    }


if __name__ == "__main__":
    run_command(measure)
