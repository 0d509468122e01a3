"""The process that one contender lives in: loads it, then does what it is asked, one JSON line each way.

Contenders have processes of their own, so that none meets another's threads, memory or libraries;
:class:`.contender.Contender` is the other end. Started as ``python -m snl_edge.benchmarks.worker KIND SPEC``.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from typing import Any, Protocol, TextIO

from snl_edge.errors import SnlEdgeError


class Subject(Protocol):
    """What a worker holds. The parent asks for its other methods by name."""

    def describe(self) -> dict[str, Any]:
        """What it is; the worker's first answer."""
        ...


SUBJECTS = {
    "detector": ("detector_subject", "DetectorSubject", "DetectorSpec"),
    "graph": ("graph_subject", "GraphSubject", "GraphSpec"),
    "torch": ("torch_subject", "TorchSubject", "TorchSpec"),
    "ceilings": ("ceilings", "Ceilings", "CeilingsSpec"),
}
"""Kinds of contenders: module, class, and class of the specification. Imported when asked for: some need torch."""


def load_subject(kind: str, spec: str) -> Subject:
    """The contender of this kind that the JSON text ``spec`` describes."""
    module_name, subject, specification = SUBJECTS[kind]
    module = import_module(f".{module_name}", __package__)
    return getattr(module, subject)(getattr(module, specification).model_validate_json(spec))


def serve(subject: Subject, questions: TextIO, answers: TextIO) -> None:
    """Answers each line ``{"ask": name, …}`` with what the subject's method of that name returns."""
    for line in questions:
        question = json.loads(line)
        _answer(answers, lambda q=question: getattr(subject, q.pop("ask"))(**q))


def _answer(answers: TextIO, work: Any) -> Any:
    """Writes what ``work`` returns, or the error that it raised."""
    try:
        result = work()
    except SnlEdgeError as error:
        result = {"error": [type(error).__name__, error.what, error.why, error.fix]}
    except Exception as error:  # of a library; the other end shows it and goes on
        result = {"error": ["SnlEdgeError", "a contender failed", f"{type(error).__name__}: {error}"[:500], ""]}
    print(json.dumps(result), file=answers, flush=True)
    return result


def main() -> None:
    """Loads and serves. Only answers go to stdout: what a library prints there is sent to stderr."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    loaded: list[Subject] = []

    def load() -> dict[str, Any]:
        loaded.append(load_subject(sys.argv[1], sys.argv[2]))
        return loaded[0].describe()

    if "error" not in _answer(answers, load):
        serve(loaded[0], sys.stdin, answers)


if __name__ == "__main__":
    main()
