"""Where the products are in a tree whose folders are named by label or split, and how a product is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from snl_edge.outside.files import real_path

from .labels import LABELS, SPLITS, Role, roles_of
from .tree import Folder, Tree

Parts = tuple[str, ...]


@dataclass(frozen=True)
class ProductFolders:
    """The folders of one product, each with the names that lead to it, the product's own left out."""

    folders: tuple[tuple[Parts, Folder], ...]
    unclear: bool = False
    """It has images, and no folder of it is named by label or split, while others' are."""


def find_labelled(tree: Tree) -> Mapping[str, ProductFolders]:
    """The products of ``tree`` by name; empty if no folder with images is named by label or split.

    A product is the root itself (``good``, ``bad``), a folder in it (``nut/good``), or one below a split
    (``train/nut/good``).
    """
    filled = [folder for folder in tree.folders if folder.images and not _is_other(folder.parts)]
    above = [names for folder in filled if (names := _above_label(folder.parts)) is not None]
    if not above:
        return {}
    if () in above:
        if below := _below_splits(filled):
            return {name: _of(tree, name) for name in sorted(below)}
        return {product_name(tree.root): ProductFolders(tuple((f.parts, f) for f in tree.folders))}
    # A product whose images all went missing still counts, so that it is reported and not left out.
    products = {names[0] for folder in tree.folders if (names := _above_label(folder.parts))}
    named = {name: _of(tree, name) for name in products}
    for folder in filled:
        if _above_label(folder.parts) is None and not products & set(folder.parts):
            name = folder.parts[0] if folder.parts else product_name(tree.root)
            named[name] = ProductFolders(((folder.parts, folder),), unclear=True)
    return dict(sorted(named.items()))


def products_below_labels(tree: Tree) -> list[str]:
    """Folders below ``good`` and ``bad`` at the root that may be products: below both, or instead of good images."""
    below: dict[Role, set[str]] = {Role.GOOD: set(), Role.DEFECT: set()}
    direct = False
    for folder in tree.folders:
        parts = tuple(name for name in folder.parts if not roles_of(name) & (SPLITS | {Role.IMAGES}))
        label = roles_of(parts[0]) & LABELS if parts and folder.images and not _is_other(parts) else ()
        if len(label) == 1:
            direct |= Role.GOOD in label and len(parts) == 1
            below[next(iter(label))] |= set(parts[1:2])
    both = below[Role.GOOD] & below[Role.DEFECT]
    return sorted(both or (below[Role.GOOD] if not direct and len(below[Role.GOOD]) > 1 else ()))


def product_name(root: Path) -> str:
    """The name of the nearest folder, from ``root`` up, that is not named by label, split or level."""
    whole = real_path(root)
    return next((path.name for path in (whole, *whole.parents) if path.name and not roles_of(path.name)), whole.name)


def _is_other(parts: Parts) -> bool:
    return any(roles_of(name) & {Role.MASKS, Role.DEPTH} for name in parts)


def _above_label(parts: Parts) -> Parts | None:
    """The names above the first label or split, mere levels left out; None if there is neither."""
    for index, name in enumerate(parts):
        if roles_of(name) & (LABELS | SPLITS):
            return tuple(name for name in parts[:index] if Role.IMAGES not in roles_of(name))
    return None


def _below_splits(filled: list[Folder]) -> set[str]:
    """Products in ``train/<product>/good``; empty if good images lie directly under ``train``."""
    names: set[str] = set()
    for folder in filled:
        parts = tuple(name for name in folder.parts if roles_of(name) != {Role.IMAGES})
        if len(parts) > 2 and roles_of(parts[0]) == {Role.TRAIN} and Role.GOOD in roles_of(parts[2]):
            names |= set() if roles_of(parts[1]) else {parts[1]}
        elif parts and Role.TRAIN in roles_of(parts[0]):
            return set()
    return names


def _of(tree: Tree, product: str) -> ProductFolders:
    """The folders that have ``product`` as the first name that is no split, masks or level."""
    own: list[tuple[Parts, Folder]] = []
    for folder in tree.folders:
        for index, name in enumerate(folder.parts):
            if name == product:
                own.append(((*folder.parts[:index], *folder.parts[index + 1 :]), folder))
            if name == product or not roles_of(name):
                break
    return ProductFolders(tuple(own))
