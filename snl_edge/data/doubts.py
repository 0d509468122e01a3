"""What the figures of a data set's images leave doubtful, each kind in one line."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from snl_edge.counted import counted
from snl_edge.image import suspected_bits

from .figures import Figures
from .findings import Finding
from .folders import name_some

RECOMMENDED = 20
"""Good images of a product below which little of its variety can have been seen."""
SAME_PICTURE = 0.6
"""Root mean square, in grey levels, within which two gists may show one picture. On the ten products that the project
is measured with, a JPEG of quality 60 or better lay within 0.53 of its original."""
SHARE_OF_USUAL = 0.25
"""Of the usual distance to the nearest training image, within which they must lie as well: rigid parts in a jig may
resemble each other more than a picture resembles its JPEG, and a small defect does not show in a gist."""
COMPARED = 200
"""Training images of a product that the usual distance is taken of, at most."""
FAR = 6.0
"""Robust standard deviations from the median of the product that are clear."""
LEVELS = 25.0
"""Grey levels of brightness that an outlier differs by at least."""
BLUR = 3.0
"""Factor by which an outlier's focus is lower at least."""
SATURATED = 0.3
"""Share of pixels that an outlier has saturated beyond what is usual for its product."""
BLANK = 8
"""Grey levels between the darkest and the brightest pixel of an image in which nothing is seen."""
ENOUGH = 8
"""Images of a product from which on an outlier is told from a spread."""

Groups = dict[str, list[Figures]]


def depth_faults(images: Sequence[Figures]) -> list[Finding]:
    """16-bit images of a product none of which needs 16 bits, where nobody said how many there are."""
    deep = by_product([figures for figures in images if figures.peak is not None])
    narrow = {
        product: own
        for product, own in deep.items()
        if own[0].sample.bits is None and suspected_bits(max(figures.peak or 0 for figures in own)) is not None
    }
    if not narrow:
        return []
    found = [figures for own in narrow.values() for figures in own]
    bits = suspected_bits(max(figures.peak or 0 for figures in found)) or 16
    are, have = ("it is", "it really has") if len(found) == 1 else ("they are", "they really have")
    text = (
        f"{_of(len(found), sum(map(len, deep.values())))} no value above {2**bits - 1}: {bits}-bit? "
        f"Read as 16 bits {are} nearly black ({name_some(list(narrow))}): give --bits {bits}, or --bits 16 if {have} 16"
    )
    return [Finding("bit_depth", text, _paths(found))]


def _of(some: int, every: int) -> str:
    if every == 1:
        return "the only 16-bit image has"
    return f"{some:,} of {every:,} 16-bit images {'has' if some == 1 else 'have'}"


def doubts(train: Sequence[Figures], test: Sequence[Figures]) -> list[Finding]:
    """All doubts about readable images, in the order in which they matter."""
    images = [*train, *test]
    good = [figures for figures in images if figures.sample.is_good]
    checks: tuple[Callable[[], list[Finding]], ...] = (
        lambda: _shared(train, test),
        lambda: _repeated(train),
        lambda: _few(train),
        lambda: _blank(images),
        lambda: _odd_exposure(good),
        lambda: _blurred(good),
        lambda: _mixed_sizes(images),
        lambda: _mixed_channels(images),
        lambda: _lossy(images),
    )
    return [finding for check in checks for finding in check()]


def by_product(images: Sequence[Figures]) -> Groups:
    """The images of each product, products sorted."""
    groups: Groups = defaultdict(list)
    for figures in images:
        groups[figures.sample.product].append(figures)
    return dict(sorted(groups.items()))


def _paths(images: Sequence[Figures]) -> tuple[Path, ...]:
    return tuple(figures.sample.path for figures in images)


