"""Signed bundles: what is trusted on a device is what was signed, and nothing else."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

import pytest
from contract_graph import write_contract_bundle
from engines import write_engine
from typer.testing import CliRunner

from snl_edge.cli import app
from snl_edge.errors import BundleError, ConfigError, EngineError, OutputError
from snl_edge.runtime.bundle import Bundle
from snl_edge.runtime.signature import FILE, TRUSTED_KEYS, Trust
from snl_edge.runtime.signing import sign_bundle
from snl_edge.runtime.signing_keys import make_key_pair, read_private_key, trusted_keys
from snl_edge.stream.config.line_config import LineConfig
from snl_edge.stream.pipeline.recipe import Recipe


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the key ``anna`` and ``ben``; only Anna's is trusted, in ``trusted``."""
    folder = tmp_path / "keys"
    (folder / "trusted").mkdir(parents=True)
    for name in ("anna", "ben"):
        make_key_pair(folder / name)
    shutil.copy(folder / "anna.pub", folder / "trusted")
    monkeypatch.setenv(TRUSTED_KEYS, str(folder / "trusted"))
    return folder


def test_a_key_is_its_owner_s_alone_whole_and_never_replaced(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        public = make_key_pair(tmp_path / "key")
    finally:
        os.umask(previous)
    assert public == tmp_path / "key.pub"
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {tmp_path / "key", public}
    with pytest.raises(OutputError, match="key is there already"):
        make_key_pair(tmp_path / "key")
    (tmp_path / "other.pub").write_text("mine")
    with pytest.raises(OutputError, match=r"other\.pub is there already"):
        make_key_pair(tmp_path / "other")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == {
        **before,
        tmp_path / "other.pub": b"mine",
    }


def test_only_what_a_trusted_key_signed_is_opened(keys: Path, tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line")
    with pytest.raises(BundleError, match=f"is not signed: {TRUSTED_KEYS} asks for it.*snl-edge sign"):
        Bundle.open(bundle.path)
    sign_bundle(bundle.path, keys / "ben", "Ben")
    with pytest.raises(BundleError, match=r"is signed by Ben on .* which is not trusted: .* holds anna\.pub"):
        Bundle.open(bundle.path)
    signature = sign_bundle(bundle.path, keys / "anna", "Anna")
    opened = Bundle.open(bundle.path)
    assert (opened.signature, signature.root) == (signature, bundle.root)
    opened.set_threshold(0.6, "bolt")  # on the device
    assert Bundle.open(bundle.path).manifest.threshold_for("bolt") == 0.6
    shutil.copytree(write_contract_bundle(tmp_path / "other", doubts=("x",)).path, tmp_path / "copy")
    shutil.copy(bundle.path / FILE, tmp_path / "copy" / FILE)
    with pytest.raises(BundleError, match="is that of another bundle"):
        Bundle.open(tmp_path / "copy")


def test_a_signature_with_a_flipped_bit_is_refused(keys: Path, tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line")
    true = sign_bundle(bundle.path, keys / "anna", "Anna")
    content = (bundle.path / FILE).read_bytes()
    for place in range(0, len(content), 3):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        (bundle.path / FILE).write_bytes(changed)
        with suppress(BundleError):
            assert Bundle.open(bundle.path).signature == true


def test_an_engine_or_golden_sample_that_no_signature_covers_is_refused(keys: Path, tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line")
    golden = bundle.path / "golden" / "reject"
    golden.mkdir(parents=True)
    (golden / "a.png").write_bytes(b"a")
    record = write_engine(bundle)
    signature = sign_bundle(bundle.path, keys / "anna")
    stem = "engines/tensorrt-fp16-sm87"
    assert sorted(signature.files) == [f"{stem}.engine", f"{stem}.json", "golden/reject/a.png"]
    assert signature.covered == "1 engine, 1 golden sample"
    assert Bundle.open(bundle.path).engines() == [record]
    side = bundle.path / f"{stem}.json"
    before = side.read_bytes()
    write_engine(bundle, b"another engine")
    with pytest.raises(EngineError, match="covered by no signature: it was changed since.*or remove the engine"):
        Bundle.open(bundle.path).engines()
    side.write_bytes(before)
    side.with_name("new.json").write_bytes(before)
    with pytest.raises(EngineError, match=r"new\.engine is covered by no signature: it was built or copied there"):
        Bundle.open(bundle.path).engines()
    side.with_name("new.json").unlink()
    (golden / "b.png").write_bytes(b"b")
    with pytest.raises(BundleError, match=r"golden sample .*b\.png is covered by no signature"):
        Bundle.open(bundle.path)
    (golden / "b.png").unlink()
    (golden / "a.png").write_bytes(b"b")
    with pytest.raises(BundleError, match=r"golden sample .*a\.png is covered"):
        Bundle.open(bundle.path)


@pytest.mark.parametrize("place", ["golden/good", "golden", "golden/good/b.png"])
def test_what_a_link_leads_to_is_covered_by_no_signature(keys: Path, tmp_path: Path, place: str) -> None:
    bundle = write_contract_bundle(tmp_path / "line")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.png").write_bytes(b"a")
    link = bundle.path / place
    link.parent.mkdir(parents=True, exist_ok=True)
    signed = place.endswith(".png")
    if not signed:
        sign_bundle(bundle.path, keys / "anna")
    link.symlink_to(elsewhere / "a.png" if signed else elsewhere)
    with pytest.raises(BundleError, match="is a link: what it leads to may change, and no signature covers it"):
        sign_bundle(bundle.path, keys / "anna") if signed else Bundle.open(bundle.path)


def test_every_bit_of_a_side_file_that_matters_is_signed(keys: Path, tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line")
    write_engine(bundle)
    sign_bundle(bundle.path, keys / "anna")
    opened, side = Bundle.open(bundle.path), bundle.path / "engines" / "tensorrt-fp16-sm87.json"
    content = side.read_bytes()
    for place in range(0, len(content), 5):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        side.write_bytes(changed)
        with pytest.raises(EngineError, match="covered by no signature"):
            opened.engines()


def test_where_signatures_are_asked_for_and_cannot_be_checked_nothing_opens(
    keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = write_contract_bundle(tmp_path / "line")
    sign_bundle(bundle.path, keys / "anna")
    find = importlib.util.find_spec
    with monkeypatch.context() as patched:
        patched.setattr(importlib.util, "find_spec", lambda name: None if name == "cryptography" else find(name))
        with pytest.raises(ConfigError, match=r"cannot be checked.*pip install \"snl-edge\[signing\]\""):
            Bundle.open(bundle.path)
    for folder, says in (
        (tmp_path / "nowhere", f"cannot read the trusted keys.*{TRUSTED_KEYS}"),
        (tmp_path, "holds no public key"),
    ):
        monkeypatch.setenv(TRUSTED_KEYS, str(folder))
        with pytest.raises(ConfigError, match=says):
            Bundle.open(bundle.path)
    monkeypatch.setenv(TRUSTED_KEYS, "")
    with pytest.raises(ConfigError, match="is set, and empty"):
        Bundle.open(bundle.path)
    (keys / "trusted" / "b.pub").write_text("no key")
    with pytest.raises(ConfigError, match=r"b\.pub is no public key"):
        Bundle.open(bundle.path, Trust(keys / "trusted"))


def test_a_line_asks_for_signatures_by_its_file(keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TRUSTED_KEYS)
    bundle = write_contract_bundle(tmp_path / "line")
    config = LineConfig.model_validate(
        {
            "bundle": bundle.path,
            "engine": {"backend": "onnxruntime", "trusted_keys": keys / "trusted"},
            "cameras": [{"name": "top", "source": {"type": "folder", "path": tmp_path}}],
        }
    )
    with pytest.raises(BundleError, match=r"is not signed: engine\.trusted_keys asks for it"):
        Recipe(config.bundle, config.engine, 1)
    sign_bundle(bundle.path, keys / "anna")
    Recipe(config.bundle, config.engine, 1).close()


def test_the_commands_make_a_key_and_sign_and_a_new_build_is_not_signed(tmp_path: Path) -> None:
    bundle = write_contract_bundle(tmp_path / "line")
    key = tmp_path / "key"
    assert CliRunner().invoke(app, ["make-key", str(key)], catch_exceptions=False).exit_code == 0
    told = CliRunner().invoke(app, ["sign", str(bundle.path), "--key", str(key), "--by", "Anna"]).output
    assert "signed by Anna on " in told
    assert "it covers the manifest with its graphs, no engines, no golden samples" in told
    content = json.loads((bundle.path / FILE).read_text())
    assert content["root"] == bundle.root
    key.chmod(0o644)
    with pytest.raises(ConfigError, match="can be read by others.*chmod 600"):
        sign_bundle(bundle.path, key)
    key.chmod(0o600)
    with pytest.raises(ConfigError, match=r"key\.pub is no private key|can be read by others"):
        sign_bundle(bundle.path, tmp_path / "key.pub")
    write_contract_bundle(bundle.path, doubts=("new",))
    assert not (bundle.path / FILE).exists()


def test_what_openssl_itself_stumbles_over_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by the fuzz command: an error that an earlier broken key left in OpenSSL is raised for the next."""
    from cryptography.exceptions import InternalError
    from cryptography.hazmat.primitives import serialization

    def stumbles(*_: object, **__: object) -> None:
        raise InternalError("Unknown OpenSSL error. This error is commonly\n encountered", [])

    key = make_key_pair(tmp_path / "line.key")
    monkeypatch.setattr(serialization, "load_pem_private_key", stumbles)
    monkeypatch.setattr(serialization, "load_pem_public_key", stumbles)
    with pytest.raises(ConfigError, match=r"line\.key is no private key: Unknown OpenSSL error\. Give") as refused:
        read_private_key(tmp_path / "line.key")
    assert "\n" not in str(refused.value)
    with pytest.raises(ConfigError, match=r"is no public key: Unknown OpenSSL error"):
        trusted_keys(key.parent, "a setting")
