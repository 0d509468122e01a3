"""Small files that expand to much memory, time or depth, or name a file elsewhere; and paths that are no file."""

from __future__ import annotations

import io
import json
import os
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from . import seeds

Make = Callable[[Path], object]
_BLOCK = 64 * 2**20


def bombs(parser: str, *, is_file: bool = True) -> dict[str, Make]:
    """Those for a parser, by name: functions that put it at a path."""
    return {**(_NO_FILES if is_file else {}), **{name: _writer(content) for name, content in _contents(parser)}}


def _writer(content: Callable[[], bytes]) -> Make:
    return lambda path: path.write_bytes(content())


def _socket(path: Path) -> object:
    here = Path.cwd()
    with socket.socket(socket.AF_UNIX) as server:  # a socket's path may have a hundred characters
        os.chdir(path.parent)
        server.bind(path.name)
        os.chdir(here)
    return None


_NO_FILES: dict[str, Make] = {
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a socket": _socket,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a file of this process": lambda path: path.symlink_to("/proc/self/mem"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "nothing": lambda path: None,
    "an empty file": lambda path: path.touch(),
    "a hole of 20 GiB": lambda path: (path.touch(), os.truncate(path, 20 * 2**30)),
}


def zeros(blocks: int, wbits: int = zlib.MAX_WBITS) -> bytes:
    """``blocks`` times 64 MiB of zeros, compressed as a whole without being made: flushed pieces can be repeated."""
    packing = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    piece = packing.compress(bytes(_BLOCK)) + packing.flush(zlib.Z_FULL_FLUSH)
    end = zlib.compressobj(9, wbits=-zlib.MAX_WBITS).flush()
    if wbits > zlib.MAX_WBITS:
        return b"\x1f\x8b\x08" + bytes(7) + piece * blocks + end + struct.pack("<II", 0, blocks * _BLOCK % 2**32)
    return b"\x78\xda" + piece * blocks + end + struct.pack(">I", 1)


def _contents(parser: str) -> Iterator[tuple[str, Callable[[], bytes]]]:
    if parser in ("images", "masks"):
        yield from _pictures()
    elif parser in _JSON or parser in _PLAIN_JSON:
        yield from _json_texts()
        yield from _JSON.get(parser, {}).items()
    elif parser in ("tables of images", "VisA splits", "reviews"):
        yield from _tables()
    elif parser == "line.yaml":
        yield from _yaml_texts()
    elif parser == "packed engines":
        yield "6 GiB in 6 MB", lambda: zeros(96, 31)
        yield "three engines in one", lambda: seeds.packed(b"x") * 3
    elif parser.startswith("weights"):
        yield from _weights()
    elif parser == "ONNX graphs":
        yield from _graphs()


def _pictures() -> Iterator[tuple[str, Callable[[], bytes]]]:
    yield "PNG of 30000x30000", lambda: seeds.png(30_000, 30_000, zeros(14))
    yield "PNG of 16384x16384", lambda: seeds.png(16_384, 16_384, zeros(5))
    yield "PNG of 2147483647x1", lambda: seeds.png(2**31 - 1, 1, b"")
    yield "PNG with too much data", lambda: seeds.png(10, 10, zeros(64))
    yield "PNG, 16 bits, of 16000x16000", lambda: seeds.png(16_000, 16_000, zeros(8), depth=16)
    for name, start in (("BMP", 18), ("negative BMP", 18)):
        sides = (30_000, 30_000) if name == "BMP" else (-30_000, -30_000)
        yield f"{name} of 30000x30000", lambda start=start, sides=sides: _patched(6, start, struct.pack("<ii", *sides))
    yield "JPEG of 65500x65500", lambda: _large_jpeg(3)
    yield "progressive JPEG of 65500x65500", lambda: _large_jpeg(4)
    yield "JPEG of 5000 scans", _many_scans
    yield "WebP of 16383x16383", lambda: _patched(10, 26, struct.pack("<HH", 16_383, 16_383))
    for compression in (1, 5, 8, 32773):
        yield (
            f"TIFF of 60000x60000, compression {compression}",
            lambda way=compression: _tiff(60_000, 60_000, way, b"\0" * 99),
        )
    yield "TIFF strip of 4 GiB", lambda: _tiff(100, 100, 8, zeros(64))
    yield "TIFF of 16000x16000 in one strip", lambda: _tiff(16_000, 16_000, 8, zeros(4))
    yield "TIFF whose tags overlap", lambda: _tiff(64, 64, 1, bytes(4096), tags=3000)
    yield "TIFF of 60000 values a pixel", lambda: _tiff(64, 64, 1, bytes(4096), samples=60_000)


def _patched(seed: int, start: int, value: bytes) -> bytes:
    content = seeds.images()[seed]
    return content[:start] + value + content[start + len(value) :]


def _large_jpeg(seed: int) -> bytes:
    content = bytearray(seeds.images()[seed])
    at = next(at for at in range(len(content)) if content[at] == 0xFF and content[at + 1] in (0xC0, 0xC2))
    content[at + 5 : at + 9] = struct.pack(">HH", 65_500, 65_500)
    return bytes(content)


def _many_scans() -> bytes:
    whole = cv2.imencode(".jpg", np.zeros((2048, 2048), np.uint8), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1))[1].tobytes()
    first = whole.index(b"\xff\xda")
    second = whole.index(b"\xff\xda", first + 2)
    return whole[:second] + whole[first:second] * 5000 + whole[second:]


