"""Layouts whose folders say what is good and what is not: MVTec AD and its kin, and plain good and bad folders.

``[<product>/]`` stands for one product at the root, or a folder for each:

- MVTec AD (Bergmann et al., CVPR 2019): ``train/good``, ``test/<good or a type of defect>``,
  ``ground_truth/<type>/<stem>_mask.png``.
- MVTec LOCO AD (Bergmann et al., IJCV 2022): the same, with ``validation/good``, and masks
  ``ground_truth/<type>/<stem>/000.png``, ``001.png`` and so on, of which the union counts.
- MVTec 3D-AD (Bergmann et al., VISAPP 2022): ``train/good/rgb``, ``validation/good/rgb``, ``test/<type>/{rgb,gt,xyz}``;
  what lies under ``xyz`` is left out.
- MVTec AD 2 (Heckler-Kram et al., 2025): ``train/good``, ``validation/good``, ``test_public/{good,bad}``,
  ``test_public/ground_truth/bad/<stem>_mask.png``; ``test_private`` and ``test_private_mixed`` have no labels and are
  left out.
- BTAD (Mishra et al., ISIE 2021): ``train/ok``, ``test/{ok,ko}``, ``ground_truth/ko/<stem>.{png,bmp}``.
- VisA (Zou et al., ECCV 2022) without its split file: ``Data/Images/{Normal,Anomaly}``, ``Data/Masks/Anomaly``.
- A factory's own: ``good`` and ``bad[/<type>]`` in many languages (`labels`), with or without ``train`` and ``test``
  above or below them.

Good images train, unless they are in a test split. Defective ones are test images wherever they are. Good images under
``validation`` train if nothing there is defective and the test split has good images of its own; else they are test
images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from snl_edge.errors import DataError

from .folders import name_some
from .labels import LABELS, SPLITS, Role, is_unclear, one_of, roles_of
from .mask_index import MaskIndex, part_masks, read_annotations
from .mask_sources import MaskFiles
from .notes import Notes
from .placing import ASK, Place, place
from .product_folders import Parts, ProductFolders, find_labelled, product_name, products_below_labels
from .samples import GOOD, Reading, Sample
from .tree import Tree

TEXTS = {
    "product_name": "the images are of one product, {names}",
    "nested": "{count:image} in folders below good ones {count:counts|count} as good: {folders}",
    "validation_trains": "{count:good image} under validation {count:trains|train} as well; "
    "test has good images of its own",
    "validation_tests": "{count:image} under validation {count:counts as a test image|count as test images}",
    "train_defects": "{count:defective image} under train {count:counts as a test image|count as test images}; "
    "nothing is learned from {count:it|them}",
    "unlabelled": "{count:test image} without a label {count:is|are} left out: {folders}",
    "depth": "{count:file} of another sensor {count:is|are} left out: {folders}",
    "masks_among_images": "{count:file} {count:is taken for a mask|are taken for masks} of the "
    "{count:image beside it, by its name|images beside them, by their names}: {files}",
    "empty": "no image in {names}",
    "annotations": "annotations are left out: {names}",
    "unused_masks": "{count:mask} {count:belongs|belong} to no defective test image: {files}",
    "shared_masks": "{count:defective image} {count:shares its|share their} mask with others and "
    "{count:counts|count} as having none: {files}",
    "no_good_test": "no good test image of {names}, so false rejects cannot be measured: put some under test/good",
}


def open_labelled(tree: Tree, asked: bool, *, needs_train: bool) -> LabelledFolders | None:
    """The tree, if folders in it are named by label or split; None if none is.

    Args:
        tree: what lies in the data set's folder.
        asked: whether the user named this layout, and so answered what is else asked.
        needs_train: whether a folder named ``train`` must be among them.

    Raises:
        DataError: the root is itself the test part of a data set, or products may lie below its labels.
    """
    found = find_labelled(tree)
    trains = any(one_of(folder.parts, Role.TRAIN) for folder in tree.folders)
    if not found or (needs_train and not trains):
        return None
    if not asked:
        refuse_part_of_a_set(tree.root)
        if names := products_below_labels(tree):
            raise DataError(
                f"{name_some(names)} below folders named by label in {tree.root} are products, or all of one product",
                "nobody says which",
                "arrange them as <product>/good and <product>/bad, or say with --layout ok_ng that it is one product",
            )
    return LabelledFolders(tree, found)


def refuse_part_of_a_set(root: Path) -> None:
    """Refuses ``test`` beside ``train``: its types of defect would be taken for products.

    Raises:
        DataError: ``root`` is such a folder.
    """
    whole = root.resolve()
    if roles_of(whole.name) & {Role.TEST, Role.VALIDATION, Role.MASKS}:
        beside = [path for path in whole.parent.iterdir() if path.is_dir() and path != whole]
        if split := next((path for path in beside if roles_of(path.name) & (SPLITS | {Role.MASKS})), None):
            raise DataError(
                f"{root} is a part of the data set {whole.parent}, as {split.name} beside it is",
                "it is not made to learn from",
                f"give {whole.parent}",
            )


@dataclass
class _Product:
    """What was read of one product so far."""

    name: str
    masks: MaskIndex
    train: list[Sample] = field(default_factory=list)
    promised: list[tuple[Parts, Path]] = field(default_factory=list)
    """Images directly under ``train``: good by its promise, unless a mask marks one."""
    test: list[Sample] = field(default_factory=list)
    validation: list[Sample] = field(default_factory=list)
    where: dict[Path, tuple[Parts, Role | None]] = field(default_factory=dict)
    """The folders and the split of each defective image."""
    mask_files: list[Path] = field(default_factory=list)
    """In folders of masks, those of good images left out."""
    all_masks: list[Path] = field(default_factory=list)
    loose_masks: list[Path] = field(default_factory=list)
    """Those of them that mark no sample."""


@dataclass(frozen=True)
class LabelledFolders:
    """A tree in one of these layouts."""

    tree: Tree
    found: Mapping[str, ProductFolders]

    @property
    def products(self) -> tuple[str, ...]:
        """All products, those included that cannot be read."""
        return tuple(self.found)

    def read(self, products: Sequence[str]) -> Reading:
        """The samples of ``products``.

        Raises:
            DataError: it is not clear what the images of a product are.
        """
        notes = Notes()
        if self.products == (product_name(self.tree.root),) and self.products[0] != self.tree.root.resolve().name:
            notes.name("product_name", *self.products)
        outlines, faults = read_annotations(self.tree.folders)
        notes.name("annotations", *faults)
        read = [self._product(_Product(name, MaskIndex(outlines)), notes) for name in products]
        train = [sample for product in read for sample in product.train]
        test = [sample for product in read for sample in product.test]
        for product in read:
            if product.test and not any(sample.is_good for sample in product.test):
                notes.name("no_good_test", product.name)
        loose = [path for product in read for path in product.loose_masks]
        return Reading(tuple(train), tuple(test), notes.findings(TEXTS), tuple(loose))

    def _product(self, product: _Product, notes: Notes) -> _Product:
        own = self.found[product.name]
        if own.unclear:
            labels = sorted({name for folder in self.tree.folders for name in folder.parts if roles_of(name) & LABELS})
            raise DataError(
                f"nobody says whether the images in {own.folders[0][1].path} are good",
                f"other images are in folders named by label ({name_some(labels)})" if labels else "",
                ASK + "; --products leaves it out",
            )
        _sort(product, own, notes)
        _add_validation(product, notes)
        _mark(product, notes)
        return product


def _sort(product: _Product, own: ProductFolders, notes: Notes) -> None:
    """Puts every image where its folders' names say it belongs."""
    for parts, folder in own.folders:
        if not (folder.images or folder.annotations):
            if any(map(roles_of, parts)) and not any(folder.path.iterdir()):
                notes.name("empty", folder.path)
            continue
        if not folder.images and not one_of(parts, Role.MASKS):
            continue
        where = place(folder.path, parts)
        if where.other is not Role.DEPTH:
            product.masks.add_outlines(parts, folder.annotations, where.split)
        if where.other is Role.MASKS:
            product.masks.add_masks(parts, folder.images, where.split)
            product.all_masks += folder.images
            product.mask_files += [] if one_of(parts, Role.GOOD) else folder.images
        elif where.other is Role.DEPTH:
            notes.add("depth", folder.images)
        else:
            images, masks = part_masks(folder)
            product.masks.add_masks(parts, masks, where.split)
            product.all_masks += masks
            notes.add("masks_among_images", masks)
            _add(product, where, parts, images, notes)


