"""Files of tensors from outside: safetensors, and PyTorch's own in their safe form; promises are checked first."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import GIB, MIB, opened, readable_size
from .json_text import parse_json

if TYPE_CHECKING:
    from torch import Tensor

MOST = 8 * GIB
"""Bytes of a file; of the backbones that are offered the largest has 0.3 GB."""
MOST_HEADER = 16 * MIB
"""Of a safetensors file; a model of 10,000 tensors has 1 MB."""
_LOST = "it is cut short, or no file of tensors"


def check_safetensors(path: Path) -> None:
    """Looks at the header of a safetensors file (its format: huggingface.co/docs/safetensors).

    Raises:
        OSError: it cannot be read, is no regular file, or is too large.
        ValueError: the header is damaged, or tensors do not fill exactly the bytes behind it.
    """
    with opened(path, MOST) as (file, size):
        length = int.from_bytes(file.read(8), "little")
        if size < 10 or length > min(size - 8, MOST_HEADER):
            raise ValueError(f"its header promises {readable_size(length)}: {_LOST}")
        header = parse_json(file.read(length).rstrip(b" \0"))
    if not isinstance(header, dict):
        raise ValueError("its header lists no tensors")
    held = 0
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
        if not (isinstance(offsets, list) and len(offsets) == 2 and all(isinstance(one, int) for one in offsets)):
            raise ValueError(f"its header is damaged at tensor {name[:80]!r}")
        begin, end = offsets
        if not 0 <= begin <= end <= size - 8 - length:
            raise ValueError(f"tensor {name[:80]!r} lies outside the file")
        held += end - begin
    if held != size - 8 - length:
        raise ValueError("its tensors do not fill the file")


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, on the CPU.

    Raises:
        OSError: as `check_safetensors`.
        ValueError: as `check_safetensors`, or a tensor is none.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    check_safetensors(path)
    try:
        return load_file(path)
    except (SafetensorError, RuntimeError, TypeError, KeyError, OverflowError) as error:
        raise ValueError(str(error).split("\n")[0] or type(error).__name__) from error


def read_pth(path: Path) -> dict[str, Tensor]:
    """The state dict of a file that ``torch.save`` wrote, on the CPU; nothing but tensors and containers is unpickled.

    Raises:
        OSError: it cannot be read, is no regular file, or is too large.
        ValueError: it is damaged, packed, or holds no dictionary of tensors (itself, or under ``state_dict``).
    """
    import torch

    with opened(path, MOST) as (file, size):
        try:
            if zipfile.is_zipfile(file):
                file.seek(0)
                _check_zip(file, size)
            file.seek(0)
            found: Any = torch.load(file, map_location="cpu", weights_only=True)
        except ValueError:
            raise
        except Exception as error:  # zip, unpickling and storage errors share no base class
            # Of what it refuses to unpickle torch says how to unpickle it all the same.
            said = "" if "weights_only" in str(error) else str(error).split("\n")[0][:200]
            raise ValueError(
                said or "it is no file of tensors that torch.save wrote, or holds more than these"
            ) from error
    if isinstance(found, dict):
        found = found.get("state_dict", found)
    if not isinstance(found, dict) or not found:
        raise ValueError("it holds no dictionary of tensors")
    if odd := next((name for name, value in found.items() if not _is_tensor(name, value)), None):
        raise ValueError(f"{str(odd)[:80]!r} in it is no tensor")
    return found


def _is_tensor(name: object, value: object) -> bool:
    import torch

    return isinstance(name, str) and isinstance(value, torch.Tensor) and value.device.type == "cpu"


def _check_zip(file: Any, size: int) -> None:
    """PyTorch stores tensors as they are: what is packed, or read twice, is a bomb."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(str(error) or _LOST) from error
    if packed := next((one for one in entries if one.compress_type != zipfile.ZIP_STORED), None):
        raise ValueError(f"{packed.filename[:80]!r} in it is packed, which PyTorch never does")
    if sum(one.file_size for one in entries) > size:
        raise ValueError("what it lists is larger than the file")
