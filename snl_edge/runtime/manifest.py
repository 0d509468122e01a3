"""`manifest.json`: what training and build decided, and what follows from it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from typing_extensions import Self

from snl_edge.scoring.scale import DECISION, ScoreScale

from ..errors import BundleError, ConfigError
from ..outside.files import MOST_HASHED, opened
from ..outside.json_text import faults
from ..outside.shown import brief

SCHEMA_VERSION = 3
WITHOUT_DIGEST = 2
"""The last version whose manifests did not vouch for themselves."""
FILE = "manifest.json"
KNOWN = 1.0
"""The default limit of the product distance."""
Precision = Literal["fp32", "fp16", "bf16", "int8"]
"""``bf16`` is the FP16 graph, with what is FP16 in it computed in BF16: OpenVINO, on a processor that has it."""
Colours = Literal["rgb", "bgr"]
Bits = Annotated[int, Field(ge=8, le=16)]
"""How many bits of a 16-bit file a camera filled: no file says it, and read as 16 bits a 12-bit picture is black."""
LONGEST_SIDE = 16384
"""Of a frame, in pixels."""
GateName = Literal["fp16", "int8", "openvino_bf16", "openvino_int8"]
"""A precision as TensorRT computes it, or as OpenVINO does on a CPU."""
OPENVINO_GATES: Mapping[Precision, GateName] = {"bf16": "openvino_bf16", "int8": "openvino_int8"}
"""What must have passed before OpenVINO takes a precision by itself; it computes the others in FP32."""


def _inside(path: str) -> str:
    """A bundle may come from elsewhere: nothing in its manifest may point outside its folder."""
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or "\\" in path or not parts.parts:
        raise ValueError(f"{path!r} does not stay inside the bundle")
    return path


RelativePath = Annotated[str, AfterValidator(_inside)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
PositiveFinite = Annotated[float, Field(gt=0, allow_inf_nan=False)]
HIGHEST = 100.0
"""No threshold and no limit is above it: 200 times what decides by default, where no picture scores any more."""
Limit = Annotated[float, Field(gt=0, le=HIGHEST, allow_inf_nan=False)]


class FrameSpec(BaseModel):
    """The one kind of frame that a graph takes which resizes by itself: ``uint8 [height, width, 3]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    height: int = Field(gt=0, le=LONGEST_SIDE)
    width: int = Field(gt=0, le=LONGEST_SIDE)
    colours: Colours = "rgb"

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)``."""
        return self.height, self.width

    @property
    def bytes(self) -> int:
        """Of one frame."""
        return 3 * self.height * self.width

    def __str__(self) -> str:
        return f"{self.width}x{self.height} {self.colours.upper()}"


class InputSpec(BaseModel):
    """The graph's input: ``images`` uint8 ``[B, height, width, 3]`` RGB with B from 1 to ``max_batch``.

    With a ``frame``, ``images`` are frames of that size and order of colours, which the graph fits to the model's
    input of ``height`` and ``width`` itself. The map has the model's size either way.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    height: int = Field(gt=0)
    width: int = Field(gt=0)
    max_batch: int = Field(ge=1)
    frame: FrameSpec | None = None
    bits: Bits | None = None
    """How many bits the camera fills of 16-bit files; None where training was not told, which reads all 16."""

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)`` of the model's input and of the anomaly map."""
        return self.height, self.width

    @property
    def image_size(self) -> tuple[int, int]:
        """``(height, width)`` of ``images``: of the frame if there is one, else of the model's input."""
        return self.size if self.frame is None else self.frame.size

    @property
    def colours(self) -> Colours:
        """Order of the colours in ``images``."""
        return "rgb" if self.frame is None else self.frame.colours

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, usual: SerializerFunctionWrapHandler) -> dict[str, object]:
        written = usual(self)
        # A bundle without them is what it was before there were any.
        return {name: value for name, value in written.items() if value is not None}


class Spread(BaseModel):
    """How one figure spreads over good parts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: float = Field(allow_inf_nan=False)
    std: float = Field(ge=0, allow_inf_nan=False)


class ProductReference(BaseModel):
    """What a product's good parts looked like in training: drift on the line is measured against it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: int = Field(gt=0)
    features: dict[Literal["score", "product_distance", "brightness", "focus"], Spread]
    """Score and distance on the score scale; mean brightness (0 to 255) and variance of the Laplacian of the
    model's input."""


class IgnoredRegion(BaseModel):
    """What of a product does not count: its graphs leave it out of map and score of what they recognise as it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float = Field(gt=0, lt=1)
    """Of the picture's pixels."""
    picture: RelativePath
    """At the model's size; white is ignored."""


class Lineage(BaseModel):
    """What the graphs came from, and where they were made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: int = Field(ge=1)
    """That training was given."""
    trained_images: int = Field(ge=1)
    """Of them, that it learned from; others are held out."""
    images_sha256: Sha256 | None
    """Of the run's record of what each image was used for; None of runs that keep none."""
    steps: int = Field(ge=1)
    seed: int = Field(ge=0)
    start_weights: Sha256 | None = None
    """That the run trained on from."""
    trained: str
    """When, ISO 8601, UTC."""
    revision: str
    """Of the source that trained."""
    host: str
    """Name of the machine that built the bundle."""


