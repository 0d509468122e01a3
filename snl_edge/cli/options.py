"""Options that several commands share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snl_edge.errors import ConfigError

if TYPE_CHECKING:
    from snl_edge.data.samples import Dataset
    from snl_edge.runtime.manifest import FrameSpec

RUN = Path("runs/snl")


class Layout(str, Enum):
    """Where images lie in a data set's folder."""

    auto = "auto"
    mvtec = "mvtec"
    visa = "visa"
    ok_ng = "ok_ng"
    folder = "folder"


class Precision(str, Enum):
    """Number format of convolutions; delicate parts are FP32 in each."""

    fp32 = "fp32"
    fp16 = "fp16"
    int8 = "int8"
    auto = "auto"


class Logger(str, Enum):
    """Where figures go, too."""

    tensorboard = "tensorboard"
    mlflow = "mlflow"


class Colours(str, Enum):
    """Order of a frame's colours."""

    rgb = "rgb"
    bgr = "bgr"


Frame = Annotated[
    str | None,
    typer.Option(
        help="Size of the camera's frames, WIDTHxHEIGHT: the graphs then take these alone and resize them on the "
        "device. For a GPU; without it the host resizes frames of any size."
    ),
]
FrameColours = Annotated[
    Colours, typer.Option(help="Order of colours in these frames: bgr as most cameras give them, rgb as image files.")
]
Data = Annotated[
    Path,
    typer.Argument(
        help="Data set: folders named good and bad, MVTec AD or VisA layout, a folder (per product) of good images, or "
        "a CSV table."
    ),
]
LayoutOption = Annotated[
    Layout,
    typer.Option(help="Layout of DATA, if not recognised by itself; folder: each folder is a product of good parts."),
]
Bits = Annotated[
    int | None,
    typer.Option(min=8, max=16, help="Bits that the camera filled of 16-bit files: 10, 12, 14, or 16 for all."),
]
Products = Annotated[str | None, typer.Option(help="Only these products, separated by commas.")]
Log = Annotated[
    list[Logger] | None,
    typer.Option(help="Losses or metrics go there, too (repeatable; the extra has that name)."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Backend = Annotated[str, typer.Option(help="auto, tensorrt, tensorrt_rtx, openvino or onnxruntime.")]


def parse_size(text: str) -> tuple[int, int]:
    """A camera's size written as ``WIDTHxHEIGHT``, as ``(height, width)``.

    Raises:
        ConfigError: that is no size.
    """
    width, cross, height = text.lower().partition("x")
    sides = (width, height)
    if not cross or not all(side.isdecimal() and len(side) < 8 and int(side) for side in sides):
        raise ConfigError(f"frame size {text!r} is not understood", fix="write WIDTHxHEIGHT, as in 1280x1024")
    return int(height), int(width)


def parse_frame(text: str | None, colours: Colours) -> FrameSpec | None:
    """What ``--frame`` and ``--frame-colours`` say.

    Raises:
        ConfigError: that is no size, or one too large; or there are colours and no size.
    """
    from snl_edge.runtime.manifest import LONGEST_SIDE, FrameSpec

    if text is None:
        if colours is not Colours.rgb:
            raise ConfigError("--frame-colours needs --frame", fix="give the frame's size as well, as 2448x2048")
        return None
    height, width = parse_size(text)
    if max(height, width) > LONGEST_SIDE:
        raise ConfigError(f"a frame of {text} is too large", f"{LONGEST_SIDE} pixels a side are the most")
    return FrameSpec(height=height, width=width, colours=colours.value)


def chosen_products(products: str | None) -> list[str] | None:
    """What ``--products`` names; None for all."""
    return [name.strip() for name in products.split(",")] if products else None


def open_data(data: Path, layout: Layout, products: str | None, *, trains: bool = True) -> Dataset:
    """The data set in ``data``, of all products or of those named, separated by commas; says how it was read.

    ``trains`` says whether each product needs images to train on.
    """
    from snl_edge.workflow.datasets import opened

    return opened(data, layout.value, chosen_products(products), trains=trains)
