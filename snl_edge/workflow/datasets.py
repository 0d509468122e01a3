"""`opened` and `check`: images as a data set, and what is wrong or doubtful about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from snl_edge.arguments import optional_path, require_path, require_whole

if TYPE_CHECKING:
    from snl_edge.data.findings import Finding
    from snl_edge.data.layouts import LayoutName
    from snl_edge.data.samples import Dataset


@dataclass(frozen=True)
class Checked:
    """What :func:`check` found; each finding has a ``kind``, a ``text`` and the ``images`` that show it."""

    dataset: Dataset
    faults: tuple[Finding, ...]
    """For which the data set is refused."""
    doubts: tuple[Finding, ...]
    """What a person should look at."""
    notes: tuple[Finding, ...]
    """How the data set was read."""
    page: Path | None
    """What shows the images of each finding; None where none was asked for."""

    @property
    def summary(self) -> str:
        """In one line."""
        return _summary(self.dataset, self.faults, self.doubts)


def check(data: Path | str | Dataset, *, page: Path | str | None = None, bits: int | None = None) -> Checked:
    """Looks at every image and mask of a data set: what cannot be used, and what is doubtful. Needs no extra.

    Example:
        ```python
        from snl_edge import check

        found = check("parts/", page="parts-check/index.html")
        for fault in found.faults:
            print(fault.text, fault.images)
        ```

    Args:
        data: a data set, or the folder or table that :func:`open_dataset` understands.
        page: the page to write, which shows the images of each finding; their thumbnails go beside it.
        bits: how many the camera filled of 16-bit files, 8 to 16.

    Raises:
        DataError: there is no data set; what is wrong with its images is no error but found.
        OutputError: the page cannot be written.
        ConfigError: an argument cannot be one.
    """
    from snl_edge import provenance
    from snl_edge.atomic import require_writable
    from snl_edge.data.check import survey
    from snl_edge.data.findings_page import show_sample, write_findings
    from snl_edge.data.layouts import open_dataset
    from snl_edge.data.samples import Dataset
    from snl_edge.outside.files import real_path
    from snl_edge.progress import progress_bar

    target = optional_path(page, "page")
    bits = None if bits is None else require_whole(bits, "bits", 8, 16)
    dataset = data if isinstance(data, Dataset) else open_dataset(require_path(data, "data"), trains=False)
    dataset = dataset.with_bits(bits)
    if target is not None:
        require_writable(target)
    with progress_bar("checking images") as report:
        found = survey(dataset.train, dataset.test, dataset.loose_masks, progress=report)
    faults = tuple(found.faults)
    doubts = tuple(finding for finding in (*dataset.findings, *found.doubts) if finding.doubtful)
    notes = tuple(finding for finding in dataset.findings if not finding.doubtful)
    if target is not None:
        write_findings(
            doubts,
            target,
            title=f"What to look at: {real_path(dataset.root).name}",
            summary=_summary(dataset, faults, doubts),
            refused=faults,
            notes=notes,
            provenance={"data": f"{dataset.root} ({dataset.layout} layout)", "created": provenance.now()},
            read=show_sample([*dataset.train, *dataset.test]),
        )
    return Checked(dataset, faults, doubts, notes, target)


def _summary(dataset: Dataset, faults: Sequence[Finding], doubts: Sequence[Finding]) -> str:
    from snl_edge.counted import counted

    samples = (*dataset.train, *dataset.test)
    good = sum(sample.is_good for sample in samples)
    return (
        f"{counted(len(dataset.products), 'product')}, {counted(good, 'good image')}, {len(samples) - good} defective "
        f"({len(dataset.train)} to train on): {counted(len(faults), 'fault')}, {counted(len(doubts), 'doubt')}"
    )


def opened(
    data: Path | str | Dataset,
    layout: Literal["auto"] | LayoutName = "auto",
    products: Sequence[str] | None = None,
    *,
    trains: bool = True,
) -> Dataset:
    """The data set in ``data``; of one that is opened here it is said how it was read. Arguments: `open_dataset`."""
    from snl_edge.data.layouts import open_dataset
    from snl_edge.data.samples import Dataset
    from snl_edge.progress import console

    if isinstance(data, Dataset):
        return data
    dataset = open_dataset(require_path(data, "data"), layout, products, trains=trains)
    for finding in dataset.findings:
        console.print(f"{'doubt' if finding.doubtful else data}: {finding.text}", markup=False, highlight=False)
    return dataset
