"""Changes of a file: of its bytes, of what stands in it, and of its structure with the checksums set right again."""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_TOKENS = (
    *("NaN", "-Infinity", "1e999", "9" * 5000, "-1", "0", "1e308", "null", "true", "[]", "{}", '""', '"\\ud800"'),
    *("[" * 2000, "{" * 70, '{"a":' * 500, "]" * 9, '"\\u0000"', '"\\u202e\\u001b[31m"', "2001-99-99", "!!python/none"),
    *("&a [*a]", "<<: *a", "? ", ": :", "- - -", "\t", "\r\n", "\ufeff", '"', "'", ",", ";", "|", "#", "%", "\0"),
    *(
        "../../etc/passwd",
        "/dev/zero",
        "/proc/self/mem",
        "file:///etc",
        "0x" + "f" * 300,
        "1_0",
        "1:30",
        ".inf",
        ".nan",
    ),
)
"""Words that some reader takes otherwise than another, or more of than it should."""
_ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**63, 10**40, 1e308, -1e-308, "", "x" * 5000, "\u202ename\x1b[2J\n", [], {}, [[]], {"": {}}),
    *([0] * 300, {"a": 1, "b": [None]}, "../../etc/passwd", "/dev/zero", 1.5, "1", [1, "2", None]),
)


def changed_bytes(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """A few changes anywhere: bits, numbers, pieces cut, doubled, moved or taken from another file."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6, 12))):
        if not data:
            data += rng.randbytes(16)
        at = rng.randrange(min(len(data), 512) if rng.random() < 0.5 else len(data))
        size = rng.choice((1, 2, 4, 8, 32, 256))
        what = rng.randrange(8)
        if what == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            width = rng.choice((1, 2, 4))
            number = rng.choice(_NUMBERS) & (2 ** (8 * width) - 1)
            data[at : at + width] = number.to_bytes(width, rng.choice(("little", "big")))
        elif what == 2:
            del data[at : at + size]
        elif what == 3:
            data[at:at] = data[at : at + size] * rng.choice((1, 2, 50))
        elif what == 4:
            del data[at:]
        elif what == 5:
            data[at:at] = rng.randbytes(size)
        elif what == 6:
            other = rng.choice(others)
            start = rng.randrange(max(1, len(other)))
            data[at : at + size] = other[start : start + size]
        else:
            data[at : at + size] = rng.randbytes(size)
    return bytes(data)


def changed_text(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Words that some reader stumbles over, put in or in place of what stands there; now and then bytes."""
    if rng.random() < 0.2:
        return changed_bytes(content, rng, others)
    text = content.decode("utf-8", "replace")
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, size = rng.randrange(len(text) + 1), rng.choice((0, 0, 1, 5, 30))
        text = text[:at] + rng.choice(_TOKENS) + text[at + size :]
    return text.encode("utf-8", "replace")


def changed_value(value: Any, rng: random.Random) -> Any:
    """A document with one value, anywhere in it, taken away, doubled, or replaced by an odd one."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.12:
        return rng.choice(_ODD)
    return _changed_object(value, rng) if isinstance(value, dict) else _changed_list(value, rng)


def _changed_object(value: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    key = rng.choice(list(value))
    what = rng.randrange(8)
    if what == 0:
        return {name: own for name, own in value.items() if name != key}
    if what == 1:
        return {**value, rng.choice(("", "extra", "\x1b", f"{key} ")): rng.choice(_ODD)}
    return {**value, key: changed_value(value[key], rng)}


def _changed_list(value: list[Any], rng: random.Random) -> list[Any]:
    at = rng.randrange(len(value))
    what = rng.randrange(6)
    if what == 0:
        return value[:at] + value[at + 1 :]
    if what == 1:
        return value[: at + 1] * rng.choice((2, 40))
    return [*value[:at], changed_value(value[at], rng), *value[at + 1 :]]


def _changed_values(value: Any, rng: random.Random) -> Any:
    for _ in range(rng.choice((1, 1, 2, 3))):
        value = changed_value(value, rng)
    return value


def changed_json(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Half the time its values, else its text."""
    if rng.random() < 0.5:
        return changed_text(content, rng, others)
    return json.dumps(_changed_values(json.loads(content), rng)).encode()


def changed_lines(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """One line of a file of JSON lines, as `changed_json`; now and then lines put elsewhere, doubled or left out."""
    lines = content.splitlines(keepends=True)
    if rng.random() < 0.2:
        return b"".join(rng.choices(lines, k=rng.choice((1, len(lines), 40))))
    at = rng.randrange(len(lines))
    lines[at] = changed_json(lines[at].rstrip(b"\n"), rng, others) + rng.choice(
        (b"\n", b"\n", b"\n", b"", b"\r\n", b"\0\n")
    )
    return b"".join(lines)


def changed_yaml(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """As `changed_json`."""
    import yaml

    if rng.random() < 0.5:
        return changed_text(content, rng, others)
    value = _changed_values(yaml.safe_load(content), rng)
    return yaml.safe_dump(value, allow_unicode=rng.random() < 0.5).encode("utf-8", "replace")


def changed_png(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Half the time any bytes, else those of one chunk, whose checksum fits again."""
    if not content.startswith(b"\x89PNG") or rng.random() < 0.5:
        return changed_bytes(content, rng, others)
    chunks, at = [], 8
    while at + 12 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += 12 + size
    number = rng.randrange(len(chunks))
    kind, body = chunks[number]
    if rng.random() < 0.2:
        chunks.insert(number, (rng.choice((kind, b"IHDR", b"acTL", b"tRNS", b"iCCP", b"eXIf")), body))
    else:
        chunks[number] = kind, changed_bytes(body, rng, others) if body else rng.randbytes(8)
    packed = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return content[:8] + b"".join(packed)


def changed_safetensors(content: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Half the time any bytes, else its header, whose length fits again."""
    length = int.from_bytes(content[:8], "little")
    if rng.random() < 0.5:
        return changed_bytes(content, rng, others)
    header = changed_json(content[8 : 8 + length].strip(), rng, others)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


Change = Callable[[bytes, random.Random, Sequence[bytes]], bytes]
