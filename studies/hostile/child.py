"""A process that reads inputs one after the other, in little memory and time: what it dies of is a finding.

It says what became of each by a letter on stdout, so that the parent knows at which one it died.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from snl_edge.errors import SnlEdgeError
from snl_edge.outside.shown import shown

from .bombs import Make, bombs
from .parsers import PARSERS, Parser

MEMORY, SECONDS, WAITED = 2 * 2**30, 10, 60
"""Bytes of address space beyond what a process has when its imports are done; seconds of processor time for one input,
and seconds by the clock, for what waits."""
ACCEPTED, REFUSED, TRACEBACK, UNPRINTABLE = "artu"
"""What became of an input; the last is an error of ours that is not one line of visible text."""


def main(name: str, seed: int, first: int, count: int, findings: Path) -> None:
    """Reads ``count`` inputs of the parser ``name``: bombs first, then mutations."""
    parser = PARSERS[name]
    found = list(bombs(name, is_file=parser.is_file).items())
    originals = parser.seeds()
    with tempfile.TemporaryDirectory() as folder:
        _attempt(parser, originals[0], Path(folder) / "warm")  # whatever is imported late, is now
        _limit_memory()
        slowest = 0.0
        for number in range(first, first + count):
            place = Path(folder) / "input"
            path = place / parser.file
            path.parent.mkdir(parents=True, exist_ok=True)
            label = f"mutation {number}"
            if number < len(found):
                label, make = found[number]
                _put(make, path)
            else:
                rng = random.Random(f"{seed} {name} {number}")
                path.write_bytes(parser.change(rng.choice(originals), rng, originals))
            began = time.process_time()
            # Without handlers: a decoder that hangs in C is ended, too.
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            signal.alarm(WAITED)
            outcome, words = _outcome(parser, path)
            signal.alarm(0)
            signal.setitimer(signal.ITIMER_PROF, 0)
            slowest = max(slowest, time.process_time() - began)
            if outcome not in (ACCEPTED, REFUSED):
                with findings.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"parser": name, "number": number, "input": label, "said": words}) + "\n")
            os.write(1, outcome.encode())
            if number < len(found) or number % 500 == 0:
                shutil.rmtree(place, ignore_errors=True)
        os.write(1, f"\n{slowest:.3f}".encode())


def _put(make: Make, path: Path) -> None:
    """Making a bomb takes memory of its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    make(path)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    now = pages * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, hard))


def _attempt(parser: Parser, content: bytes, place: Path) -> None:
    path = place / parser.file
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    parser.read(path)


def _outcome(parser: Parser, path: Path) -> tuple[str, str]:
    try:
        parser.read(path)
    except SnlEdgeError as error:
        text = str(error)
        return (REFUSED if shown(text) == text else UNPRINTABLE), text
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return TRACEBACK, f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"[:500]
    return ACCEPTED, ""


if __name__ == "__main__":
    asked = argparse.ArgumentParser("studies.hostile.child", description="Inputs of one parser; the fuzz starts it.")
    asked.add_argument("name", metavar="PARSER", choices=PARSERS, help=", ".join(PARSERS))
    for number, meaning in (("seed", "of the mutations"), ("first", "number of an input"), ("count", "of inputs")):
        asked.add_argument(number, metavar=number.upper(), type=int, help=meaning)
    asked.add_argument("findings", metavar="FILE", type=Path, help="JSON lines are added to it")
    given = vars(asked.parse_args())
    with contextlib.redirect_stdout(sys.stderr):  # only letters go to stdout
        main(**given)