def _tiff(width: int, height: int, compression: int, strip: bytes, *, tags: int = 0, samples: int = 1) -> bytes:
    entries = [
        *[(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1)],
        *[(273, 4, 1, 0), (277, 3, 1, samples), (278, 4, 1, height), (279, 4, 1, len(strip))],
        *[(40_000 + number, 1, len(strip), 8) for number in range(tags)],
    ]
    behind = 8 + 2 + 12 * len(entries) + 4
    table = b"".join(
        struct.pack("<HHII", tag, kind, n, behind if tag == 273 else value) for tag, kind, n, value in entries
    )
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4) + strip


def _json_texts() -> Iterator[tuple[str, Callable[[], bytes]]]:
    yield "lists a million deep", lambda: b"[" * 1_000_000
    yield "objects 100000 deep", lambda: b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    yield "30 million lists", lambda: b"[" + b"[]," * 20_000_000 + b"[]]"
    yield "a number of 50 million digits", lambda: b"[" + b"9" * 50_000_000 + b"]"
    yield "a text of 60 MB", lambda: b'{"a": "' + b"x" * 60_000_000 + b'"}'
    yield "half a character", lambda: b'{"name": "\\ud800"}'
    yield "a key twice", lambda: b'{"a": 1, "a": 2}'
    yield "NaN", lambda: b'{"threshold": NaN}'
    yield "UTF-16", lambda: '{"a": 1}'.encode("utf-16")


def _labelme(shapes: list[dict[str, object]], side: int = 48) -> bytes:
    return json.dumps({"imageHeight": side, "imageWidth": side, "shapes": shapes}).encode()


def _png_in_labelme(content: bytes) -> bytes:
    import base64

    mask = base64.b64encode(content).decode()
    return _labelme([{"shape_type": "mask", "points": [[0, 0], [9, 9]], "mask": mask}])


def _polygon(corners: int, side: int) -> list[list[float]]:
    rng = np.random.default_rng(0)
    return rng.uniform(0, side, (corners, 2)).round(1).tolist()


_OUTLINES: dict[str, Callable[[], bytes]] = {
    "a picture of 60000x60000": lambda: _labelme([], 60_000),
    "a PNG of 30000x30000 inside": lambda: _png_in_labelme(seeds.png(30_000, 30_000, zeros(14))),
    "100000 circles": lambda: _labelme([{"shape_type": "circle", "points": [[9, 9], [9e3, 9]]}] * 100_000, 16_384),
    "300000 corners": lambda: _labelme([{"shape_type": "polygon", "points": _polygon(300_000, 16_384)}], 16_384),
}
_PLAIN_JSON = (
    *("bundle manifests", "engine records", "checkpoints", "lists of a run's images"),
    *("calibration tables", "result files", "commands of the plant", "trigger lines"),
)
_JSON: dict[str, dict[str, Callable[[], bytes]]] = {
    "Labelme": _OUTLINES,
    "COCO": {
        "a picture of 60000x60000": lambda: seeds.coco()[0].replace(b'"height": 48', b'"height": 60000'),
        "runs of 10^18": lambda: seeds.coco()[0].replace(b"[100, 30", b"[1000000000000000000, 30"),
        "a packed run without an end": lambda: seeds.coco()[0].replace(
            b"[100, 30, 2174]", b'"' + b"o" * 4_000_000 + b'"'
        ),
    },
    "ignored regions": {
        "a picture of 60000x60000": lambda: seeds.regions()[0].replace(b"[48, 48]", b"[60000, 60000]"),
        **_OUTLINES,
    },
}


