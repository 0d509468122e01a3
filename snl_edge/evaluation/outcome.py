"""What verdicts do to a labelled set of parts, as a plant counts it: caught, escaped, falsely stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_args

from snl_edge.runtime.verdict import VerdictKind
from snl_edge.scoring.intervals import Share


@dataclass(frozen=True)
class Outcome:
    """Counts of verdicts. Only ``good`` lets a part pass: an ``unknown`` one is stopped, and counted apart as well."""

    good: int
    falsely_rejected: int
    falsely_unknown: int
    defective: int
    rejected: int
    unknown: int
    """Defective parts that were taken for an unknown product."""

    @classmethod
    def of(cls, verdicts: Iterable[tuple[bool, VerdictKind]]) -> Outcome:
        """From pairs: whether the part is good, and what was said of it."""
        counts = Counter(verdicts)
        good, defective = (sum(counts[of, kind] for kind in get_args(VerdictKind)) for of in (True, False))
        return cls(
            good,
            counts[True, "reject"],
            counts[True, "unknown"],
            defective,
            counts[False, "reject"],
            counts[False, "unknown"],
        )

    @property
    def caught(self) -> Share:
        """Defective parts that were stopped."""
        return Share(self.rejected + self.unknown, self.defective)

    @property
    def escaped(self) -> Share:
        """Defective parts that passed."""
        return Share(self.defective - self.rejected - self.unknown, self.defective)

    @property
    def falsely_stopped(self) -> Share:
        """Good parts that were stopped."""
        return Share(self.falsely_rejected + self.falsely_unknown, self.good)

    def figures(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return {
            "caught": self.caught.figures() | {"as_unknown": self.unknown},
            "escaped": self.escaped.figures(),
            "falsely_stopped": self.falsely_stopped.figures() | {"as_unknown": self.falsely_unknown},
        }
