"""Real files of every kind that is read from outside, small ones, for mutations to begin with."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from numpy.typing import NDArray

from snl_edge.infer.lines import Run, Settings
from snl_edge.runtime.manifest import InputSpec, Manifest
from snl_edge.runtime.manifest_file import manifest_text
from snl_edge.runtime.threshold_history import Wanted, history_text
from snl_edge.runtime.thresholds import Thresholds
from snl_edge.scoring.scale import ScoreScale

SIDE = 48
_SHA = "0" * 64
_WHEN = "2026-11-28T12:00:00+00:00"


def picture(seed: int = 0, channels: int = 3, dtype: type = np.uint8) -> NDArray:
    """A drawn part on a textured ground, ``[48, 48, channels]``."""
    rng = np.random.default_rng(seed)
    values = np.clip(rng.normal(90, 12, (SIDE, SIDE, channels)), 0, 255)
    values = np.ascontiguousarray(values.astype(np.uint8))
    cv2.circle(values, (24, 24), 12, (200,) * channels, -1)
    return (values if dtype is np.uint8 else values.astype(np.uint16) * 257).squeeze()


def images() -> list[bytes]:
    """PNG, JPEG, BMP, TIFF and WebP in the variants that cameras and programs write."""
    from PIL import Image

    made = [
        cv2.imencode(suffix, picture(number, channels, dtype), options)[1].tobytes()
        for number, (suffix, channels, dtype, options) in enumerate(
            [
                (".png", 3, np.uint8, ()),
                (".png", 1, np.uint16, ()),
                (".png", 4, np.uint8, ()),
                (".jpg", 3, np.uint8, ()),
                (".jpg", 3, np.uint8, (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
                (".jpg", 1, np.uint8, (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)),
                (".bmp", 3, np.uint8, ()),
                (".bmp", 1, np.uint8, ()),
                (".tif", 3, np.uint8, (cv2.IMWRITE_TIFF_COMPRESSION, 1)),
                (".tif", 3, np.uint16, (cv2.IMWRITE_TIFF_COMPRESSION, 5)),
                (".webp", 3, np.uint8, (cv2.IMWRITE_WEBP_QUALITY, 80)),
                (".webp", 4, np.uint8, (cv2.IMWRITE_WEBP_QUALITY, 101)),
            ]
        )
    ]
    whole = Image.fromarray(picture())
    exif = Image.Exif()
    exif[0x0112] = 6
    ways: tuple[tuple[str, dict[str, Any]], ...] = (
        ("JPEG", {"exif": exif}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("TIFF", {"compression": "jpeg"}),
        ("TIFF", {"compression": "packbits"}),
        ("TIFF", {"big_tiff": True}),
        ("PNG", {"optimize": True}),
        ("BMP", {}),
        ("WEBP", {"lossless": True, "exif": exif}),
    )
    shots = [(image_format, whole, options) for image_format, options in ways]
    shots += [("PNG", whole.convert("P"), {}), ("JPEG", whole.convert("CMYK"), {}), ("TIFF", whole.convert("1"), {})]
    for image_format, shot, options in shots:
        file = io.BytesIO()
        shot.save(file, image_format, **options)
        made.append(file.getvalue())
    return made


def masks() -> list[bytes]:
    """Masks as PNG and JPEG."""
    drawn = np.zeros((SIDE, SIDE), np.uint8)
    drawn[10:20, 12:30] = 255
    return [cv2.imencode(suffix, drawn)[1].tobytes() for suffix in (".png", ".jpg", ".tif", ".bmp")]


def labelme() -> list[bytes]:
    """Outlines of Labelme, with a brushed mask and the picture itself inside."""
    brushed = base64.b64encode(cv2.imencode(".png", np.full((6, 6), 255, np.uint8))[1].tobytes()).decode()
    shapes = [
        {"label": "scratch", "shape_type": "polygon", "points": [[2, 2], [20, 3], [18, 17.5]]},
        {"label": "hole", "shape_type": "circle", "points": [[30, 30], [34, 30]]},
        {"label": "box", "shape_type": "rectangle", "points": [[1, 30], [9, 40]]},
        {"label": "brush", "shape_type": "mask", "points": [[20, 20], [26, 26]], "mask": brushed},
    ]
    file = {"version": "5.4", "shapes": shapes, "imageHeight": SIDE, "imageWidth": SIDE, "imageData": None}
    return [json.dumps(file).encode()]


def coco() -> list[bytes]:
    """Outlines in COCO's format: polygons, runs, packed runs."""
    runs = {"counts": [100, 30, SIDE * SIDE - 130], "size": [SIDE, SIDE]}
    images = [{"id": n, "file_name": f"{n}.png", "height": SIDE, "width": SIDE} for n in (1, 2)]
    segments = [(1, [[2, 2, 20, 3, 18, 17.5]]), (2, runs)]
    annotations = [{"id": n, "image_id": n, "category_id": 1, "segmentation": own} for n, own in segments]
    return [json.dumps({"images": images, "annotations": annotations, "categories": []}).encode()]


