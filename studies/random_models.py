"""Our models with random weights, and bundles of them: time and size do not depend on what a network has learned.

A trained bundle has the same nodes and shapes. Needs torch and onnx.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from snl_edge.model.config import MemoryConfig, SnlConfig, StudentConfig, TeacherConfig
from snl_edge.model.presets import preset
from snl_edge.runtime.bundle import Bundle
from snl_edge.runtime.bundle_writer import write_bundle
from snl_edge.runtime.manifest import BundleContent, InputSpec, Precision
from snl_edge.scoring.scale import ScoreScale

if TYPE_CHECKING:
    from snl_edge.model.snl import Snl

MODELS: dict[str, SnlConfig] = {
    "edge": preset("edge"),
    "resnet18": SnlConfig(
        teacher=TeacherConfig(architecture="resnet18"),
        student=StudentConfig(embedding=192, separable=True),
        memory=MemoryConfig(dimensions=192, search=45, finalists=4),
    ),
    "wide_resnet50_2": preset("accurate"),
}
"""Our model on each backbone that peers have, too, by the group of peers that it is compared with; ResNet-18 is no
preset, as it has not been measured on real parts."""
PRODUCTS = tuple(f"product {number}" for number in range(10))
GAIN = ScoreScale(raw_threshold=1.0, false_reject_budget=0.01, good_images=1, method="random weights")
RANGE = 8.0
"""Of every INT8 tensor."""


def random_model(config: SnlConfig, seed: int = 0) -> Snl:
    """The model of ``config`` in evaluation mode, every weight and buffer drawn at random."""
    import torch

    from snl_edge.model.snl import Snl

    torch.manual_seed(seed)
    model = Snl(config, products=len(PRODUCTS), pretrained=False).eval()
    if model.memory is not None:
        memory = model.memory
        shape = (len(memory.config.descriptors), memory.products, memory.config.centres, memory.channels)
        memory.set_centres(torch.randn(shape), memory.owners)
        if memory.expected is not None:
            memory.expected.copy_(torch.empty_like(memory.expected).uniform_(0.1, 0.5).half())
    # Zeros would let a simplifier or a runtime drop what a real bundle computes.
    model.recognition.prototypes.normal_()
    if config.anomaly_map.raised_exponent:
        model.anomaly_map.set_usual(0.5 + torch.rand(2, len(PRODUCTS)))
    return model


def write_random_bundle(
    config: SnlConfig, folder: Path, *, max_batch: int = 8, seed: int = 0, fast: bool = False
) -> Bundle:
    """Writes the bundle of `random_model` with FP32 and FP16 graphs; ``fast`` adds BF16 and INT8, judged by no gate.

    Raises:
        ExportError: a graph cannot be made.
        OutputError: ``folder`` cannot be written.
    """
    from snl_edge.export.onnx_graph import export_onnx, save_graph
    from snl_edge.export.precision import to_fp16
    from snl_edge.export.qdq import find_layers, place, to_int8

    graph = export_onnx(random_model(config, seed), GAIN, PRODUCTS)
    with tempfile.TemporaryDirectory() as temporary:
        graphs: dict[Precision, Path] = {
            "fp32": save_graph(graph, Path(temporary) / "fp32.onnx"),
            "fp16": save_graph(to_fp16(graph), Path(temporary) / "fp16.onnx"),
        }
        if fast:
            graphs["bf16"] = graphs["fp16"]
            ranges = dict.fromkeys(place(graph, find_layers(graph)).readers, RANGE)
            graphs["int8"] = save_graph(to_int8(graph, ranges), Path(temporary) / "int8.onnx")
        return write_bundle(
            folder,
            graphs,
            BundleContent(
                name=f"random-{config.teacher.architecture}",
                input=InputSpec(height=config.height, width=config.width, max_batch=max_batch),
                products=PRODUCTS,
                score_scale=GAIN,
                scores_vouch_for_maps=True,
            ),
        )