def _tables() -> Iterator[tuple[str, Callable[[], bytes]]]:
    yield "a line of 60 MB", lambda: b"path,label\n" + b"x" * 60_000_000
    yield "60 million cells", lambda: b"path,label\n" + b"," * 60_000_000
    yield "a quote without an end", lambda: b'path,label\n"' + b"x\n" * 30_000_000
    yield "20 million rows", lambda: b"path,label\n" + b"a,\n" * 20_000_000
    yield "zero characters", lambda: b"path,label\n\0,\0\n"
    yield "UTF-16", lambda: "path,label\na.png,good\n".encode("utf-16")


def _yaml_texts() -> Iterator[tuple[str, Callable[[], bytes]]]:
    def laughs() -> bytes:
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
        return "\n".join(lines).encode()

    def merges() -> bytes:
        lines = ["a0: &a0 {k: 1}"]
        lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}], k{n}: 1}}" for n in range(1, 12)]
        return "\n".join(lines).encode()

    yield "a thousand million laughs", laughs
    yield "a thousand million merges", merges
    yield "an alias within itself", lambda: b"a: &a [*a]"
    yield "brackets 100000 deep", lambda: b"[" * 100_000
    yield "dashes 100000 deep", lambda: b"- " * 100_000 + b"x"
    yield "indented 1000 deep", lambda: b"\n".join(b" " * n + b"a:" for n in range(700))
    yield "a day that is none", lambda: b"name: 2001-99-99"
    yield "a number of 200000 digits", lambda: b"name: " + b"9" * 200_000
    yield "a program", lambda: b"name: !!python/object/apply:os.system [true]"
    yield "a line of 250 kB", lambda: b"name: '" + b"x " * 125_000 + b"'"
    yield "60000 keys", lambda: b"".join(b"k%d:\n" % n for n in range(30_000))
    yield "UTF-16", lambda: "name: x".encode("utf-16")


def _weights() -> Iterator[tuple[str, Callable[[], bytes]]]:
    def repacked() -> bytes:
        file = io.BytesIO()
        with (
            zipfile.ZipFile(io.BytesIO(seeds.pth()[0])) as old,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new,
        ):
            for entry in old.infolist():
                new.writestr(entry.filename, old.read(entry))
            new.writestr("archive/data/9", bytes(512 * 2**20))
        return file.getvalue()

    def promising(header: dict[str, object]) -> Callable[[], bytes]:
        text = json.dumps(header).encode()
        return lambda: len(text).to_bytes(8, "little") + text + bytes(64)

    def saved(value: object) -> Callable[[], bytes]:
        def made() -> bytes:
            import torch

            file = io.BytesIO()
            torch.save(value, file)
            return file.getvalue()

        return made

    def stretched() -> bytes:
        import torch

        file = io.BytesIO()
        torch.save({"conv.weight": torch.zeros(1).expand(10**6, 10**6), "conv.bias": torch.zeros(2)}, file)
        return file.getvalue()

    yield "packed zeros of 512 MiB", repacked
    yield "a tensor of 10^12 values", stretched
    yield "a list", saved([1, 2, 3])
    yield "a number", saved(7)
    yield "a dictionary of texts", saved({"conv.weight": "x"})
    yield "a header of 2^63 bytes", lambda: (2**63 - 1).to_bytes(8, "little") + b"{}"
    tensor = {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 64]}
    yield "a tensor of 10^18 values", promising({"conv.weight": tensor})
    yield "a tensor behind the end", promising({"conv.weight": {**tensor, "shape": [4], "data_offsets": [0, 10**12]}})
    yield "tensors that overlap", promising({n: {**tensor, "shape": [16]} for n in ("conv.weight", "conv.bias")})
    yield "a program", lambda: b"cos\nsystem\n(S'true'\ntR."


def _graphs() -> Iterator[tuple[str, Callable[[], bytes]]]:
    def outside() -> bytes:
        import onnx
        from onnx import external_data_helper

        graph = onnx.load_model_from_string(seeds.graphs()[0])
        external_data_helper.set_external_data(graph.graph.initializer[0], "../../../../etc/passwd")
        graph.graph.initializer[0].ClearField("raw_data")
        graph.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
        return graph.SerializeToString()

    def nested() -> bytes:
        import onnx

        graph = onnx.helper.make_graph([], "g", [], [])
        for _ in range(30):
            graph = onnx.helper.make_graph([onnx.helper.make_node("If", [], [], then_branch=graph)], "g", [], [])
        return onnx.helper.make_model(graph).SerializeToString()

    yield "a tensor in another file", outside
    yield "graphs 30 deep", nested
    yield "10 million fields", lambda: b"\x08\x01" * 10_000_000
    yield "a message without an end", lambda: b"\x3a" + b"\xff" * 9 + b"\x01"
