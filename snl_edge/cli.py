"""The command line: one command per verb, each a few lines that call the part that does the work."""

from __future__ import annotations

import importlib.util
import json
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snl_edge import __version__
from snl_edge.errors import ConfigError, SnlEdgeError
from snl_edge.progress import console

if TYPE_CHECKING:
    from snl_edge.data.samples import Dataset
    from snl_edge.evaluation.evaluate import Evaluation

app = typer.Typer(
    help="One visual anomaly detector for every product on the line.\n\n"
    "The way of one model: train → evaluate → build → infer. New here? Run: snl-edge demo",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RUN = Path("runs/snl")


class Layout(str, Enum):
    """Where images lie in a data set's folder."""

    auto = "auto"
    mvtec = "mvtec"
    visa = "visa"
    folder = "folder"


class Precision(str, Enum):
    """Number format of convolutions; delicate parts are FP32 in each."""

    fp32 = "fp32"
    fp16 = "fp16"


class Flavour(str, Enum):
    """Kinds of TensorRT."""

    tensorrt = "tensorrt"
    tensorrt_rtx = "tensorrt_rtx"


class Augment(str, Enum):
    """Random changes of training images."""

    none = "none"
    flips = "flips"
    dihedral = "dihedral"


class Device(str, Enum):
    """Where training runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Data = Annotated[
    Path, typer.Argument(help="Data set: MVTec AD or VisA layout, or a folder (per product) of good images.")
]
LayoutOption = Annotated[Layout, typer.Option(help="Layout of DATA, if it is not recognised by itself.")]
Products = Annotated[str | None, typer.Option(help="Only these products, separated by commas.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Backend = Annotated[str, typer.Option(help="auto, tensorrt, tensorrt_rtx, openvino or onnxruntime.")]


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="Run folder: checkpoint, loss curves, reference images.")] = RUN,
    preset: Annotated[
        str, typer.Option(help="edge (EfficientNet-Lite0), balanced (ResNet-18), accurate (WRN-50-2).")
    ] = "accurate",
    weights: Annotated[
        str | None, typer.Option(help="Teacher's weights: timm, packaged, or a .safetensors or .pth file.")
    ] = None,
    size: Annotated[str | None, typer.Option(help="Input size, as 256 or HEIGHTxWIDTH; multiples of 32.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any model setting, as student.cram.centres=32.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = 1200,
    batch_size: Annotated[int, typer.Option(min=2, help="Images per step.")] = 16,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-3,
    augment: Annotated[
        Augment, typer.Option(help="none; flips; dihedral, for parts that lie any way round.")
    ] = Augment.none,
    false_reject_budget: Annotated[float, typer.Option(help="Share of good parts the threshold may reject.")] = 0.01,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, images and machine: same model.")] = 0,
    cache_gib: Annotated[
        float, typer.Option(min=0, help="Memory for decoded images and teacher features, in GiB.")
    ] = 4.0,
    device: Annotated[Device, typer.Option(help="Where to train.")] = Device.auto,
    cluster: Annotated[
        str | None, typer.Option(help="Nobody sorted DATA: find its products, a number of them or auto.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    layout: LayoutOption = Layout.auto,
    products: Products = None,
) -> None:
    """Learn what good parts look like, from images of good parts only.

    Example: [bold]snl-edge train mvtec/ --preset edge --out runs/line3[/bold]
    """
    _require("torch", "timm", "safetensors", "matplotlib", *(["sklearn"] if cluster else []), extra="train")
    from snl_edge.model.config import override
    from snl_edge.model.presets import preset as named
    from snl_edge.training.config import TrainingConfig
    from snl_edge.training.loop import train as run_training

    changes = [*([f"teacher.weights={weights}"] if weights else []), *_size_settings(size), *(settings or [])]
    config, dataset = override(named(preset), changes), _open(data, layout, products)
    if cluster is not None:
        from snl_edge.training.cluster import cluster_products

        dataset = cluster_products(dataset, config, cluster, batch_size)
    checkpoint = run_training(
        config,
        TrainingConfig(
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            augment=augment.value,
            false_reject_budget=false_reject_budget,
            seed=seed,
            cache_gib=cache_gib,
            device=device.value,
        ),
        dataset,
        out,
        resume=resume,
    )
    calibration = checkpoint.calibration
    console.print(
        f"trained on {checkpoint.training_images} good images of {len(checkpoint.products)} products "
        f"in {checkpoint.seconds:.0f} s; "
        f"threshold from {calibration.good_images} held-out images ({calibration.method})"
    )
    console.print(f"next: snl-edge evaluate {data} --model {out}   or: snl-edge build {out} --precision fp16")


@app.command()
def evaluate(
    data: Data,
    model: Annotated[Path, typer.Option(help="Run folder, or bundle.")] = RUN,
    out: Annotated[Path | None, typer.Option(help="Report folder; MODEL/report if not given.")] = None,
    backend: Backend = "auto",
    threshold: Annotated[float | None, typer.Option(help="Another threshold than the model's own.")] = None,
    layout: LayoutOption = Layout.auto,
    products: Products = None,
    as_json: Json = False,
) -> None:
    """Measure detection on a labelled test set and write an HTML report.

    Example: [bold]snl-edge evaluate mvtec/ --model runs/line3[/bold]
    """
    _require_for_run(model)
    from snl_edge.evaluation.report import write_report
    from snl_edge.evaluation.run import evaluate_model

    evaluation, provenance = evaluate_model(model, _open(data, layout, products), backend=backend, threshold=threshold)
    html, metrics = write_report(
        evaluation, out or model / "report", title=f"{model.name} on {data.name}", provenance=provenance
    )
    if as_json:
        print(json.dumps(evaluation.figures(), indent=2))
    else:
        _print_evaluation(evaluation)
    console.print(f"report: {html}, figures: {metrics}")


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Run folder that `train` wrote.")] = RUN,
    out: Annotated[Path, typer.Option(help="The ONNX file to write.")] = Path("snl.onnx"),
    precision: Annotated[Precision, typer.Option(help="Types written into the graph.")] = Precision.fp32,
) -> None:
    """Write one fused ONNX graph: image bytes in, calibrated anomaly map and score out.

    Example: [bold]snl-edge export runs/line3 --precision fp16 --out line3.onnx[/bold]
    """
    _require("torch", "timm", "onnx", "onnxsim", extra="train")
    from snl_edge.export.build import make_graphs
    from snl_edge.export.onnx_graph import save_graph

    _, graphs, _ = make_graphs(run, precision.value)
    save_graph(graphs[precision.value], out)
    console.print(f"wrote {out}")


@app.command()
def build(
    source: Annotated[
        Path, typer.Argument(help="Run folder (needs torch), or a bundle (on the device, without torch).")
    ] = RUN,
    precision: Annotated[Precision, typer.Option(help="Precision of graph and engine.")] = Precision.fp16,
    out: Annotated[Path | None, typer.Option(help="Bundle folder; SOURCE/bundle if not given.")] = None,
    onnx_only: Annotated[
        bool, typer.Option("--onnx-only", help="No engine: the bundle runs on OpenVINO or ONNX Runtime.")
    ] = False,
    max_batch: Annotated[int | None, typer.Option(min=1, help="Largest batch; 8, or what the bundle says.")] = None,
    flavour: Annotated[Flavour | None, typer.Option(help="Which TensorRT, if both are installed.")] = None,
    compute_capability: Annotated[
        list[str] | None, typer.Option(help="Target GPU, as 8.6 (repeatable; TensorRT-RTX): builds without a GPU.")
    ] = None,
    workspace_mib: Annotated[
        int | None, typer.Option(min=1, help="Limit of TensorRT's scratch memory while building.")
    ] = None,
) -> None:
    """Make the bundle that a device needs, with a TensorRT engine in it.

    Example: [bold]snl-edge build --precision fp16[/bold]

    On the device: [bold]snl-edge build bundle/ --precision fp16[/bold]
    """
    _require_for_run(source)
    from snl_edge.export.build import build as run_build

    bundle = run_build(
        source,
        out,
        precision.value,
        engine=not onnx_only,
        max_batch=max_batch,
        flavour=flavour.value if flavour else None,
        compute_capabilities=compute_capability,
        workspace_bytes=workspace_mib * 2**20 if workspace_mib else None,
    )
    console.print(f"next: snl-edge infer IMAGES --bundle {bundle}")


@app.command()
def infer(
    images: Annotated[list[str], typer.Argument(help="Image files, folders (searched through) or quoted globs.")],
    bundle: Annotated[Path, typer.Option(help="Bundle folder.")] = RUN / "bundle",
    out: Annotated[Path | None, typer.Option(help="Folder for heatmap overlays and verdicts.jsonl.")] = None,
    backend: Backend = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32 or fp16.")] = "auto",
    threshold: Annotated[
        float | None, typer.Option(help="Another threshold for this call; 0.5 is the default.")
    ] = None,
    product: Annotated[str | None, typer.Option(help="The product shown; recognised if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line per image on stdout.")] = False,
) -> None:
    """Give a verdict and a heatmap for each image. Leaves with 1 if an image could not be read.

    Example: [bold]snl-edge infer camera/*.png --bundle runs/line3/bundle --out verdicts/[/bold]
    """
    from snl_edge.runtime.batch import infer_files

    failed = infer_files(
        images, bundle, out, backend=backend, precision=precision, threshold=threshold, product=product, as_json=as_json
    )
    if failed:
        raise typer.Exit(1)


@app.command()
def threshold(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.")],
    value: Annotated[float | None, typer.Argument(help="The new threshold; shows those in force if not given.")] = None,
    product: Annotated[str | None, typer.Option(help="Of this product only; without it, of all others.")] = None,
    unknown: Annotated[
        float | None, typer.Option(help="New limit of the product distance: above it a product is unknown.")
    ] = None,
) -> None:
    """Show or set the thresholds in force; nothing has to be built again.

    Example: [bold]snl-edge threshold line3/ 0.55 --product gear[/bold]

    Or: [bold]snl-edge threshold line3/ --unknown 1.3[/bold]
    """
    from snl_edge.runtime.bundle import Bundle

    opened = Bundle.open(bundle)
    if value is not None:
        opened = opened.set_threshold(value, product)
    if unknown is not None:
        opened = opened.set_unknown_limit(unknown)
    for name in opened.manifest.products:
        print(f"{name}: {opened.manifest.threshold_for(name):.3f}")
    print(f"(no threshold of its own): {opened.manifest.threshold:.3f}")
    print(f"(unknown product, above distance): {opened.manifest.unknown_limit:.3f}")


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="Run folder, bundle, ONNX graph or engine.")],
    as_json: Json = False,
) -> None:
    """Say what a file or folder of ours is, where it came from, and whether it is intact.

    Example: [bold]snl-edge inspect runs/line3/bundle[/bold]
    """
    from snl_edge.inspection import as_lines, describe

    _require_for_run(path)
    if path.suffix == ".onnx":
        _require("onnx", "onnxsim", extra="train")
    record = describe(path)
    if as_json:
        print(json.dumps(record, indent=2))
    else:
        width = max(len(name) for name, _ in as_lines(record))
        for name, value in as_lines(record):
            print(f"{name:<{width}}  {value}")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine can do and what to install for the rest.

    Example: [bold]snl-edge doctor[/bold]
    """
    from snl_edge.doctor import examine, print_findings

    findings = examine()
    if as_json:
        print(json.dumps(findings, indent=2))
    else:
        print_findings(findings)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo"),
    quick: Annotated[
        bool, typer.Option("--quick", help="Two products and a few steps: shows that all works, not how well.")
    ] = False,
) -> None:
    """Draw a synthetic production line, then train, evaluate, build FP16 and infer on it.

    Example: [bold]snl-edge demo[/bold]
    """
    _require("torch", "timm", "onnx", "onnxsim", extra="train")
    from snl_edge.demo import run_demo

    run_demo(out, quick=quick)


def main() -> None:
    """Entry point: runs a command; an error of ours becomes one line on stderr and exit code 1, Ctrl-C 130."""
    try:
        app()
    except SnlEdgeError as error:
        print(f"snl-edge: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("snl-edge: interrupted.", file=sys.stderr)
        sys.exit(130)


def _require(*modules: str, extra: str) -> None:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise ConfigError(
            f"this command needs {', '.join(missing)}",
            "the base install leaves them out",
            f'run: pip install "snl-edge[{extra}]"',
        )


def _require_for_run(path: Path) -> None:
    """A run folder needs torch, a bundle does not."""
    from snl_edge.training.config import CHECKPOINT

    if (path / CHECKPOINT).exists():
        _require("torch", "timm", "safetensors", "onnx", "onnxsim", extra="train")


def _open(data: Path, layout: Layout, products: str | None) -> Dataset:
    from snl_edge.data.layouts import open_dataset

    return open_dataset(data, layout.value, [name.strip() for name in products.split(",")] if products else None)


def _size_settings(size: str | None) -> list[str]:
    if size is None:
        return []
    height, _, width = size.lower().partition("x")
    return [f"height={height}", f"width={width or height}"]


def _print_evaluation(evaluation: Evaluation) -> None:
    from rich.console import Console
    from rich.table import Table

    columns = ("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "aupro")
    table = Table("product", *(name.replace("_", " ") for name in columns), "false rejects", "escapes", box=None)
    rows = [
        (name, [getattr(r, c) for c in columns], r.at_threshold.false_reject_rate, r.at_threshold.escape_rate)
        for name, r in evaluation.products.items()
    ]
    mean = evaluation.mean
    rows.append(("mean", [mean[c] for c in columns], mean["false_reject_rate"], mean["escape_rate"]))
    for name, values, false_rejects, escapes in rows:
        table.add_row(name, *(f"{100 * value:.1f}" for value in [*values, false_rejects, escapes]))
    Console().print(table)
    seen = evaluation.recognition
    print(
        f"products recognised: {100 * seen.accuracy:.1f} % of good parts, {100 * seen.false_unknown_rate:.1f} % "
        f"called unknown; of defective parts {100 * seen.defective_accuracy:.1f} %, "
        f"{100 * seen.defective_unknown_rate:.1f} %"
    )
