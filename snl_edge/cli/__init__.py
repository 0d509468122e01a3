"""The command line: one command per verb, each a few lines that call the part that does the work."""

# The order is that of `snl-edge --help`.
from . import check, train, ignore, build, infer, bundle, signing, stream, bench, machine  # noqa: F401, I001
from .app import app, main

__all__ = ["app", "main"]
