"""Speed on the CPU beside peers, in one interleaved run: image in, anomaly map and score out, one image at a time.

``python -m studies.speed.beside_peers --rounds 15``

Ours takes the bytes of an image and gives a verdict, through the `Detector`; a peer's graph gets a float image that is
resized and normalised already. Every contender lives in a process of its own with equally many threads. Weights are
random unless bundles are given: time does not depend on them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from snl_edge.benchmarks.bench import rotated
from snl_edge.benchmarks.contender import Contender
from snl_edge.benchmarks.detector_subject import DetectorSpec
from snl_edge.benchmarks.figures import end_to_end
from snl_edge.benchmarks.latency import paired_ratio
from snl_edge.benchmarks.system import Watch, describe_system
from snl_edge.benchmarks.worker import SubjectSpec
from snl_edge.cli.options import parse_size
from snl_edge.errors import ConfigError, SnlEdgeError
from snl_edge.progress import console
from snl_edge.provenance import revision
from snl_edge.runtime.backend import backend_kind
from snl_edge.runtime.bundle import Bundle
from snl_edge.runtime.manifest import OPENVINO_GATES

from ..command import run_command
from ..peers.environment import export_peers
from ..random_models import MODELS, write_random_bundle
from ..result_files import FOLDER, save_result
from .graph_subject import GraphSpec
from .teacher_graph import write_teacher_graph
from .torch_subject import TorchSpec

KIND = "speed"
GROUPS = {
    "edge": ("efficientad_s", "anomavision_padim_resnet18"),
    "resnet18": ("anomalib_rd_resnet18", "anomavision_padim_resnet18"),
    "wide_resnet50_2": ("anomalib_rd_wide_resnet50_2",),
}
"""What stands at once beside our model of that name: peers of the same backbone, or of the same purpose."""
OURS = "snl_"
TEACHER = "teacher_"
"""Contenders that are the teacher of ours alone, by backend and precision."""
END_TO_END_BATCHES = (1, 2, 4, 8)


def speed(
    name: Annotated[str, typer.Option(help="Name of the result file.")] = "cpu",
    groups: Annotated[str, typer.Option(help="Which, separated by commas.")] = ",".join(GROUPS),
    rounds: Annotated[int, typer.Option(min=1)] = 15,
    seconds: Annotated[float, typer.Option(min=0.01, help="Of each contender in a round.")] = 1.0,
    threads: Annotated[int | None, typer.Option(min=1, help="Of each; all cores if not given.")] = None,
    frame: Annotated[str, typer.Option(help="Camera's size for the way that includes the resize.")] = "640x480",
    bundle: Annotated[
        list[str] | None, typer.Option(help="GROUP=FOLDER: a real bundle in place of random weights (repeatable).")
    ] = None,
    compile_: Annotated[bool, typer.Option("--compile/--no-compile", help="With torch.compile (minutes).")] = True,
    work: Annotated[Path, typer.Option(help="Folder where graphs are kept for the next run.")] = Path("runs/speed"),
    results: Annotated[Path, typer.Option(help="Folder of the result file.")] = FOLDER,
) -> None:
    """Measures all contenders of each group, round after round, and writes a result file."""
    revision()  # of the code that starts, whatever is committed meanwhile
    count, size = threads or len(os.sched_getaffinity(0)), parse_size(frame)
    chosen = choose_groups(groups)
    given = {entry.partition("=")[0]: entry.partition("=")[2] for entry in bundle or []}
    if unknown := set(given) - set(GROUPS):
        raise ConfigError(f"--bundle names no group: {', '.join(unknown)}", fix=f"write {', '.join(GROUPS)}=FOLDER")
    watch = Watch()
    figures: dict[str, Any] = {"groups": {}}
    for group in chosen:
        console.rule(group)
        folder = Path(given[group]) if group in given else random_bundle(group, work)
        specs = make_specs(group, folder, export_peers(GROUPS[group], work), count, size, compile_)
        specs |= teacher_specs(specs, work / f"{group}-teacher")
        figures["groups"][group] = measure_group(group, specs, rounds, seconds, count, watch)
        figures["groups"][group]["weights"] = "of a trained run" if group in given else "random"
    figures["noise"] = watch.findings()
    path = save_result(
        KIND,
        name,
        settings={"rounds": rounds, "seconds": seconds, "threads": count, "frame": size, "batch": 1},
        figures=figures,
        system=describe_system([]),
        folder=results,
        file=f"speed-{name}.json",
    )
    for warning in figures["noise"]["warnings"]:
        console.print(f"warning: {warning}", style="yellow")
    console.print(f"wrote {path.name}")


def choose_groups(text: str) -> list[str]:
    """The groups named in ``text``.

    Raises:
        ConfigError: there is no such group.
    """
    names = [word.strip() for word in text.split(",")]
    if unknown := [word for word in names if word not in GROUPS]:
        raise ConfigError(f"there is no group {', '.join(unknown)!r}", fix=f"choose among {', '.join(GROUPS)}")
    return names


def random_bundle(group: str, work: Path) -> Path:
    """The group's bundle with random weights, made again unless today's code has made it already."""
    folder = work / f"{group}-{revision()}"
    if revision().endswith("+dirty") or not (folder / "manifest.json").is_file():
        console.print(f"exporting our {group} model")
        write_random_bundle(MODELS[group], folder, fast=True)
    return folder


Specs = dict[str, SubjectSpec]


def make_specs(
    group: str, folder: Path, peers: Mapping[str, Path], threads: int, frame: tuple[int, int], compiled: bool
) -> Specs:
    """The specification of every contender, by name."""
    manifest = Bundle.open(folder).manifest
    specs: Specs = {}
    for kind in (backend_kind("openvino"), backend_kind("onnxruntime")):
        backend = kind.name
        for precision in manifest.graphs:
            if precision == "fp16" or precision not in kind.precisions:
                continue  # FP16 is computed in FP32 on a CPU
            gate = OPENVINO_GATES.get(precision)
            if gate and manifest.gates and backend == "openvino" and not manifest.passed(gate):
                continue  # a trained model's; of random weights none is judged
            spec = DetectorSpec(
                bundle=folder.resolve(), backend=backend, precision=precision, frame=frame, threads=threads
            )
            specs[f"{OURS}{backend}_{precision}"] = spec
    graph = (folder / manifest.graphs["fp32"]).resolve()
    specs["openvino_bf16_graph"] = GraphSpec(graph=graph, runtime="openvino", threads=threads)
    specs["pytorch_eager"] = TorchSpec(model=group, compiled=False, threads=threads)
    if compiled:
        specs["pytorch_compile"] = TorchSpec(model=group, compiled=True, threads=threads)
    for peer, path in peers.items():
        options: dict[str, Any] = {"graph": path.resolve(), "threads": threads}
        specs[f"{peer}_openvino"] = GraphSpec(**options, runtime="openvino")
        specs[f"{peer}_openvino_f32"] = GraphSpec(**options, runtime="openvino", rounding="f32")
        specs[f"{peer}_onnxruntime"] = GraphSpec(**options, runtime="onnxruntime")
    return specs


def teacher_specs(specs: Mapping[str, SubjectSpec], folder: Path) -> Specs:
    """The bare teacher of every detector of ours among ``specs``, its graph written to ``folder``.

    Raises:
        ExportError: a graph does not show its teacher.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: Specs = {}
    for name, spec in specs.items():
        if isinstance(spec, DetectorSpec):
            bundle = Bundle.open(spec.bundle)
            whole = bundle.graph(spec.precision)  # pyright: ignore[reportArgumentType]
            graph = write_teacher_graph(whole, folder / f"{spec.precision}.onnx")
            found[TEACHER + name.removeprefix(OURS)] = GraphSpec(
                graph=graph.resolve(),
                runtime=spec.backend,  # pyright: ignore[reportArgumentType]
                threads=spec.threads,
                rounding="typed" if spec.precision == "bf16" else "f32",
                size=bundle.manifest.input.size,
            )
    return found


