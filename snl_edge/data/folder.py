"""Plain folders of good images: one product named after its folder, or one folder per product; no test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from snl_edge.errors import DataError
from snl_edge.image import IMAGE_SUFFIXES

from .folders import name_some
from .labels import Role, looks_like_labels, roles_of, speaks_of_defects
from .mask_index import part_masks
from .notes import Notes
from .placing import ASK
from .product_folders import product_name
from .samples import GOOD, Reading, Sample
from .tree import Folder, Tree

TEXTS = {
    "product_name": "the images are of one product, {names}",
    "nested": "{count:image} in folders below a product's {count:counts as a good part|count as good parts}: {folders}",
    "masks_among_images": "{count:file} {count:is taken for a mask|are taken for masks} of the "
    "{count:image beside it, by its name|images beside them, by their names}: {files}",
}
_NO_PRODUCTS = frozenset({Role.DEFECT, Role.TEST, Role.VALIDATION, Role.MASKS, Role.DEPTH})


def open_folder(tree: Tree, asked: bool) -> PlainFolders | None:
    """``tree`` as one product, or each folder in it as one; None if there is no image in either.

    Args:
        tree: what lies in the data set's folder.
        asked: whether the user named this layout, so that a folder of any name is a product of good parts.

    Raises:
        DataError: images lie both in the root and in folders below it, or a folder's name speaks of defects,
            so that it is not clear what is a product.
    """
    products: dict[str, list[Folder]] = {}
    for folder in tree.folders:
        products.setdefault(folder.parts[0] if folder.parts else "", []).append(folder)
    (root,) = products.pop("")
    filled = [name for name, below in products.items() if any(folder.images for folder in below)]
    if not root.images and not any(products[name][0].images or asked for name in filled):
        return None
    if root.images and filled:
        raise DataError(
            f"{tree.root} holds images and folders with images ({name_some(filled)})",
            "it could be one product or several",
            "give the folder of one product, or move the loose images into a folder of their own",
        )
    found = PlainFolders(tree, {product_name(tree.root): [root]} if root.images else products, asked)
    if not asked:
        _refuse_labels(tree, found)
    return found


def _refuse_labels(tree: Tree, found: PlainFolders) -> None:
    """No folder of defects becomes a product because of where it lies."""
    name = tree.root.resolve().name
    single = bool(tree.folders[0].images)
    odd = [name] if roles_of(name) & _NO_PRODUCTS or (single and speaks_of_defects(name)) else []
    odd += [] if single else looks_like_labels(found.products)
    if odd:
        raise DataError(
            f"nobody says whether the images in {tree.root} are good",
            f"{name_some(odd)} {'is' if len(odd) == 1 else 'are'} perhaps named by label or defect and not by product",
            ASK,
        )
    if masked := [folder for folder in tree.folders if part_masks(folder)[1]]:
        raise DataError(
            f"nobody says whether the images in {masked[0].path} are good",
            f"masks lie beside them, as {part_masks(masked[0])[1][0].name}",
            ASK,
        )


@dataclass(frozen=True)
class PlainFolders:
    """Folders of good images."""

    tree: Tree
    found: Mapping[str, Sequence[Folder]]
    """Each product's folder, and those below it."""
    asked: bool

    @property
    def products(self) -> tuple[str, ...]:
        """All products, those included that have no images."""
        return tuple(self.found)

    def read(self, products: Sequence[str]) -> Reading:
        """All images of ``products`` as training samples, and an empty test set.

        Raises:
            DataError: a product's folder has no images, or only further down, or one below it speaks of defects.
        """
        notes = Notes()
        if len(self.found) == 1 and self.tree.folders[0].images and self.products[0] != self.tree.root.resolve().name:
            notes.name("product_name", *self.products)
        train: list[Sample] = []
        loose: list[Path] = []
        for product in products:
            top, *below = self.found[product]
            below = [folder for folder in below if folder.images]
            if not self.asked:
                _refuse_below(product, top, below)
            if not (top.images or below):
                raise DataError(
                    f"no good images of {product} in {top.path}",
                    "only heatmaps that a line kept beside its pictures"
                    if top.listing.heatmaps
                    else f"no {', '.join(sorted(IMAGE_SUFFIXES))} file there",
                    "add images, remove the folder, or choose other products with --products",
                )
            for folder in (top, *below):
                images, masks = part_masks(folder)
                train += [Sample(path, product, GOOD) for path in images]
                notes.add("masks_among_images", masks)
                loose += masks
                notes.add("nested", () if folder is top else images)
        return Reading(tuple(train), (), notes.findings(TEXTS), tuple(loose))


def _refuse_below(product: str, top: Folder, below: Sequence[Folder]) -> None:
    if below and not top.images:
        raise DataError(
            f"no good images of {product} directly in {top.path}",
            f"they lie further down ({name_some([str(folder.path) for folder in below])}): one product, or several?",
            f"move them up, or give {top.path} if each folder in it is a product; --products leaves it out",
        )
    if odd := [folder.path for folder in below if any(map(_speaks, folder.parts[1:]))]:
        raise DataError(
            f"nobody says whether the images in {name_some(odd)} are good", f"they lie below {product}", ASK
        )


def _speaks(name: str) -> bool:
    return bool(roles_of(name) & _NO_PRODUCTS) or speaks_of_defects(name)