def regions() -> list[bytes]:
    """Ignored regions as polygons of ours."""
    return [json.dumps({"polygons": [[[1, 1], [20, 1], [20, 9]]], "size": [SIDE, SIDE]}).encode(), *labelme()]


def tables() -> list[bytes]:
    """Tables of images."""
    lines = [
        "path,label,product,split,mask",
        "a.png,good,gear,train,",
        "b.png,scratch,gear,test,b_mask.png",
        '"c.png",good,gear,,',
    ]
    return [
        "\n".join(lines).encode(),
        "\r\n".join(lines).replace(",", ";").encode("utf-8-sig"),
        b"path,label\na.png,good\n",
    ]


def splits() -> list[bytes]:
    """VisA's split file."""
    lines = ["object,split,label,image,mask", "gear,train,normal,a.png,", "gear,test,anomaly,b.png,m.png"]
    return ["\n".join(lines).encode()]


def reviews() -> list[bytes]:
    """Tables of verdicts on training images."""
    digest = hashlib.sha256(b"").hexdigest()
    return [f"image,product,standing,verdict,sha256\na.png,gear,1.5,good,{digest}\nb.png,gear,1.2,,{_SHA}\n".encode()]


def score_scale() -> ScoreScale:
    """Of a model of the product gear."""
    return ScoreScale(raw_threshold=1.0, false_reject_budget=0.01, good_images=20, method="quantile")


def manifests(bundle: Path) -> list[bytes]:
    """Of a bundle that was written."""
    return [(bundle / "manifest.json").read_bytes()]


def built() -> Manifest:
    """What a bundle of one empty graph says."""
    return Manifest(
        name="gear",
        created=_WHEN,
        products=("gear", "nut"),
        input=InputSpec(height=64, width=64, max_batch=8),
        score_scale=score_scale(),
        product_thresholds={"gear": 0.6},
        graphs={"fp32": "fp32.onnx"},
        files={"fp32.onnx": hashlib.sha256(b"").hexdigest()},
    )


def histories() -> list[bytes]:
    """Thresholds that two people set in that bundle."""
    root = json.loads(manifest_text(built()))["digest"]
    wanted = [
        Wanted(Thresholds(product_thresholds={"gear": 0.7}), "set", "M", "new lamp", _WHEN),
        Wanted(Thresholds(threshold=0.4, unknown_limit=1.5), "set", "N", "", _WHEN),
        Wanted(Thresholds(product_thresholds={"gear": 0.8, "nut": 0.4}), "reset", "M", "worn out", _WHEN),
    ]
    return [history_text(root, built(), wanted).encode()]


def signatures() -> list[bytes]:
    """Of a bundle with an engine and a golden sample."""
    files = {"engines/fp16.engine": _SHA, "golden/gear/good.png": _SHA}
    said = {"schema_version": 1, "root": _SHA, "files": files, "time": _WHEN, "by": "M", "key": _SHA}
    return [json.dumps({**said, "signature": 2 * _SHA}).encode()]


def private_keys() -> list[bytes]:
    """An Ed25519 key, and one of another kind."""
    return [
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        for key in (
            Ed25519PrivateKey.from_private_bytes(bytes(range(32))),
            X25519PrivateKey.from_private_bytes(b"x" * 32),
        )
    ]


def public_keys() -> list[bytes]:
    """As `private_keys`."""
    return [
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        for key in (
            Ed25519PrivateKey.from_private_bytes(bytes(range(32))),
            X25519PrivateKey.from_private_bytes(b"x" * 32),
        )
    ]


def verdict_lines() -> list[bytes]:
    """What `infer` writes of three pictures: a reject, a good one, and one that it could not read."""
    region = {"box": [4, 5, 6, 7], "area": 0.02, "peak": 0.8}
    reject = {
        **{"path": "a.png", "sha256": _SHA, "verdict": "reject", "product": "gear", "recognised": "gear"},
        **{"product_distance": 0.4, "score": 0.75, "threshold": 0.5, "relation": 1.5, "regions": [region]},
        **{"reason": None, "doubts": []},
    }
    good = {**reject, "path": "b.png", "verdict": "good", "score": 0.25, "relation": 0.5, "regions": []}
    failed = {"path": "c.png", "error": "cannot read image c.png"}
    return [b"".join(json.dumps(one).encode() + b"\n" for one in (reject, good, failed))]


def verdict_runs() -> list[bytes]:
    """What `infer` writes beside its lines."""
    settings = Settings(
        snl_edge="0.1.0",
        bundle="gear",
        digest=_SHA,
        thresholds={"gear": 0.5},
        unknown_limit=1.0,
        graph=_SHA,
        engine=None,
        backend="openvino",
        batch=1,
        threshold=None,
        product=None,
        compare=True,
        overlays="",
        pictures=3,
        paths=_SHA,
    )
    return [Run(settings=settings, summary=None).model_dump_json().encode()]


def engine_records() -> list[bytes]:
    """The side file of a packed engine."""
    return [json.dumps(engine_record(packed(b"engine" * 100), 600)).encode()]


