"""Judges every picture of a folder, and sorts out what is not good: `python folder_loop.py BUNDLE FOLDER`.

`snl-edge infer` does this and more; this is the loop to begin with where verdicts go into a program of yours.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from snl_edge import Detector, SnlEdgeError, Verdict, read_image

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}


def verdicts(bundle: Path, folder: Path) -> Iterator[tuple[Path, Verdict]]:
    """Each picture below ``folder`` with its verdict, in the order of their names.

    Raises:
        SnlEdgeError: the bundle cannot be loaded, or a picture cannot be read: nothing is left out in silence.
    """
    with Detector.load(bundle) as detector:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in SUFFIXES:
                (verdict,) = detector.detect(read_image(path), colours="rgb")
                yield path, verdict


def main(bundle: str, folder: str) -> int:
    """Prints what is not good; the exit status says whether everything was."""
    stopped = judged = 0
    for path, verdict in verdicts(Path(bundle), Path(folder)):
        judged += 1
        if not verdict.good:
            stopped += 1
            sys.stdout.write(f"{path}: {verdict.kind} {verdict.product}, {verdict.relation:.2f} of the limit\n")
    sys.stdout.write(f"{judged} judged, {stopped} stopped\n")
    return 4 if stopped else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Judge every picture of a folder, and tell which are not good.")
    parser.add_argument("bundle", metavar="BUNDLE", help="that snl-edge build made")
    parser.add_argument("folder", metavar="FOLDER", help="of pictures, searched through")
    try:
        sys.exit(main(**vars(parser.parse_args())))
    except SnlEdgeError as error:
        sys.exit(str(error))