def _shared(train: Sequence[Figures], test: Sequence[Figures]) -> list[Finding]:
    """Test images that training sees as well: what is measured on them is worth nothing."""
    learned, pairs = by_product(train), []
    for product, own in by_product(test).items():
        if product not in learned:
            continue
        gists = np.stack([figures.gist for figures in learned[product]]).astype(np.float32)
        reach = min(SAME_PICTURE, SHARE_OF_USUAL * _usual_distance(gists))
        digests = {figures.digest: figures for figures in learned[product]}
        for figures in own:
            twin = digests.get(figures.digest)
            if twin is None:
                distance = np.square(gists - figures.gist.astype(np.float32)).mean(axis=1)
                nearest = int(distance.argmin())
                twin = learned[product][nearest] if distance[nearest] <= reach**2 else None
            if twin is not None:
                pairs.append((figures, twin))
    if not pairs:
        return []
    exact = sum(figures.digest == twin.digest for figures, twin in pairs)
    defective = sum(not figures.sample.is_good for figures, _ in pairs)
    named = name_some([f"{figures.sample.path} is {twin.sample.path}" for figures, twin in pairs])
    learned_defects = f", {defective} of them called defective and learned as good" if defective else ""
    text = (
        f"{counted(len(pairs), 'test image')} also among the training images ({exact} pixel for pixel)"
        f"{learned_defects}: remove them from one of the two: {named}"
    )
    return [Finding("shared_with_test", text, tuple(path for pair in pairs for path in _paths(pair)))]


