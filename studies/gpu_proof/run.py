"""A proof on the GPU machine, in two calls: ``python -m studies.gpu_proof.run first`` (then ``second``).

Most valuable first. Each step has its own process and its own limit; after a failure the next one goes on, and the call
ends before its own limit. ``first`` needs half ``a`` unpacked (no TensorRT); ``second``, on the same machine and at
once, half ``b`` too. The result file is written again after every step, so that a call that is cut short leaves one.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from snl_edge.errors import ConfigError
from snl_edge.progress import console

from ..command import run_command
from .lines import FILE
from .outcome import write_outcome
from .runtime_steps import TARGET_FILE
from .settings import ProofSettings
from .steps import Step, first_call, gpu_tests, second_call

LIMITS = {"first": 270.0, "second": 390.0}
"""Seconds of a call, below the 300 and 420 that it is given."""
LEAST_S = 8.0
"""With less left no step is begun."""
WORK = Path(tempfile.gettempdir()) / "snl-edge-proof"


def run(
    part: Annotated[str, typer.Argument(help="first or second")],
    out: Annotated[Path, typer.Option(help="Folder for what comes back: result, log, tests' reports.")] = Path("out"),
    work: Annotated[Path, typer.Option(help="Folder to work in; the second call goes on in it.")] = WORK,
    root: Annotated[Path, typer.Option(help="The project's root, for its tests.")] = Path(),
    presets: Annotated[str, typer.Option()] = "edge,accurate,balanced",
    precisions: Annotated[str, typer.Option()] = "fp16,int8,fp32",
    flavour: Annotated[str, typer.Option(help="tensorrt_rtx or tensorrt")] = "tensorrt_rtx",
    limit: Annotated[float | None, typer.Option(help="Seconds of the whole call.")] = None,
    only: Annotated[str, typer.Option(help="First words of the steps to do; all, if not given.")] = "",
    quick: Annotated[bool, typer.Option(help="A dry run: tiny models, moments instead of seconds.")] = False,
) -> None:
    """Runs one call, and writes ``gpu-proof.json``."""
    if part not in LIMITS:
        raise ConfigError(f"there is no call {part!r}", fix="first or second")
    settings = ProofSettings.model_validate(
        {
            "work": work.resolve(),
            "out": out.resolve(),
            "root": root.resolve(),
            "presets": tuple(presets.split(",")),
            "precisions": tuple(precisions.split(",")),
            "flavour": flavour,
            "quick": quick,
        }
    )
    for folder in (settings.work, settings.out):
        folder.mkdir(parents=True, exist_ok=True)
    proof = Proof(settings, part, limit or LIMITS[part], tuple(filter(None, only.split(","))))
    if part == "first":
        for step in first_call(settings):
            proof.do(step)
    else:
        _second(proof)
    console.print(f"wrote {settings.out}, after {proof.elapsed:.0f} s")


def _second(proof: Proof) -> None:
    settings = proof.settings
    runs = proof.do(Step("targets", 90, ("targets",))) in (0, None)
    found = settings.work / TARGET_FILE
    target = found.read_text() if found.exists() else "none"
    if runs and target:
        proof.environment["SNL_EDGE_RTX_TARGET"] = target
    if not runs and settings.flavour == "tensorrt_rtx":
        proof.stand_in_for_tensorrt()
    for step in (gpu_tests(proof.settings), *second_call(proof.settings)):
        proof.do(step)


class Proof:
    """One call: what is left of its time, what its processes find in their environment, and what came of its steps."""

    def __init__(self, settings: ProofSettings, part: str, limit: float, only: tuple[str, ...] = ()) -> None:
        self.settings, self.part, self._limit, self._begun = settings, part, limit, time.monotonic()
        self._only = only
        self._lines = settings.work / "lines.jsonl"
        if part == "first":
            self._lines.unlink(missing_ok=True)
        self.environment = {
            **os.environ,
            **settings.environment(),
            FILE: str(self._lines),
            "PYTHONUNBUFFERED": "1",
            # Not from the project's root, whose folder snl_edge would hide what lies inside the installed one.
            "PYTHONSAFEPATH": "1",
            "LD_LIBRARY_PATH": os.pathsep.join([*filter(None, [os.environ.get("LD_LIBRARY_PATH")]), *_libraries()]),
        }
        self._tests = _copy_tests(settings)
        self.stood_in = _stood_in()

    @property
    def elapsed(self) -> float:
        """Seconds since the call began."""
        return time.monotonic() - self._begun

    def stand_in_for_tensorrt(self) -> None:
        """TensorRT-RTX does not run here: the tests' stand-in proves the runtime around it, on the real driver."""
        modules = str(self.settings.root / "tests/standin/modules")
        self.settings = self.settings.model_copy(update={"flavour": "tensorrt"})
        path = os.pathsep.join([modules, *filter(None, [self.environment.get("PYTHONPATH")])])
        self.environment |= {**self.settings.environment(), "PYTHONPATH": path}
        self.stood_in = [*self.stood_in, "TensorRT"]
        console.print("TensorRT-RTX does not run here: going on with a stand-in that ONNX Runtime computes")

    def do(self, step: Step) -> int | None:
        """Runs a step in what time is left; its exit status, or None if there was no time or it was not asked for."""
        if self._only and step.name.split()[0] not in self._only:
            return None
        left = self._limit - self.elapsed
        facts: dict[str, object] = {"call": self.part, "step": step.name}
        if left < LEAST_S:
            self._note({**facts, "exit": None, "why": "no time left"}, "")
            return None
        started = time.monotonic()
        command = [sys.executable, *step.command(self.settings)]
        log = self.settings.work / "step.log"
        with log.open("w") as output:
            try:
                status: int | str = subprocess.run(
                    command,
                    cwd=self._tests,
                    env=self.environment,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=min(step.seconds, left),
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                status = 124
        said = log.read_text(errors="replace")
        if step.keep:
            (self.settings.out / step.keep).write_text(said)
        seconds = round(time.monotonic() - started, 1)
        self._note({**facts, "exit": status, "seconds": seconds}, said)
        return int(status)

    def _note(self, facts: dict[str, object], said: str) -> None:
        with self._lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": "step", **facts}) + "\n")
        tail = "\n".join(line[:600] for line in said.splitlines()[-25:])
        with (self.settings.out / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"== {facts}\n{tail}\n")
        console.print(f"{facts['step']}: exit {facts['exit']}, {facts.get('seconds', 0)} s", highlight=False)
        write_outcome(self._lines, self.settings, self.stood_in)


def _copy_tests(settings: ProofSettings) -> Path:
    """The project's tests, away from its root."""
    target = settings.work / "project"
    shutil.copytree(settings.root / "tests", target / "tests", dirs_exist_ok=True)
    shutil.copy(settings.root / "pyproject.toml", target)
    return target


def _stood_in() -> list[str]:
    """Which of the tests' stand-ins is on this process's path: what they give is no result of a GPU."""
    found = ["TensorRT"] if importlib.util.find_spec("standin_trt") else []
    try:
        return ["driver", *found] if hasattr(ctypes.CDLL("libcuda.so.1"), "standin_count") else found
    except OSError:
        return found


def _libraries() -> list[str]:
    """Folders of cuBLAS, NVRTC and others in the wheels beside PyTorch, which are on no loader's path."""
    found = importlib.util.find_spec("nvidia")
    roots = (found.submodule_search_locations or []) if found else []
    return sorted({str(path.parent) for root in roots for path in Path(root).rglob("lib*.so*")})


if __name__ == "__main__":
    run_command(run)
