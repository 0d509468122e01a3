"""Signing a bundle."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from ..atomic import write_text
from ..errors import ConfigError
from ..outside.json_text import faults
from ..provenance import now, who
from .bundle import Bundle
from .engine_record import read_engine
from .manifest import sha256_of
from .signature import ANYBODY, FILE, Signature, decides
from .signing_keys import read_private_key


def sign_bundle(path: Path, key_file: Path, by: str | None = None) -> Signature:
    """Signs the bundle ``path`` as it is, after checking every file of it, and writes its ``signature.json``.

    Raises:
        BundleError, EngineError: the bundle is not whole, or of an earlier model of its run.
        ConfigError: the key cannot be used, or ``by`` cannot be written.
        OutputError: the bundle cannot be written.
    """
    key = read_private_key(key_file)
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    bundle = Bundle.open(path, ANYBODY)
    for record in bundle.engines():
        read_engine(bundle.engine_path(record), record)
    try:
        unsigned = Signature(
            root=bundle.root,
            files={name: sha256_of(own) for name, own in decides(bundle.path).items()},
            time=now(),
            by=who() if by is None else by,
            key=key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex(),
            signature="0" * 128,
        )
    except ValidationError as error:
        raise ConfigError("this cannot be signed", faults(error), "say it otherwise") from error
    signature = unsigned.model_copy(update={"signature": key.sign(unsigned.signed).hex()})
    write_text(bundle.path / FILE, signature.model_dump_json(indent=2) + "\n")
    return signature
