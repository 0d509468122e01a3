"""An engine file that no TensorRT built, with its side file: for what is done with engines before they are loaded."""

from __future__ import annotations

from snl_edge.runtime.bundle import Bundle
from snl_edge.runtime.engine_record import EngineRecord, Profile
from snl_edge.runtime.manifest import sha256_of


def write_engine(bundle: Bundle, content: bytes = b"engine") -> EngineRecord:
    folder = bundle.path / "engines"
    folder.mkdir(exist_ok=True)
    engine = folder / "tensorrt-fp16-sm87.engine"
    engine.write_bytes(content)
    record = EngineRecord(
        file=engine.name,
        flavour="tensorrt",
        version="10.3.0",
        compute_capabilities=("8.7",),
        gpu="Orin",
        precision="fp16",
        profiles=(Profile(min=1, opt=1, max=1), Profile(min=2, opt=4, max=4)),
        onnx_sha256=bundle.graph_sha256("fp16"),
        engine_sha256=sha256_of(engine),
        layers={"convolution float16": 2},
        built="2026-11-23T12:00:00+00:00",
    )
    record.write(engine)
    return record