def _add(product: _Product, where: Place, parts: Parts, images: Sequence[Path], notes: Notes) -> None:
    if where.label is Role.DEFECT:
        if images and is_unclear(where.defect):
            raise DataError(
                f"nobody says whether the images in {images[0].parent} are good",
                f"{where.defect!r} is neither a word for good alone nor a type of defect",
                ASK,
            )
        product.where |= dict.fromkeys(images, (parts, where.split))
        defective = [Sample(path, product.name, where.defect) for path in images]
        (product.validation if where.split is Role.VALIDATION else product.test).extend(defective)
        notes.add("train_defects", images if where.split is Role.TRAIN else ())
    elif where.label is Role.GOOD:
        good = [Sample(path, product.name, GOOD) for path in images]
        goes = {Role.TEST: product.test, Role.VALIDATION: product.validation}
        (product.train if where.split is None else goes.get(where.split, product.train)).extend(good)
        notes.add("nested", images if where.nested else ())
    elif where.split is Role.TRAIN:
        product.promised += [(parts, path) for path in images]
        product.train += [Sample(path, product.name, GOOD) for path in images]
    elif where.split is not None:
        notes.add("unlabelled", images)
    elif images:
        raise DataError(
            f"nobody says whether the images directly in {images[0].parent} are good",
            "there are folders named by label (good, bad, train, test) beside them",
            ASK,
        )


def _add_validation(product: _Product, notes: Notes) -> None:
    images = [sample.path for sample in product.validation]
    if all(s.is_good for s in product.validation) and any(s.is_good for s in product.test):
        product.train += product.validation
        notes.add("validation_trains", images)
    else:
        product.test += product.validation
        notes.add("validation_tests", images)


def _mark(product: _Product, notes: Notes) -> None:
    """Gives every defective image what marks its defects."""
    for parts, path in product.promised:
        if (source := product.masks.find(parts, path, Role.TRAIN)) is not None:
            raise DataError(
                f"nobody says whether the images in {path.parent} are good",
                f"{source.path} marks a defect in one of them",
                "sort the good ones into train/good, and the defective ones into test/bad",
            )
    sources = {path: product.masks.find(parts, path, split) for path, (parts, split) in product.where.items()}
    found = {path: source for path, source in sources.items() if source is not None}
    claims = Counter(found.values())
    notes.add("shared_masks", [path for path, source in found.items() if claims[source] > 1])
    used = {path for source in claims if isinstance(source, MaskFiles) for path in source.paths}
    notes.add("unused_masks", [path for path in product.mask_files if path not in used])
    marks = {path: source for path, source in found.items() if claims[source] == 1}
    marking = {path for source in marks.values() if isinstance(source, MaskFiles) for path in source.paths}
    product.loose_masks = [path for path in product.all_masks if path not in marking]
    product.test = [replace(sample, mask=marks.get(sample.path)) for sample in product.test]
