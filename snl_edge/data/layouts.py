"""Opens a folder or a table of images as a data set, whichever of the known layouts it has."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Protocol

from snl_edge.arguments import require_choice, require_path, require_switch, require_texts
from snl_edge.counted import counted
from snl_edge.errors import DataError
from snl_edge.outside.shown import is_text, shown

from .csv_table import SUFFIXES, open_table
from .findings import Finding
from .folder import open_folder
from .folders import name_some
from .labelled import open_labelled
from .labels import called_defective
from .left_out import left_out
from .samples import Dataset, Reading, Sample
from .tree import Tree, read_tree
from .unmarked import unmarked
from .visa import open_visa

LayoutName = Literal["visa", "mvtec", "ok_ng", "folder"]
TABLE = "csv"
FOLDERS_ARE_PRODUCTS = frozenset({"mvtec", "ok_ng", "folder"})
"""Layouts in which the names of folders alone tell products apart."""
MASK_KINDS = frozenset({"missing_masks", "shared_masks"})
"""Kinds of findings that say why a defective image has no mask."""
LONGEST_NAME = 200  # bytes; file systems take 255, and a file of this name needs an ending


class Opened(Protocol):
    """A data set whose layout is known and whose products have names."""

    @property
    def products(self) -> tuple[str, ...]:
        """All products, those included that cannot be read."""
        ...

    def read(self, products: Sequence[str]) -> Reading:
        """The samples of ``products``; raises a `DataError` if one of these cannot be read."""
        ...


@dataclass(frozen=True)
class Layout:
    """How one layout is recognised: ``open`` takes the tree, and whether the user asked for this layout by name."""

    looks_for: str
    open: Callable[[Tree, bool], Opened | None]


LAYOUTS: Mapping[LayoutName, Layout] = MappingProxyType(
    {
        "visa": Layout("visa: split_csv/1cls.csv with <product>/Data/Images", open_visa),
        "mvtec": Layout("mvtec: [<product>/]train/good", partial(open_labelled, needs_train=True)),
        "ok_ng": Layout("ok_ng: [<product>/]good and [<product>/]bad", partial(open_labelled, needs_train=False)),
        "folder": Layout("folder: images in it or in one folder per product", open_folder),
    }
)


def open_dataset(
    root: Path | str,
    layout: Literal["auto"] | LayoutName = "auto",
    products: Sequence[str] | str | None = None,
    *,
    trains: bool = True,
) -> Dataset:
    """Lists the images of ``root``; decodes none of them (that is ``check_samples``' part).

    Example:
        ```python
        from snl_edge import open_dataset

        dataset = open_dataset("parts/")
        print(dataset.layout, dataset.products, len(dataset.train), len(dataset.test))
        for finding in dataset.findings:
            print(finding.text)
        ```

    Args:
        root: the data set's folder, or a single product's, or a table of images (`csv_table`).
        layout: a folder's layout; ``"auto"`` takes the first of ``LAYOUTS`` that fits. Naming one also answers what
            ``"auto"`` asks: with ``"folder"`` each folder is a product of good parts, whatever its name.
        products: the products to use; all of them when None. Only these have to be complete.
        trains: whether every product needs images to train on; a model may be measured on a set without any.

    Raises:
        ConfigError: an argument cannot be one.
        DataError: the folder is missing or has no known layout, a product is unknown or has no images to
            train on, a listed image is missing, it is not clear which images are good, or names of products
            would be one name elsewhere.
    """
    root = require_path(root, "the data set")
    require_choice(layout, "layout", ("auto", *LAYOUTS))
    chosen_products = None if products is None else require_texts(products, "products")
    trains = require_switch(trains, "trains")
    is_table = root.suffix.lower() in SUFFIXES and root.exists() and not root.is_dir()
    if not is_table and not root.is_dir():
        what = "neither a folder nor a table (.csv, .tsv)" if root.exists() else "no folder"
        raise DataError(f"{root} is {what}", fix="give the folder that holds the images, or the table that lists them")
    if is_table and layout != "auto":
        raise DataError(f"{root} is a table, which has no {layout} layout", fix="leave out --layout")
    try:
        tree = None if is_table else read_tree(root)
        name, opened = (TABLE, open_table(root, chosen_products)) if tree is None else _open(tree, layout)
        chosen = _select(root, opened.products, chosen_products)
        _check_names(root, chosen)
        reading = opened.read(chosen)
        _require_text(root, [*reading.train, *reading.test])
        if trains:
            _require_training(root, chosen, reading)
            if layout == "auto" and name != TABLE:
                _check_file_names(reading)
        beside = () if tree is None else left_out(tree)
    except OSError as error:
        raise DataError(
            f"cannot read {error.filename or root}", error.strerror or str(error), "check path and permissions"
        ) from error
    told = {path for finding in reading.findings if finding.kind in MASK_KINDS for path in finding.images}
    findings = (*_products_found(name, reading), *reading.findings, *unmarked(reading.test, told), *beside)
    return Dataset(root, name, reading.train, reading.test, findings, reading.loose_masks)


def _open(tree: Tree, layout: Literal["auto"] | LayoutName) -> tuple[str, Opened]:
    candidates: Sequence[LayoutName] = tuple(LAYOUTS) if layout == "auto" else (layout,)
    for name in candidates:
        opened = LAYOUTS[name].open(tree, layout != "auto")
        if opened is not None and opened.products:
            return name, opened
    raise DataError(
        f"{tree.root} has no {'known' if layout == 'auto' else layout} layout",
        "looked for "
        + "; ".join(LAYOUTS[name].looks_for for name in candidates)
        + "".join(f"; {finding.text}" for finding in left_out(tree)),
        "give the folder above the products, or name another layout with --layout"
        if layout != "auto"
        else "arrange the images in one of these layouts (docs/data.md), or give the folder that has one",
    )


def _products_found(name: str, reading: Reading) -> tuple[Finding, ...]:
    """Which folders count as products: of folders named ``A`` and ``B`` nobody else says whether they are."""
    if name not in FOLDERS_ARE_PRODUCTS:
        return ()
    train, every = (Counter(s.product for s in own) for own in (reading.train, (*reading.train, *reading.test)))
    if len(every) < 2:
        return ()
    named = name_some(
        [
            f"{product} ({counted(train[product], 'image')} to train on"
            + (f", {count - train[product]:,} to test)" if count > train[product] else ")")
            for product, count in sorted(every.items())
        ]
    )
    return (Finding("products", f"folders taken for {len(every)} products: {named}", doubtful=False),)


def _select(root: Path, present: Sequence[str], products: Sequence[str] | None) -> Sequence[str]:
    if products is None:
        return present
    if not products:
        raise DataError("no product chosen", fix=f"choose among {', '.join(sorted(present))}")
    unknown = sorted(set(products) - set(present))
    if unknown:
        raise DataError(f"{root} has no product {', '.join(unknown)}", fix=f"choose among {', '.join(sorted(present))}")
    return sorted(set(products))


def _require_training(root: Path, products: Sequence[str], reading: Reading) -> None:
    idle = sorted(set(products) - {sample.product for sample in reading.train})
    if idle:
        defects = sorted({s.defect for s in reading.test if s.product in idle and not s.is_good})
        raise DataError(
            f"no training images of {', '.join(idle)} in {root}",
            f"there are defective ones ({name_some(defects)}), and no good ones but for tests" if defects else "",
            "put images of good parts under train/good (docs/data.md), or choose other products with --products",
        )


def _check_file_names(reading: Reading) -> None:
    """Inspection stations write the label into the name of the file: what is called NG there is not learned as good."""
    for product in sorted({sample.product for sample in reading.train}):
        odd = [s.path.name for s in reading.train if s.product == product and called_defective(s.path.stem)]
        if odd:
            raise DataError(
                f"{counted(len(odd), 'training image')} of {product} {'is' if len(odd) == 1 else 'are'} named as a "
                f"defective one: {name_some(odd)}",
                "nobody says whether it is good",
                "move such images into a folder named bad, list all in a table (docs/data.md), or, if they are good, "
                "name the layout with --layout",
            )


def _require_text(root: Path, samples: Sequence[Sample]) -> None:
    """Names of images stand in tables and reports, which are UTF-8."""
    if odd := [sample.path for sample in samples if not is_text(str(sample.path))]:
        raise DataError(
            f"{counted(len(odd), 'image')} in {root} cannot be named", f"{name_some(odd)}: no UTF-8", "rename them"
        )


def _check_names(root: Path, products: Sequence[str]) -> None:
    """A product's name becomes the name of files and pages, on systems that take capitals for small letters too."""
    seen: dict[str, str] = {}
    for name in products:
        unfit = not name or name != name.strip() or name.startswith(".") or any(c in "/\\" for c in name)
        if unfit or shown(name) != name or len(name.encode()) > LONGEST_NAME:
            raise DataError(
                f"{root} has a product named {name!r}",
                f"its name becomes that of files: at most {LONGEST_NAME} visible bytes, no / or \\, no dot first",
                "give it another name",
            )
        other = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            raise DataError(
                f"{root} has products {other} and {name}",
                "they differ in capitals or accents alone, and their files could not be told apart everywhere",
                "rename one of them, or bring their images together",
            )