def engine_record(stored: bytes, size: int) -> Mapping[str, Any]:
    """The side file of the packed engine ``stored``."""
    return {
        **{"file": "fp16.engine", "flavour": "tensorrt_rtx", "version": "1.7.1", "compute_capabilities": ["8.6"]},
        **{"gpu": None, "precision": "fp16", "profiles": [{"min": 1, "opt": 1, "max": 8}], "onnx_sha256": _SHA},
        **{"engine_sha256": hashlib.sha256(stored).hexdigest(), "packed": True, "engine_bytes": size},
        **{"layers": {"convolution float16": 20}, "built": _WHEN},
    }


def packed(engine: bytes) -> bytes:
    """As an engine is stored."""
    return gzip.compress(engine, mtime=0)


def checkpoints() -> list[bytes]:
    """The description of a finished run."""
    from snl_edge.model.config import SnlConfig
    from snl_edge.training.checkpoint import Checkpoint
    from snl_edge.training.config import TrainingConfig

    made = Checkpoint(
        model=SnlConfig(),
        training=TrainingConfig(),
        products=("gear",),
        training_images=20,
        score_scale=score_scale(),
        weights="weights-0.safetensors",
        weights_sha256=_SHA,
        seconds=1.0,
        created=_WHEN,
        revision="none",
        machine={"cores": 2},
        versions={},
    )
    return [made.model_dump_json(by_alias=True).encode()]


def run_images() -> list[bytes]:
    """What a run used its images for."""
    entry = {"file": "a.png", "sha256": _SHA, "product": "gear", "role": "trained", "group": 0, "standing": 0.5}
    return [json.dumps({"weights_sha256": _SHA, "images": [entry, {**entry, "role": "held_out"}]}).encode()]


def calibration_tables() -> list[bytes]:
    """Ranges for INT8."""
    tensor = {"read_by": ["conv"], "method": "max", "range": 4.0, "largest": 4.0, "map_errors": {"max": 0.001}}
    image = {"product": "gear", "file": "a.png", "sha256": _SHA, "damage": "none"}
    return [json.dumps({"network_sha256": _SHA, "seed": 0, "tensors": {"x": tensor}, "images": [image]}).encode()]


def results() -> list[bytes]:
    """A result of `snl-edge bench`, cut to what a comparison reads."""
    latency = {"detector": {"1": {"rounds": [3.0, 3.1, 2.9, 3.0, 3.2]}}}
    subject = {
        **{"latency": latency, "throughput": [{"batch": 1, "in_flight": 1, "rounds": [300.0, 310.0]}]},
        **{"cold_start": {"runs": [1.0, 1.1]}},
    }
    result = {
        **{"kind": "bench", "name": "gear", "created": _WHEN, "revision": "none", "command": "snl-edge bench"},
        **{"machine": {"processor": "x", "cores": 2}, "versions": {}},
        "settings": {"threads": 2, "frame": [480, 640], "frames": "random noise"},
        "figures": {"subjects": {"openvino fp32": subject}, "noise": {"warnings": []}},
    }
    return [json.dumps(result).encode()]


def lines() -> list[bytes]:
    """A line's file."""
    return [
        b"""name: line-1
bundle: bundle
cameras:
  - name: top
    source: {type: folder, path: pictures}
    product: gear
  - name: side
    source: {type: synthetic, rate: 2}
queue: {size: 8}
deadline_ms: 1000
journal: {folder: journal}
sinks:
  - {type: jsonlines, folder: verdicts}
dashboard: {port: 8080}
"""
    ]


def commands() -> list[bytes]:
    """A command over a bus."""
    return [
        json.dumps({"folder": "gear", "order": "1", "lot": "2", "operator": "M", "fields": {"shift": "a"}}).encode()
    ]


def triggers() -> list[bytes]:
    """A line on standard input."""
    return [b'{"camera": "top", "part": "17", "encoder": 4711}', b""]


def pth() -> list[bytes]:
    """Weights as `torch.save` writes them, in its present and its earlier form."""
    import torch

    state = {"conv.weight": torch.zeros(2, 3), "conv.bias": torch.zeros(2)}
    made = []
    for content, options in (
        (state, {}),
        ({"state_dict": state}, {}),
        (state, {"_use_new_zipfile_serialization": False}),
    ):
        file = io.BytesIO()
        torch.save(content, file, **options)
        made.append(file.getvalue())
    return made


def safetensors() -> list[bytes]:
    """Weights as safetensors."""
    import torch
    from safetensors.torch import save

    return [save({"conv.weight": torch.zeros(2, 3), "conv.bias": torch.zeros(2)}, {"identity": "x"})]


def graphs() -> list[bytes]:
    """A graph with the fused graph's contract."""
    from ..small_bundle import small_graph

    return [small_graph(16, 0.01).SerializeToString()]


def png(width: int, height: int, rows: bytes, *, depth: int = 8, colour: int = 0) -> bytes:
    """A PNG whose header promises ``width`` x ``height`` and whose data is ``rows``, compressed."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
