"""Kept pictures copied to a folder that may be absent, full or hang."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from journals import new_journal, record, until

from snl_edge.image_files import is_kept_heatmap
from snl_edge.stream.journal.journal import Journal
from snl_edge.stream.outputs.sinks import Forwarder, PicturesSink, build_sink
from snl_edge.stream.records.record import Entry


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = new_journal(tmp_path / "journal")
    yield made
    made.close()


def keep(journal: Journal, count: int, start: int = 0) -> list[str]:
    """Rejects with pictures, and a good part without before each; the rejects' message ids."""
    (journal.folder / "pictures").mkdir(exist_ok=True)
    ids = []
    for number in range(start, start + count):
        names = f"pictures/{number}.png", f"pictures/{number}-heatmap.jpg"
        for name in names:
            (journal.folder / name).write_bytes(name.encode() * 1000)
        kept = record(2 * number + 1, verdict="reject", image=names[0], heatmap=names[1])
        ids.append(f"{journal.id}:{journal.append([record(2 * number, verdict='good'), kept])[1]}")
    return ids


def sink_of(journal: Journal, folder: Path, **settings: object) -> Forwarder:
    quick = {"retry_first_s": 0.05, "retry_most_s": 0.1, "timeout_s": 0.1, "backfill": True}
    made = build_sink(PicturesSink(type="pictures", folder=folder, **quick | settings), journal, lambda: "running")
    made.start()
    return made


def arrived(folder: Path) -> dict[str, dict]:
    """Messages by their name, without suffix."""
    return {path.stem: json.loads(path.read_text()) for path in folder.rglob("*.json")}


def test_pictures_come_under_their_message_id_with_the_message_last(journal: Journal, tmp_path: Path) -> None:
    ids = keep(journal, 5)
    sink = sink_of(journal, tmp_path / "out")
    assert sink.stop(10)
    found = arrived(tmp_path / "out")
    assert sorted(found) == sorted(name.replace(":", "-") for name in ids)
    assert {message["message_id"] for message in found.values()} == set(ids)
    for path in (tmp_path / "out").rglob("*.json"):
        message = json.loads(path.read_text())
        assert path.parent.name == message["captured"][:10]
        assert path.with_suffix(".png").read_bytes() == (journal.folder / message["image"]).read_bytes()
        heatmap = path.with_name(f"{path.stem}-heatmap.jpg")
        assert heatmap.read_bytes() == (journal.folder / message["heatmap"]).read_bytes()
        assert is_kept_heatmap(heatmap)
        assert not is_kept_heatmap(path.with_suffix(".png"))
    assert len(list((tmp_path / "out").rglob("*.*"))) == 3 * len(ids)  # no temporary file


def test_an_absent_target_holds_what_is_to_come_and_a_new_run_goes_on(journal: Journal, tmp_path: Path) -> None:
    out = tmp_path / "share" / "out"
    (tmp_path / "share").write_bytes(b"a file in place of the folder")
    sink = sink_of(journal, out, alarm_after_s=0.05)
    ids = keep(journal, 2)
    sink.wake()
    until(lambda: sink.failures > 1 and sink.check().light == "failed" and sink.backlog == 4)
    assert "cannot write in" in sink.check().text
    assert not sink.stop(0.1)
    (tmp_path / "share").unlink()
    (journal.folder / "pictures" / "0.png").unlink()  # retention
    again = sink_of(journal, out)
    assert again.stop(10)
    assert sorted(arrived(out)) == sorted(name.replace(":", "-") for name in ids)
    assert len(list(out.rglob("*.png"))) == 1
    gone = journal.latest_audit("picture gone")
    assert gone is not None
    assert (gone.actor, gone.detail["message_id"]) == ("sink pictures", ids[0])


def test_nothing_is_written_where_the_share_is_not_mounted(journal: Journal, tmp_path: Path) -> None:
    keep(journal, 1)
    (tmp_path / "mnt").mkdir()
    sink = sink_of(journal, tmp_path / "mnt" / "line3", mount=tmp_path / "mnt")
    until(lambda: sink.failures > 1)
    assert f"nothing is mounted at {tmp_path / 'mnt'}" in sink.check().text
    assert not sink.stop(0.1)
    assert not list((tmp_path / "mnt").iterdir())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_target_leaves_nothing_half_written(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = keep(journal, 1)
    write, full = Path.write_bytes, threading.Event()
    full.set()

    def no_space(path: Path, content: bytes) -> int:
        if full.is_set() and ".png" in path.name:
            with open("/dev/full", "wb", buffering=0) as device:
                device.write(content)
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", no_space)
    sink = sink_of(journal, tmp_path / "out")
    until(lambda: sink.failures > 1)
    assert "No space left" in sink.check().text
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    full.clear()
    until(lambda: sink.delivered == 1)
    assert sink.stop(10)
    assert list(arrived(tmp_path / "out")) == [ids[0].replace(":", "-")]


def test_a_target_that_hangs_is_told_and_holds_up_nobody(journal: Journal) -> None:
    hold = threading.Event()

    class Hanging:
        def open(self) -> None: ...

        def deliver(self, entries: Sequence[Entry]) -> int:
            hold.wait(20)
            return len(entries)

        def close(self) -> None: ...

    settings = PicturesSink(type="pictures", folder=Path("x"), timeout_s=0.02, alarm_after_s=0.3)
    sink = Forwarder("pictures", settings, Hanging(), journal)
    sink.start()
    until(lambda: sink.check().light == "warning")
    keep(journal, 3)
    until(lambda: sink.check().light == "failed")
    assert "hung for 0 s, 6 records wait" in sink.check().text
    begun = time.monotonic()
    sink.stop(0.1)
    assert time.monotonic() - begun < 5
    hold.set()
    sink.join()
