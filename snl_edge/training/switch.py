"""From a run's earlier model to its new one: all that takes time or may fail comes before, one rename decides."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snl_edge.errors import OutputError

from .checkpoint import Checkpoint, save_checkpoint

STAGE = ".next"
"""In a run folder, where files that go with a model wait for it. What a kill left there, the next run removes."""


@contextmanager
def staging(run: Path) -> Iterator[Path]:
    """Gives an empty folder inside ``run`` for what goes with the model that is to come, and removes it afterwards.

    Raises:
        OutputError: it cannot be made.
    """
    stage = run / STAGE
    shutil.rmtree(stage, ignore_errors=True)
    try:
        stage.mkdir(parents=True)
    except OSError as error:
        raise OutputError(
            f"cannot write {stage}", error.strerror or str(error), "choose a folder you may write to, with space left"
        ) from error
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def switch(checkpoint: Checkpoint, stage: Path, run: Path, whole: tuple[str, ...] = ()) -> None:
    """Makes ``checkpoint``, whose weights and list of images are written, the model of ``run``; then moves ``stage``.

    A kill leaves the earlier model whole, or the new one: what `staging` holds are pictures and pages, of which the
    model needs none but the reference images, and these are exchanged one by one.

    Args:
        checkpoint: the new description.
        stage: of `staging`.
        run: the run folder.
        whole: folders of it in which nothing stays that ``stage`` does not hold.

    Raises:
        OutputError: it cannot be written.
    """
    save_checkpoint(checkpoint, run)
    try:
        moved = sorted(path.relative_to(stage) for path in stage.rglob("*") if path.is_file())
        for name in moved:
            (run / name).parent.mkdir(parents=True, exist_ok=True)
            (stage / name).replace(run / name)
        for folder in whole:
            kept = {run / name for name in moved if name.parts[0] == folder}
            for path in (run / folder).rglob("*"):
                if path.is_file() and path not in kept:
                    path.unlink()
            if not kept and (run / folder).is_dir():
                (run / folder).rmdir()
    except OSError as error:
        raise OutputError(f"cannot write {run}", error.strerror or str(error), "make it writable") from error
