"""What `infer` writes of pictures and of a whole call, as JSON: the one place where its form is defined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ..image import DepthWatch, suspected_bits
from ..runtime.verdict import Objection, Verdict, VerdictKind

VERSION = 1
"""Of `Run`; grows when a field changes its meaning or goes. New fields may come without."""
Line = dict[str, Any]
"""What is said of one picture: a `JudgedPicture` or a `FailedPicture` as JSON has it."""


class _Written(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RegionOfPicture(_Written):
    """A connected region of the map above the threshold."""

    box: tuple[int, int, int, int] = Field(description="x, y, width and height in pixels of the picture.")
    area: float = Field(description="Share of the picture that it covers, 0 to 1.")
    peak: float = Field(description="Largest value of the map in it, on the scale of the score.")


class JudgedFrame(_Written):
    """A verdict, as `Verdict.to_dict` gives it."""

    verdict: VerdictKind
    product: str | None = Field(description="As named, else as recognised; null where it is unknown.")
    recognised: str | None = Field(description="The learned product it looked most like, whatever was named.")
    product_distance: float = Field(description="From the nearest product that was learned.")
    score: float
    threshold: float | None = Field(description="What the score was held against. Null where no score would matter.")
    relation: float | None = Field(description="Score over threshold: compares products; above 1 is a reject.")
    regions: tuple[RegionOfPicture, ...] = Field(description="Highest peak first, 16 at most.")
    reason: Objection | None = Field(description="What recognition holds against the product that was named.")
    doubts: tuple[str, ...] = Field(description="Why it may not be trusted as it stands, a sentence each.")


class _Named(_Written):
    path: str = Field(description=r"As given or found; bytes that are no UTF-8 as \xNN.")
    path_bytes: str = Field(default="", description="Its bytes in hexadecimal, only where they are no UTF-8.")
    sha256: str = Field(default="", description="Of the file's content; only absent where it could not be read.")


class JudgedPicture(JudgedFrame, _Named):
    """A picture that was judged. One with `error` could not be dealt with to the end: its overlay is not there."""

    largest_value: int = Field(default=0, description="Only of a 16-bit file where the bundle does not say its depth.")
    overlay: str = Field(default="", description="The file, only where one was written.")
    error: str = Field(default="", description="What failed after it was judged; absent if nothing did.")


class FailedPicture(_Named):
    """A picture that was not judged."""

    error: str


class OfProduct(_Written):
    """The pictures of one product."""

    good: int
    reject: int
    unknown: int = Field(description="Named as this product, and not taken for it.")
    relation_median: float | None
    relation_highest: float | None


class Doubt(_Written):
    """What is doubtful, and of how many pictures."""

    doubt: str
    pictures: int


class Summary(_Written):
    """All pictures together."""

    pictures: int
    good: int
    reject: int
    unknown: int
    errors: int = Field(description="Pictures that were not judged, or whose overlay could not be written.")
    products: dict[str, OfProduct]
    doubts: tuple[Doubt, ...]


class Settings(_Written):
    """What the verdicts follow from. To go on after an interruption it must be the same."""

    snl_edge: str
    bundle: str = Field(description="Name in its manifest.")
    digest: str = Field(description="The bundle's, as `snl-edge inspect` shows it.")
    thresholds: dict[str, float] = Field(description="In force, of each product, at the precision that ran.")
    unknown_limit: float = Field(description="Distance from the nearest product beyond which a part is unknown.")
    graph: str | None = Field(description="SHA-256 of the ONNX graph that ran; null where an engine did.")
    engine: str | None = Field(description="SHA-256 of the TensorRT engine that ran; null where a graph did.")
    backend: str
    batch: int
    threshold: float | None
    product: str | None
    compare: bool
    overlays: str
    pictures: int
    paths: str = Field(description="SHA-256 of the pictures' paths.")


class Run(_Written):
    """A call with --out, beside its `verdicts.jsonl`."""

    version: Literal[1] = VERSION
    settings: Settings
    summary: Summary | None = Field(description="Null until all pictures are judged.")


AnyLine = Annotated[JudgedPicture | FailedPicture, Field(union_mode="left_to_right")]
LINE: TypeAdapter[JudgedPicture | FailedPicture] = TypeAdapter(AnyLine)


def json_schema() -> dict[str, Any]:
    """JSON Schema of all that `infer` writes as JSON, and of what `Verdict.to_dict` gives."""
    schema = TypeAdapter(AnyLine | JudgedFrame | Run).json_schema()
    return {"title": "snl-edge infer", **schema}


def judged(name: Line, verdict: Verdict, largest: int | None, more: str = "") -> Line:
    """The line of a picture.

    Args:
        name: what it says of the file.
        verdict: of it.
        largest: its largest value, of 16 bits, where nobody said how many were filled.
        more: what else the file holds, in words.
    """
    line = name | verdict.to_dict()
    if largest is not None:
        line["largest_value"] = largest
        if (bits := suspected_bits(largest)) is not None:
            line["doubts"].append(
                f"no value of its 16 bits is above {2**bits - 1}: {bits} bits? Read as 16 it is seen too dark"
            )
    if more:
        line["doubts"].append(more)
    return line


def summarise(lines: Sequence[Line]) -> Summary:
    """What they say together; nothing else goes into it."""
    counts = Counter(line.get("verdict") for line in lines)
    doubts = Counter(doubt for line in lines for doubt in line.get("doubts", ()))
    names = sorted({line["product"] for line in lines if line.get("product")})
    return Summary(
        pictures=len(lines),
        good=counts["good"],
        reject=counts["reject"],
        unknown=counts["unknown"],
        errors=sum("error" in line for line in lines),
        products={name: _of_product([line for line in lines if line.get("product") == name]) for name in names},
        doubts=tuple(Doubt(doubt=doubt, pictures=count) for doubt, count in doubts.most_common()),
    )


def _of_product(lines: Sequence[Line]) -> OfProduct:
    counts = Counter(line["verdict"] for line in lines)
    relations = [line["relation"] for line in lines if line["relation"] is not None]
    return OfProduct(
        good=counts["good"],
        reject=counts["reject"],
        unknown=counts["unknown"],
        relation_median=round(median(relations), 6) if relations else None,
        relation_highest=max(relations, default=None),
    )


def doubtful_depth(lines: Sequence[Line]) -> str | None:
    """One line, where no 16-bit picture uses all its bits and so all may have fewer."""
    watch = DepthWatch()
    for line in lines:
        if "largest_value" in line:
            watch.note(line["largest_value"])
    return watch.doubt
