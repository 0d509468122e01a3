"""What all sinks have in common in the configuration, and how secrets and TLS are given."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from ...errors import ConfigError
from ...outside.files import MOST_CERTIFICATES, MOST_SECRET, read_text, reason, require_regular


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


class SinkSettings(BaseModel):
    """Settings of every sink."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    """Name of its cursor in the journal, unique on this line; if not given, its type. A new name is a new sink."""
    verdicts: Literal["all", "not_good"] = "all"
    """Deliver every verdict, or all but ``good``."""
    backfill: bool = False
    """When the sink is new to a journal: also deliver what the journal already holds."""
    batch: int = Field(default=100, ge=1, le=1000)
    """Most verdicts handed over at a time."""
    timeout_s: float = Field(default=5.0, gt=0, le=60)
    """For connecting, and for the receiver's confirmation."""
    retry_first_s: float = Field(default=0.5, gt=0, le=60)
    """Pause after the first failure; it doubles with each further one, with jitter."""
    retry_most_s: float = Field(default=30.0, gt=0, le=600)
    """Longest pause between two tries."""
    alarm_after_s: float = Field(default=60.0, ge=0)
    """How long a receiver may be away before the health page shows the sink as failed instead of a warning; and how far
    it may be behind with what it takes before there is a warning."""