class BundleContent(BaseModel):
    """What whoever writes a bundle says of its graphs. All thresholds are on the score scale.

    Each product has its own there as training set it; 0.5 decides on parts of a product without one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    name: str = Field(min_length=1)
    input: InputSpec
    products: tuple[str, ...] = Field(min_length=1)
    threshold: Limit = DECISION
    product_thresholds: dict[str, Limit] = {}
    unknown_limit: Limit = KNOWN
    """A product distance above it is that of an unknown product."""
    reject_limits: dict[str, PositiveFinite] = {}
    """Product distances up to which a part whose score is above the threshold is a reject of the nearest product, not
    unknown. A single product needs none, there being no other; none in bundles of before."""
    score_scale: ScoreScale = Field(validation_alias="calibration", serialization_alias="calibration")
    """Of the FP32 graph; what thresholds in force refer to. Files call it ``calibration``, of old."""
    score_scales: dict[Precision, ScoreScale] = Field(
        default={}, validation_alias="calibrations", serialization_alias="calibrations"
    )
    """Of graphs that have one of their own."""
    parity: dict[Precision, dict[str, JsonValue]] = {}
    gates: dict[GateName, dict[str, JsonValue]] = {}
    """What the accuracy gate measured of each graph."""
    scores_vouch_for_maps: bool = False
    """Whether a value of a map that is no number makes its score none, too: maps need not be looked at to trust it."""
    metrics: dict[str, JsonValue] | None = None
    versions: dict[str, str] = {}
    reference: dict[str, ProductReference] | None = None
    """None in bundles of runs that did not measure it."""
    doubts: tuple[str, ...] = ()
    """What the training images left doubtful, a line each."""
    ignored: dict[str, IgnoredRegion] = {}
    """By product; those that are not here count everywhere."""
    weights_sha256: Sha256 | None = None
    """Of the run's weights that the graphs were made of; None in bundles from before it was noted."""
    lineage: Lineage | None = None
    """None in bundles from before it was noted."""
    held_out: tuple[Sha256, ...] = ()
    """Good images that nothing was fitted to, if the bundle was built with images: engines are judged on them."""

    @classmethod
    def checked(cls, **fields: object) -> Self:
        """As the constructor, with an error of ours.

        Raises:
            BundleError: a field is not what it must be.
        """
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise BundleError("this bundle would not be valid", faults(error), "correct what is named") from error


class Manifest(BundleContent):
    """The content of ``manifest.json``: what was said of the graphs, and the files that hold them.

    The file is never rewritten: that of `Bundle.manifest` has the thresholds that were set since in their place.
    """

    schema_version: Literal[2, 3] = SCHEMA_VERSION
    digest: Sha256 | None = None
    """SHA-256 over all else that the file says (`manifest_file.digest_of`), which holds the SHA-256 of every file that
    decides. None in version 2, and in what was not read from a file."""
    created: str
    graphs: dict[Precision, RelativePath] = Field(min_length=1)
    files: dict[RelativePath, Sha256]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Manifest:
        if unlisted := sorted(set(self.graphs.values()) - set(self.files)):
            raise ValueError(f"graph {unlisted[0]} has no SHA-256 under files")
        if unknown := sorted(set(self.product_thresholds) - set(self.products)):
            raise ValueError(f"product_thresholds names {unknown[0]!r}, which is not under products")
        if unknown := sorted(set(self.reject_limits) - set(self.products)):
            raise ValueError(f"reject_limits names {unknown[0]!r}, which is not under products")
        for product, region in self.ignored.items():
            if product not in self.products:
                raise ValueError(f"ignored names {product!r}, which is not under products")
            if region.picture not in self.files:
                raise ValueError(f"{region.picture} has no SHA-256 under files")
        return self

    def passed(self, gate: GateName) -> bool:
        """Whether this gate was measured and every limit held."""
        return gate in self.gates and not self.gates[gate].get("failures")

    def reject_limit(self, product: str) -> float:
        """Up to which distance a high score makes a reject of ``product``, see ``reject_limits``."""
        return math.inf if len(self.products) == 1 else self.reject_limits.get(product, self.unknown_limit)

    def hides_more(self, recognised: str, named: str) -> bool:
        """Whether graphs may leave out of a picture of ``named``, taken for ``recognised``, what counts on it.

        Told from the files: regions that are not the very same may hide something.
        """
        if recognised == named or recognised not in self.ignored:
            return False
        return named not in self.ignored or self._region_sha256(named) != self._region_sha256(recognised)

    def _region_sha256(self, product: str) -> str:
        return self.files[self.ignored[product].picture]

    def threshold_for(self, product: str | None, precision: Precision = "fp32") -> float:
        """The threshold in force for ``product``; for ``None``, the bundle's own.

        A graph of another ``precision`` scores a product's good parts a little higher or lower than FP32 does; if its
        own score scale says so, the threshold moves along.

        Raises:
            ConfigError: the model was not trained for this product.
        """
        if product is None:
            return self.threshold
        if not isinstance(product, str) or product not in self.products:
            raise ConfigError(
                f"unknown product {brief(product)}",
                f"bundle {self.name} knows {', '.join(self.products)}",
                "give one of these",
            )
        own, common = (
            scale.product_thresholds.get(product)
            for scale in (self.score_scales.get(precision, self.score_scale), self.score_scale)
        )
        shift = own / common if own and common else 1.0
        return shift * self.product_thresholds.get(product, self.threshold)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with opened(Path(path), MOST_HASHED) as (file, _):
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
