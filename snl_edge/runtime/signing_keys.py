"""Ed25519 keys in files: a pair to sign with, and the public keys whose signatures count."""

from __future__ import annotations

import importlib.util
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError, OutputError
from ..outside.files import MOST_SECRET, opened, read_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PUBLIC = ".pub"


def require_cryptography(what: str) -> None:
    """Refuses ``what`` where the package that signs and checks is not installed: nothing is skipped without it.

    Raises:
        ConfigError: it is not.
    """
    if importlib.util.find_spec("cryptography") is None:
        raise ConfigError(what, "the package cryptography is not installed", 'run: pip install "snl-edge[signing]"')


def make_key_pair(file: Path) -> Path:
    """Writes a new private key to ``file``, for its owner alone to read, and the public one beside it.

    Each is there whole or not at all, and neither replaces a file.

    Returns:
        the public key's file, ``file`` with ``.pub`` behind.

    Raises:
        ConfigError: the package is not installed.
        OutputError: a file of either name is there, or they cannot be written.
    """
    require_cryptography("no key can be made")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    public = file.with_name(file.name + PUBLIC)
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write_new(file, secret, 0o600)
    try:
        _write_new(public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), 0o644)
    except BaseException:
        with suppress(OSError):
            file.unlink()
        raise
    return public


def read_private_key(file: Path) -> Ed25519PrivateKey:
    """The key to sign with.

    Raises:
        ConfigError: it cannot be read, is none, or others may read it; or the package is not installed.
    """
    require_cryptography("nothing can be signed")
    from cryptography.exceptions import InternalError, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        with opened(file, MOST_SECRET) as (key_file, _):
            mode, content = os.fstat(key_file.fileno()).st_mode, key_file.read()
    except OSError as error:
        raise ConfigError(
            f"cannot read key {file}", error.strerror or str(error), f"make one: snl-edge make-key {file}"
        ) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"key {file} can be read by others than its owner", fix=f"run: chmod 600 {file}")
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm, InternalError) as error:
        fix = "give one that `snl-edge make-key` wrote"
        raise ConfigError(f"{file} is no private key", _said(error), fix) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{file} is no Ed25519 key", fix="give one that `snl-edge make-key` wrote")
    return key


def trusted_keys(folder: Path, setting: str) -> dict[str, str]:
    """The public keys in ``folder``: the file's name by the key in hexadecimal.

    Raises:
        ConfigError: the folder cannot be read, holds none, or a file in it that is none; or the package is missing.
    """
    require_cryptography(f"{setting} asks for signatures, which cannot be checked")
    from cryptography.exceptions import InternalError, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    found: dict[str, str] = {}
    try:
        files = {path: read_bytes(path, MOST_SECRET) for path in sorted(folder.iterdir()) if path.suffix == PUBLIC}
    except OSError as error:
        raise ConfigError(
            f"cannot read the trusted keys in {folder}",
            error.strerror or str(error),
            f"correct {setting}, which names that folder",
        ) from error
    for path, content in files.items():
        try:
            key = load_pem_public_key(content)
        except (ValueError, UnsupportedAlgorithm, InternalError) as error:
            fix = "give one that `snl-edge make-key` wrote"
            raise ConfigError(f"{path} is no public key", _said(error), fix) from error
        if not isinstance(key, Ed25519PublicKey):
            raise ConfigError(f"{path} is no Ed25519 key", f"{setting} names its folder", "remove it from there")
        found[key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()] = path.name
    if not found:
        raise ConfigError(
            f"{folder} holds no public key (*{PUBLIC})",
            f"{setting} trusts nobody else, so no bundle can be opened",
            f"copy the {PUBLIC} file of whoever signs bundles there",
        )
    return found


def _said(error: Exception) -> str:
    return str(error).partition("\n")[0].partition(". This error")[0]


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Under a name that nobody else has first; the link that follows fails if ``path`` is there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            with os.fdopen(file, "wb") as written:
                written.write(content)
                written.flush()
                os.fsync(written.fileno())
            os.link(temporary, path)
        finally:
            temporary.unlink()
    except FileExistsError as error:
        raise OutputError(f"{path} is there already", "a key is never replaced", "give another name") from error
    except OSError as error:
        raise OutputError(
            f"cannot write {path}", error.strerror or str(error), "choose a folder you may write to, on a Linux disk"
        ) from error
