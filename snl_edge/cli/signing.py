"""`make-key` and `sign`: vouching for a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snl_edge.answer import say

from .app import app


@app.command()
def make_key(
    file: Annotated[Path, typer.Argument(help="The private key's file; FILE.pub will be the public one.")],
) -> None:
    """Make a pair of keys to sign bundles with. The private one stays with you, the public one goes to the devices.

    Example: snl-edge make-key ~/bundles.key
    """
    from snl_edge.runtime.signing_keys import make_key_pair

    public = make_key_pair(file)
    say(f"private key {file}: keep it, nobody else may have it")
    say(f"public key {public}: put it into the folder that SNL_EDGE_TRUSTED_KEYS names on each device")


@app.command()
def sign(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.")],
    key: Annotated[Path, typer.Option(help="Private key that `snl-edge make-key` wrote.")],
    by: Annotated[str | None, typer.Option(help="Who signs; your user and machine if not given.")] = None,
) -> None:
    """Sign a bundle as it is: what training and build decided, its engines, and golden samples that lie in it.

    Example: snl-edge sign runs/line3/bundle --key ~/bundles.key
    """
    from snl_edge.runtime.signing import sign_bundle

    signature = sign_bundle(bundle, key, by)
    say(f"bundle {bundle}: {signature}; it covers the manifest with its graphs, {signature.covered}")