def measure_group(group: str, specs: Specs, rounds: int, seconds: float, threads: int, watch: Watch) -> dict[str, Any]:
    """All rounds of one group; its figures."""
    failed: dict[str, str] = {}
    with ExitStack() as stack:
        contenders = load(stack, specs, seconds, threads, failed)
        times = measure_rounds(group, contenders, rounds, seconds, watch)
        ends = end_to_end_of(contenders, rounds, seconds)
    return group_figures(times) | {
        "end_to_end": ends,
        "failed": failed,
        "descriptions": {contender.name: contender.about["description"] for contender in contenders},
    }


def load(stack: ExitStack, specs: Specs, seconds: float, threads: int, failed: dict[str, str]) -> list[Contender]:
    """Every contender in a process of its own, warm, for as long as ``stack`` lives; why a peer ``failed``."""
    contenders: list[Contender] = []
    for name, spec in specs.items():
        console.print(f"loading {name}")
        try:
            contender = stack.enter_context(Contender(name, spec, threads))
            contender.ask("calls", batch=1, seconds=seconds)  # warm-up
            contenders.append(contender)
        except SnlEdgeError as error:
            if name.startswith(OURS):
                raise
            failed[name] = str(error)
            console.print(str(error), style="yellow")
    return contenders


def measure_rounds(
    group: str, contenders: Sequence[Contender], rounds: int, seconds: float, watch: Watch
) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of each contender and way, the median of each round; every round starts with another contender."""
    times: dict[str, dict[str, list[float]]] = {}
    for turn in range(rounds):
        watch.probe()
        for contender in rotated(contenders, turn):
            found = contender.ask("calls", batch=1, seconds=seconds)["seconds"]
            for way, taken in found.items():
                times.setdefault(contender.name, {}).setdefault(way, []).append(1e3 * median(taken))
        console.print(f"{group}: round {turn + 1} of {rounds}")
    return times


def end_to_end_of(contenders: Sequence[Contender], rounds: int, seconds: float) -> dict[str, Any]:
    """Throughput from frame to verdict over the bare backend's, of our FP32 graph in OpenVINO."""
    ours = next(contender for contender in contenders if contender.name == f"{OURS}openvino_fp32")
    latencies: dict[tuple[str, int], list[list[float]]] = {}
    for _ in range(rounds):
        for batch in END_TO_END_BATCHES:
            for way, taken in ours.ask("calls", batch=batch, seconds=seconds)["seconds"].items():
                latencies.setdefault((way, batch), []).append(taken)
    return end_to_end(latencies, END_TO_END_BATCHES)


def group_figures(times: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, Any]:
    """Medians over rounds in milliseconds, our best against every other contender, and each against its bare teacher.

    Ours counts from a frame of the input's size to the verdict (``fitted``), as no peer resizes; against the teacher,
    which ends with its features, the backend alone counts.
    """
    main = {name: ways.get("fitted") or ways["graph"] for name, ways in times.items()}
    best = min((name for name in main if name.startswith(OURS)), key=lambda name: median(main[name]))
    return {
        "milliseconds": {
            name: {way: {"median": round(median(r), 3), "rounds": [round(v, 3) for v in r]} for way, r in ways.items()}
            for name, ways in times.items()
        },
        "best": best,
        "of_teacher": {
            name: paired_ratio(times[name]["backend"], main[teacher])
            for name in main
            if name.startswith(OURS) and (teacher := TEACHER + name.removeprefix(OURS)) in main
        },
        "ratios": {name: paired_ratio(main[best], rows) for name, rows in main.items() if name != best},
    }


if __name__ == "__main__":
    run_command(speed)
