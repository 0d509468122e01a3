"""From a folder of pictures to a bundle and its verdicts: `python train_and_build.py PARTS OUT`, needs snl-edge[train].

The same as `snl-edge train`, `evaluate` and `build`, which call these functions.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from snl_edge import Detector, SnlEdgeError, TrainingConfig, build, evaluate, open_dataset, read_image, train


def make(parts: Path, out: Path, *, steps: int = 1200, settings: tuple[str, ...] = ()) -> Path:
    """Trains on the good parts in ``parts``, measures on its test set if it has one, and gives the bundle's folder."""
    dataset = open_dataset(parts)
    run = train(dataset, out / "run", settings=settings, training=TrainingConfig(steps=steps, batch_size=8))
    if dataset.test:
        found = evaluate(run.path, dataset, report=out / "report")
        for product in found.evaluation.products:
            outcome = found.evaluation.outcome(product)
            escaped, stopped = outcome.escaped, outcome.falsely_stopped
            sys.stdout.write(f"{product}: {escaped.count} of {escaped.total} defects escape, ")
            sys.stdout.write(f"{stopped.count} of {stopped.total} good parts are stopped\n")
    # No engine here: OpenVINO and ONNX Runtime run the graphs; on the device `build(bundle)` adds TensorRT's engine.
    return build(run.path, out / "bundle", "fp16", engine=False).path


def main(parts: str, out: str) -> None:
    """Makes the bundle and judges one picture with it."""
    bundle = make(Path(parts), Path(out))
    picture = open_dataset(Path(parts)).train[0].path
    with Detector.load(bundle) as detector:
        (verdict,) = detector.detect(read_image(picture), colours="rgb")
    sys.stdout.write(f"{picture}: {verdict.kind} {verdict.product}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train, evaluate, build and judge a picture.")
    parser.add_argument("parts", metavar="PARTS", help="folder of good (and bad) parts")
    parser.add_argument("out", metavar="OUT", help="folder for the run, the report and the bundle")
    try:
        main(**vars(parser.parse_args()))
    except SnlEdgeError as error:
        sys.exit(str(error))
