"""The process that one contender lives in: loads it, then does what it is asked, one JSON line each way.

Contenders have processes of their own, so that they share no threads, memory or libraries;
:class:`.contender.Contender` is the other end. Started as ``python -m snl_edge.benchmarks.worker MODULE CLASS SPEC``.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from typing import Any, Protocol, TextIO

from pydantic import BaseModel, ConfigDict

from snl_edge.errors import SnlEdgeError


class Subject(Protocol):
    """What a worker holds. The parent asks for its other methods by name."""

    def describe(self) -> dict[str, Any]:
        """What it is; the worker's first answer."""
        ...


class SubjectSpec(BaseModel):
    """What exactly is measured; it travels to the worker as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def load(self) -> Subject:
        """The subject, ready to be measured; called in the worker alone."""
        raise NotImplementedError


def load_subject(module: str, name: str, spec: str) -> Subject:
    """The contender that the JSON text ``spec`` describes, a `SubjectSpec` of the class ``name`` in ``module``.

    Its module is imported here: some need torch.
    """
    specification: type[SubjectSpec] = getattr(import_module(module), name)
    return specification.model_validate_json(spec).load()


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
        loaded.append(load_subject(*sys.argv[1:]))
        return loaded[0].describe()

    if "error" not in _answer(answers, load):
        serve(loaded[0], sys.stdin, answers)


if __name__ == "__main__":
    main()
