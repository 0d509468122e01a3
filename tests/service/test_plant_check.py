"""`stream check` on what stands around a line: the clock, the folder that pictures go to, packages of sinks."""

from __future__ import annotations

from pathlib import Path

import pytest
from lines import line_config, write_parts

from snl_edge.service import check
from snl_edge.service.check import Finding, check_line
from snl_edge.stream.timing import clock_synchronised
from studies.small_bundle import write_small_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_bundle(tmp_path_factory.mktemp("bundles") / "small", 64).path


def findings(bundle: Path, folder: Path, *sinks: dict) -> dict[str, Finding]:
    write_parts(folder / "parts", 1)
    found = check_line(line_config(bundle, folder, sinks=list(sinks)), connect=False)
    return {finding.subject: finding for finding in found}


@pytest.mark.parametrize(
    ("answer", "said"), [(True, "the network sets it"), (False, "nobody sets it"), (None, "cannot be told")]
)
def test_whether_the_clock_is_set_is_told(
    bundle: Path, tmp_path: Path, answer: bool | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert clock_synchronised() in (True, False, None)  # the kernel is asked, and nothing is set
    monkeypatch.setattr(check, "clock_synchronised", lambda: answer)
    clock = findings(bundle, tmp_path)["clock"]
    assert said in clock.text
    assert clock.works is None  # no fault of the line's


def test_where_pictures_go_is_looked_at_and_nothing_written(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "mnt").mkdir()
    (tmp_path / "file").write_bytes(b"")
    told = findings(
        bundle,
        tmp_path,
        {"type": "pictures", "name": "open", "folder": tmp_path / "mnt" / "new" / "line3"},
        {"type": "pictures", "name": "away", "folder": tmp_path / "mnt" / "line3", "mount": tmp_path / "mnt"},
        {"type": "pictures", "name": "wrong", "folder": tmp_path / "file" / "line3"},
    )
    found = {name.split()[1]: finding for name, finding in told.items() if name.endswith(" folder")}
    assert (found["open"].works, found["away"].works, found["wrong"].works) == (True, False, False)
    assert "GiB are free" in found["open"].text
    assert "without mount" in found["open"].text
    assert "nothing is mounted at" in found["away"].text
    assert not list((tmp_path / "mnt").iterdir())


def test_sparkplug_needs_its_own_package(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = {"type": "mqtt", "host": "broker", "sparkplug": {"group": "Plant1", "node": "line1"}}
    assert findings(bundle, tmp_path, sink)["sink mqtt"].works is True
    monkeypatch.setattr(check, "installed", lambda module: module == "paho")
    found = findings(bundle, tmp_path, sink)["sink mqtt"]
    assert found.works is False
    assert 'google.protobuf: pip install "snl-edge[sparkplug]"' in found.text
