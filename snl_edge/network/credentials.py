"""How secrets and TLS are given in a line's file: for receivers of verdicts and for cameras."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr, model_validator

from ..errors import ConfigError
from ..outside.files import MOST_CERTIFICATES, MOST_SECRET, read_text, reason, require_regular


class Secret(BaseModel):
    """A password, token or key: in a file, in the environment or, if it must be, in clear."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    file: Path | None = None
    """A file that only the service may read; a line break at its end does not count."""
    env: str | None = None
    """Name of an environment variable."""
    clear: SecretStr | None = None
    """In clear in this file: whoever can read the configuration has it."""

    @model_validator(mode="after")
    def _one_place(self) -> Secret:
        if sum(place is not None for place in (self.file, self.env, self.clear)) != 1:
            raise ValueError("a secret has one of file, env and clear")
        return self

    def read(self) -> str:
        """The secret itself.

        Raises:
            ConfigError: the file or variable is not there, or it is empty.
        """
        if self.file is not None:
            try:
                value = read_text(self.file, MOST_SECRET).rstrip("\r\n")
            except (OSError, ValueError) as error:
                raise ConfigError(f"cannot read the secret in {self.file}", reason(error), "create the file") from error
            place = str(self.file)
        elif self.env is not None:
            value, place = os.environ.get(self.env, ""), f"environment variable {self.env}"
        else:
            assert self.clear is not None
            value, place = self.clear.get_secret_value(), "clear"
        if not value:
            raise ConfigError(f"the secret in {place} is empty or not set", fix="put the secret there")
        return value


class Tls(BaseModel):
    """TLS to a receiver. The receiver's certificate and name are always checked."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    ca: Path | None = None
    """The plant's certificate authority (PEM); without it, those that the system trusts."""
    certificate: Path | None = None
    """Our own certificate (PEM), where the receiver asks for one."""
    key: Path | None = None
    """Its private key (PEM, without a password)."""

    @model_validator(mode="after")
    def _pair(self) -> Tls:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        return self

    def context(self) -> ssl.SSLContext:
        """Client side, TLS 1.2 or newer.

        Raises:
            ConfigError: a file is missing or holds no certificate or key.
        """
        try:
            for file in (self.ca, self.certificate, self.key):
                if file is not None:
                    require_regular(file, MOST_CERTIFICATES)
            context = ssl.create_default_context(cafile=self.ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except OSError as error:  # ssl.SSLError is one
            files = ", ".join(str(path) for path in (self.ca, self.certificate, self.key) if path is not None)
            raise ConfigError(f"cannot use the TLS files {files}", str(error), "give PEM files") from error
        return context