def _usual_distance(gists: np.ndarray) -> float:
    """The median distance of gists ``[N, D]`` to the nearest of the others; 0 for a single one."""
    if len(gists) < 2:
        return 0.0
    chosen = gists[:: -(-len(gists) // COMPARED)].astype(np.float64)
    squares = np.square(chosen).mean(axis=1)
    apart = squares[:, None] + squares - 2 / chosen.shape[1] * chosen @ chosen.T
    np.fill_diagonal(apart, np.inf)
    return float(np.sqrt(max(0.0, np.median(apart.min(axis=1)))))


def _repeated(train: Sequence[Figures]) -> list[Finding]:
    alike: dict[bytes, list[Figures]] = defaultdict(list)
    for figures in train:
        alike[figures.digest].append(figures)
    found: list[Finding] = []
    within = [own for group in alike.values() for own in by_product(group).values() if len(own) > 1]
    if within:
        surplus = sum(len(own) - 1 for own in within)
        images = counted(surplus, "training image")
        text = f"{images} pixel for pixel the same as another, adding nothing: {_pairs(within)}"
        found.append(Finding("repeated", text, tuple(path for own in within for path in _paths(own))))
    across = [[own[0] for own in by_product(group).values()] for group in alike.values()]
    if across := [group for group in across if len(group) > 1]:
        pictures = counted(len(across), "picture")
        text = f"{pictures} trained under several products, at most one of them right: {_pairs(across)}"
        found.append(Finding("two_products", text, tuple(path for group in across for path in _paths(group))))
    return found


def _pairs(groups: Sequence[Sequence[Figures]]) -> str:
    return name_some([" = ".join(str(figures.sample.path) for figures in group[:2]) for group in groups])


def _few(train: Sequence[Figures]) -> list[Finding]:
    few = {product: len(own) for product, own in by_product(train).items() if len(own) < RECOMMENDED}
    if not few:
        return []
    named = name_some([f"{product} ({counted(count, 'image')})" for product, count in few.items()])
    return [Finding("few_images", f"fewer than {RECOMMENDED} good images to learn from, as recommended: {named}")]


def _blank(images: Sequence[Figures]) -> list[Finding]:
    blank = [figures for figures in images if figures.brightest - figures.darkest < BLANK]
    if not blank:
        return []
    named = name_some([f"{figures.sample.path} ({figures.brightness:.0f})" for figures in blank])
    text = f"{counted(len(blank), 'image')} with nothing to see, of one brightness (0 to 255) all over: {named}"
    return [Finding("blank", text, _paths(blank))]


def _odd_exposure(good: Sequence[Figures]) -> list[Finding]:
    odd: list[tuple[float, str, Figures]] = []
    for own in by_product(good).values():
        if len(own) < ENOUGH:
            continue
        levels = np.array([figures.brightness for figures in own])
        usual = float(np.median(levels))
        spread = _robust_deviation(levels)
        white = float(np.median([figures.saturated for figures in own]))
        for figures in own:
            away = abs(figures.brightness - usual)
            if away > max(LEVELS, FAR * spread):
                odd.append((away, f"{figures.sample.path} ({figures.brightness:.0f}, usual {usual:.0f})", figures))
            elif figures.saturated - white > SATURATED:
                odd.append((0, f"{figures.sample.path} ({100 * figures.saturated:.0f} % saturated)", figures))
    if not odd:
        return []
    odd.sort(key=lambda entry: -entry[0])
    text = (
        f"{counted(len(odd), 'good image')} exposed otherwise than the others of the product, by mean brightness (0 to "
        f"255) or saturated pixels: {name_some([words for _, words, _ in odd])}"
    )
    return [Finding("exposure", text, _paths([figures for _, _, figures in odd]))]


def _blurred(good: Sequence[Figures]) -> list[Finding]:
    odd: list[tuple[float, Figures]] = []
    for own in by_product(good).values():
        if len(own) < ENOUGH:
            continue
        sharpness = np.log([max(figures.focus, 1e-3) for figures in own])
        usual = float(np.median(sharpness))
        limit = max(np.log(BLUR), FAR * _robust_deviation(sharpness))
        odd += [(usual - s, f) for s, f in zip(sharpness.tolist(), own, strict=True) if usual - s > limit]
    if not odd:
        return []
    odd.sort(key=lambda entry: -entry[0])
    named = name_some([f"{figures.sample.path} (by {np.exp(less):.0f})" for less, figures in odd])
    text = f"{counted(len(odd), 'good image')} less sharp than the others of the product: {named}"
    return [Finding("focus", text, _paths([figures for _, figures in odd]))]


def _robust_deviation(values: np.ndarray) -> float:
    """The standard deviation that the median absolute deviation stands for, were the values normal."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _mixed_sizes(images: Sequence[Figures]) -> list[Finding]:
    mixed: list[str] = []
    shown: list[Figures] = []
    stretched = False
    for product, own in by_product(images).items():
        counts = Counter(figures.size for figures in own).most_common()
        if len(counts) > 1:
            ratios = [width / height for (height, width), _ in counts]
            stretched = stretched or max(ratios) > 1.02 * min(ratios)
            sizes = name_some([f"{count} of {width}x{height}" for (height, width), count in counts])
            mixed.append(f"{product} ({sizes})")
            shown += [next(figures for figures in own if figures.size == size) for size, _ in counts]
    if not mixed:
        return []
    effect = "all are stretched to one size, and their sides differ in ratio" if stretched else "all come to one size"
    return [Finding("sizes", f"images of several sizes of {name_some(mixed)}; {effect}", _paths(shown))]


def _mixed_channels(images: Sequence[Figures]) -> list[Finding]:
    mixed: list[str] = []
    shown: list[Figures] = []
    for product, own in by_product(images).items():
        grey = [figures for figures in own if figures.single_channel]
        if grey and len(grey) < len(own):
            rarer = min(grey, [figures for figures in own if not figures.single_channel], key=len)
            mixed.append(f"{product} ({len(grey)} of {len(own)} are grey)")
            shown += rarer
    if not mixed:
        return []
    text = f"grey and coloured images of {name_some(mixed)}: record them all alike"
    return [Finding("colours", text, _paths(shown))]


def _lossy(images: Sequence[Figures]) -> list[Finding]:
    webp = [figures for figures in images if figures.sample.path.suffix.lower() == ".webp"]
    if not webp:
        return []
    text = f"{counted(len(webp), 'image')} in WebP, in which no decoder sees most damage: PNG shows it"
    return [Finding("unverifiable", text, _paths(webp[:1]))]
