"""``signature.json``: who vouches for a bundle, and whose word counts on this device.

An Ed25519 signature (RFC 8032) over the bundle's root, which holds the hash of every graph, and over the files that
decide and that no build writes: engines, and golden samples that lie in the bundle. The thresholds set since the build
are not signed: they are set on the device.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import BundleError, ConfigError, EngineError
from ..outside.json_text import faults, read_json
from .manifest import RelativePath, Sha256, sha256_of
from .manifest_file import canonical
from .signing_keys import trusted_keys
from .threshold_history import Words

FILE = "signature.json"
TRUSTED_KEYS = "SNL_EDGE_TRUSTED_KEYS"
"""The environment variable that names the folder of public keys whose signatures count."""
SIGNED_FOLDERS = ("engines", "golden")
"""What decides in a bundle beside what its manifest lists."""
_PURPOSE = b"snl-edge bundle signature 1\n"


class Signature(BaseModel):
    """The file's content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    root: Sha256
    """The bundle's (`Bundle.root`)."""
    files: dict[RelativePath, Sha256]
    """Of `SIGNED_FOLDERS`."""
    time: str
    by: Words
    key: Sha256
    """The public key, in hexadecimal."""
    signature: Annotated[str, Field(pattern="^[0-9a-f]{128}$")]

    @property
    def signed(self) -> bytes:
        """What is signed: all else that the file says."""
        return _PURPOSE + canonical(self.model_dump(mode="json", exclude={"signature"}))

    @property
    def covered(self) -> str:
        """What it covers beside the manifest, in words."""
        engines = sum(name.startswith("engines/") and name.endswith(".engine") for name in self.files)
        samples = sum(name.startswith("golden/") for name in self.files)
        return f"{engines or 'no'} engine{'s' * (engines != 1)}, {samples or 'no'} golden sample{'s' * (samples != 1)}"

    def __str__(self) -> str:
        return f"signed by {self.by} on {self.time} with key {self.key[:16]}"


@dataclass(frozen=True)
class Trust:
    """Whose signatures count: those of the public keys in a folder. Without a folder nothing needs a signature."""

    keys: Path | None
    setting: str = TRUSTED_KEYS
    """What named the folder."""


ANYBODY = Trust(None)


def configured_trust(folder: Path | None = None) -> Trust:
    """``folder``, as a line's file names it, or else what the environment names.

    Raises:
        ConfigError: the environment variable is set, and empty.
    """
    if folder is not None:
        return Trust(folder, "engine.trusted_keys")
    named = os.environ.get(TRUSTED_KEYS)
    if named is None:
        return ANYBODY
    if not named.strip():
        raise ConfigError(f"{TRUSTED_KEYS} is set, and empty", fix="give the folder of public keys, or unset it")
    return Trust(Path(named).expanduser())


def read_signature(bundle: Path) -> Signature | None:
    """What the bundle's signature says, whoever made it; None if it has none.

    Raises:
        BundleError: it cannot be read, or is damaged.
    """
    path = bundle / FILE
    try:
        return Signature.model_validate(read_json(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BundleError(f"cannot read {path}", error.strerror or str(error), "check path and permissions") from error
    except ValueError as error:
        why = faults(error) if isinstance(error, ValidationError) else str(error)
        raise BundleError(f"{path} is damaged", why, _again(bundle)) from error


def require_signed(bundle: Path, root: str, trust: Trust) -> Signature | None:
    """The bundle's signature, checked; None where nothing needs one.

    Raises:
        BundleError: it is not signed, or by nobody who is trusted, or not as it is now.
        ConfigError: there are no keys to check it with, or the package that checks is not installed.
    """
    if trust.keys is None:
        return None
    keys = trusted_keys(trust.keys, trust.setting)
    signature = read_signature(bundle)
    if signature is None:
        raise BundleError(f"bundle {bundle} is not signed", f"{trust.setting} asks for it", _again(bundle))
    if signature.key not in keys:
        raise BundleError(
            f"bundle {bundle} is {signature}, which is not trusted",
            f"{trust.keys} holds {', '.join(keys.values())}",
            f"put the key's .pub file there if it is to be trusted, or {_again(bundle)} of these",
        )
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(signature.key)).verify(
            bytes.fromhex(signature.signature), signature.signed
        )
    except InvalidSignature as error:
        raise BundleError(
            f"{bundle / FILE} is damaged", "the signature is not that of what it says", _again(bundle)
        ) from error
    if signature.root != root:
        raise BundleError(
            f"the signature of {bundle} is that of another bundle",
            "it was built again since, or copied",
            _again(bundle),
        )
    _check_golden(bundle, signature)
    return signature


def require_covered(side_file: Path, content: bytes, signature: Signature | None) -> None:
    """Refuses an engine whose side file is none of those signed; the engine itself is checked by what it says.

    Raises:
        EngineError: it is not.
    """
    name = f"{side_file.parent.name}/{side_file.name}"
    if signature is None or signature.files.get(name) == hashlib.sha256(content).hexdigest():
        return
    why = "it was changed since" if name in signature.files else "it was built or copied there since"
    bundle = side_file.parent.parent
    raise EngineError(
        f"engine {side_file.with_suffix('.engine')} is covered by no signature",
        why,
        f"{_again(bundle)}, with this engine in it, or remove the engine and {side_file.name}",
    )


def decides(bundle: Path) -> Mapping[str, Path]:
    """The bundle's files that decide and that its manifest does not list, by path.

    Raises:
        BundleError: one of them, or a folder of them, is a link: what it leads to changes, and no signature sees it.
    """
    found: dict[str, Path] = {}
    for folder in SIGNED_FOLDERS:
        below = sorted((bundle / folder).rglob("*"))
        for path in (bundle / folder, *below):
            if path.is_symlink():
                why = "what it leads to may change, and no signature covers it"
                raise BundleError(f"{path} is a link", why, "put the files themselves there, and sign the bundle")
        paths = [path for path in below if path.is_file()]
        if folder == "engines":  # caches of what was timed, which the builder alone reads, come and go
            paths = [path for path in paths if path.suffix in (".engine", ".json")]
        found |= {path.relative_to(bundle).as_posix(): path for path in paths}
    return found


def _check_golden(bundle: Path, signature: Signature) -> None:
    now = {name: path for name, path in decides(bundle).items() if name.startswith("golden/")}
    then = {name for name in signature.files if name.startswith("golden/")}
    for name in sorted(now.keys() | then):
        if name not in now or name not in then or sha256_of(now[name]) != signature.files[name]:
            raise BundleError(
                f"golden sample {bundle / name} is covered by no signature",
                "it was added, changed or removed since",
                f"{_again(bundle)}, or put it back as it was",
            )


def _again(bundle: Path) -> str:
    return f"sign it where the key is: snl-edge sign {bundle} --key FILE"
