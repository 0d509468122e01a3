"""The bare teacher, cut out of a fused graph: the least time that any method on this backbone takes.

The bytes of an image in, normalisation and the network up to stride 16, features out, in the precision of the graph it
is cut from. What the whole graph takes beyond it is the student, the memory, recognition and map.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import utils

from snl_edge.atomic import replacing
from snl_edge.errors import ExportError
from snl_edge.outside.graph_file import read_onnx

LEVELS = 3
INPUT = "images"


def write_teacher_graph(graph: Path, target: Path) -> Path:
    """Writes the teacher of the fused ``graph`` and returns ``target``.

    Raises:
        ExportError: the teacher's features cannot be told in it.
    """
    model = onnx.shape_inference.infer_shapes(read_onnx(graph), data_prop=True)
    # Recognition takes the mean of every channel: what it reads is the teacher's. The anomaly map, whose mean is taken,
    # too, has no channels.
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in model.graph.value_info}
    means = [node.input[0] for node in model.graph.node if node.op_type == "ReduceMean"]
    features = [name for name in means if ranks.get(name) == 4]
    if len(features) != LEVELS:
        raise ExportError(f"{graph} does not show its teacher", f"{len(features)} means in place of {LEVELS}")
    with replacing(target) as temporary:
        onnx.save(utils.Extractor(model).extract_model([INPUT], features), temporary)
    return target
