"""The file ``manifest.json``: written once, by the build, and vouching for itself from then on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..contract.run_folder import CHECKPOINT
from ..errors import BundleError
from ..outside.files import read_bytes
from ..outside.json_text import faults, parse_json
from .manifest import FILE, SCHEMA_VERSION, WITHOUT_DIGEST, Manifest, sha256_of
from .remedies import BUNDLE, build_again, build_command


def canonical(content: object) -> bytes:
    """Plain data as the one text that digests and signatures are made of: JSON in ASCII, keys in order, no spaces.

    Whoever reads a file into the same data finds the same text, however that file is laid out.

    Raises:
        ValueError: a number in it is none.
    """
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def digest_of(content: Mapping[str, Any]) -> str:
    """SHA-256 of all that ``content`` says but its own digest, in hexadecimal."""
    said = {name: value for name, value in content.items() if name != "digest"}
    return hashlib.sha256(canonical(said)).hexdigest()


def manifest_text(manifest: Manifest) -> str:
    """The file's text, with its digest.

    Raises:
        ValueError: a number in it is none.
    """
    content = parse_json(manifest.model_dump_json(by_alias=True))
    first = {"schema_version": content["schema_version"], "digest": digest_of(content)}
    return json.dumps(first | content | first, indent=2, ensure_ascii=False) + "\n"


def read_manifest(path: Path) -> Manifest:
    """Reads and checks ``manifest.json``; the bundle's other files are not looked at.

    Raises:
        BundleError: it is missing, no JSON, made by another version, not as it was written, or says something that
            cannot be.
    """
    try:
        content = read_bytes(Path(path))
    except FileNotFoundError as error:
        raise _no_bundle(Path(path).parent, Path(path).name) from error
    except OSError as error:
        raise BundleError(f"cannot read {path}", error.strerror or str(error), "check path and permissions") from error
    return parse_manifest(content, path)


def parse_manifest(text: bytes, path: Path) -> Manifest:
    """What the content of the file ``path`` says.

    Raises:
        BundleError: as `read_manifest`.
    """
    remedy = build_again(Path(path).parent, replaceable=False)
    try:
        content = parse_json(text)
    except ValueError as error:  # no UTF-8, no JSON
        raise BundleError(f"{path} is damaged", str(error), remedy) from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise BundleError(
            f"{path} has schema version {version}",
            f"this snl-edge reads version {SCHEMA_VERSION}",
            "upgrade it: pip install --upgrade snl-edge",
        )
    if isinstance(version, int) and version < WITHOUT_DIGEST:
        raise BundleError(
            f"{path} has schema version {version}",
            f"this snl-edge reads version {SCHEMA_VERSION}, whose graphs recognise products",
            "train and build again with this snl-edge",
        )
    if isinstance(content, dict) and (why := _unvouched(content)):
        raise BundleError(f"{path} is damaged", why, remedy)
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        raise BundleError(f"{path} is not valid", faults(error), remedy) from error


def root_of(path: Path, manifest: Manifest) -> str:
    """What the bundle's history and signature begin from: the manifest's digest; of version 2 the file's SHA-256.

    Raises:
        BundleError: the file cannot be read any more.
    """
    if manifest.digest is not None:
        return manifest.digest
    try:
        return sha256_of(path)
    except OSError as error:
        raise BundleError(f"cannot read {path}", error.strerror or str(error), "check path and permissions") from error


def _unvouched(content: Mapping[str, Any]) -> str:
    """Why the manifest does not vouch for what it says; nothing where it does, or where it is of version 2.

    3 and 2 differ in one bit: it is the digest that tells them apart.
    """
    told, version = content.get("digest"), content.get("schema_version")
    if version == WITHOUT_DIGEST:
        return "" if told is None else f"it is of version {version}, which has no digest, and has one"
    try:
        return "" if told == digest_of(content) else "its digest is not that of what it says"
    except ValueError as error:
        return str(error)


def _no_bundle(folder: Path, missing: str) -> BundleError:
    if (folder / CHECKPOINT).is_file():
        bundle = folder / BUNDLE
        if (bundle / FILE).is_file():
            return BundleError(f"{folder} is a run; its bundle is {bundle}", fix=f"give {bundle}")
        return BundleError(f"{folder} is a run that has no bundle yet", fix=f"build it: {build_command(folder)}")
    if (folder / BUNDLE / FILE).is_file():
        return BundleError(
            f"{folder} is no bundle", f"{missing} is missing; a bundle lies in {folder / BUNDLE}", "give that"
        )
    return BundleError(
        f"{folder} is no bundle",
        f"{missing} is missing",
        "give the folder that `snl-edge build` wrote: bundle in the run's folder, unless --out named another",
    )
