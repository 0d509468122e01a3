"""The memory of normal patches: how far each place of an image is from everything normal that was kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snl_edge.errors import ConfigError

from .config import Descriptor, MemoryConfig

HALVES = 3
"""Channels of a key that hold half its square."""
LARGEST_KEY = 16.0
"""About how long the longest key is made: products with patches a hundred times as far away still fit into FP16."""


LIKE = 9
"""Centres, each with its nearest ones, whose places together say what is expected there: graphs of another precision
may find a neighbour of the nearest centre, which must expect about the same."""
FEW_PLACES = 5
"""What is expected at a centre with so many places counts as much as what its product expects anywhere."""


class Remembered(NamedTuple):
    """What a memory says of images."""

    distances: list[Tensor]
    """One for each of its descriptors, ``float32 [B, H/8, W/8]``: from the nearest of what is kept."""
    expected: Tensor | None
    """How far student and teacher usually are apart at strides 4, 8, 16 at places like that, ``float32 [B, H/8, W/8,
    3]``; None where the memory was not made for it."""


class MemoryBank(nn.Module):
    r"""Distance of every patch to the nearest of K centres, patches of good training images.

    With :math:`x_p` the teacher's features at strides 8 and 16 around place p, side by side on the grid of stride 8:

    .. math:: d_p = \min_k \lVert x_p - c_{qk} \rVert

    ``config.descriptors`` says how they describe the place (:func:`patches`). With several, each has a memory and a
    distance of its own, and the anomaly map takes their mean: what one choice of patches misses by chance, or one
    description does not show, another tells.

    Each product has K centres of its own, and those of the recognised product q are searched: that costs the same
    however many products there are, and what is normal for one product does not excuse another.

    A student learns what good parts have in common and is weak where they vary without a pattern, as the thread
    of a screw that may lie any way round; a memory is strong there. It is PatchCore's idea (Roth et al.,
    arXiv 2106.08265) with few centres and inside the fused graph, and no part of SNL's abstract: our addition,
    a row of the ablation.

    Two steps, as of a vector index that refines what it found. The *search* is one matrix product that says which
    centre is nearest, :math:`\arg\max_k x_p^\top c_{qk} - \lVert c_{qk} \rVert^2 / 2`; its result takes ``P · K``
    numbers of working memory per image. Distances are then computed exactly, to what it found alone. So the search may
    be coarse, and typed forms of the graph run it in FP16 or BF16: what is rounded there picks at worst a centre nearly
    as near, and never a distance that is too small. ``config.search`` looks in few directions, those in which the
    product's own centres vary most, and ``config.finalists`` evens that out: the nearest of each of so many parts of
    the memory is compared exactly.

    A wide teacher makes that product the largest of the graph. ``config.dimensions`` then says in how many principal
    directions of the centres patches are compared. Means and enlargement are linear, so each level is projected on its
    own grid, before them, and they are done with fewer channels, too.

    :mod:`snl_edge.training.coreset` chooses the centres. They are buffers and travel with the weights, as does the
    number of the part whose image each is a patch of (-1: of none): several images of one part have one number.

    Args:
        channels: channels of the teacher's levels.
        config: what to build.
        products: number of products, N; 1 is taken for a shared memory.
        expects: each centre of the first descriptor also keeps what the student's distances usually are at places like
            it (:mod:`snl_edge.training.expected`).
    """

    kept: Tensor
    owners: Tensor
    origin: Tensor
    middle: Tensor
    coarse: Tensor
    directions: Tensor
    shift: Tensor
    keys: Tensor
    starts: Tensor
    expected: Tensor | None

    def __init__(self, channels: list[int], config: MemoryConfig, products: int, *, expects: bool = False) -> None:
        super().__init__()
        self.channels = channels[1] + channels[2]
        width = config.dimensions or self.channels
        if width > self.channels:
            raise ConfigError(
                f"memory.dimensions is {width}, but patches have {self.channels} channels",
                "the memory takes principal directions of the teacher's channels at strides 8 and 16",
                "give fewer, or null to compare all channels",
            )
        if config.search is not None and config.search > width:
            raise ConfigError(
                f"memory.search is {config.search}, but patches are compared in {width} directions",
                "the search takes some of those",
                "give fewer, or null to search in all",
            )
        self.config = config
        ways = len(config.descriptors)
        if config.dimensions is not None:
            self.register_buffer("middle", torch.zeros(ways, width, channels[1]))
            self.register_buffer("coarse", torch.zeros(ways, width, channels[2]))
        self.products = 1 if config.shared else products
        # All that a descriptor has of all products, then the next one's.
        parts = ways * self.products
        self.register_buffer("kept", torch.zeros(parts * config.centres, width))
        self.register_buffer("owners", torch.full((parts, config.centres), -1, dtype=torch.int32))
        self.register_buffer("origin", torch.zeros(ways, width))
        if config.search is not None:
            wide = config.search + HALVES
            self.register_buffer("directions", torch.zeros(parts, width, wide))
            self.register_buffer("shift", torch.zeros(parts, 1, wide))
            self.register_buffer("keys", torch.zeros(parts, wide, config.centres))
        self.register_buffer("expected", torch.zeros(self.products * config.centres, 3) if expects else None)
        starts = torch.arange(config.finalists) * (config.centres // config.finalists)
        self.register_buffer("starts", starts, persistent=False)
        self.register_load_state_dict_pre_hook(_earlier_shapes)

    def forward(self, features: list[Tensor], product: Tensor, left_out: Tensor | None = None) -> Remembered:
        """How far places lie from what is kept of each image's ``product``, ``int32 [B]``, and what is expected there.

        ``features`` are the teacher's, ``[B, C_l, h_l, w_l]`` at strides 4, 8, 16. ``left_out``, ``int32 [B]``, numbers
        parts whose own patches do not count: each is then as far away as a part never seen; infinitely far if nothing
        else is kept.
        """
        found = [self._look_up(features, product, left_out, way) for way in range(len(self.config.descriptors))]
        grid = features[1].shape[2:]
        distances = [(squares.amin(dim=2) + 1e-6).sqrt().unflatten(1, grid) for squares, _ in found]
        if self.expected is None:
            return Remembered(distances, None)
        return Remembered(distances, F.embedding(_nearest(*found[0]), self.expected).unflatten(1, grid))

    def nearest(self, features: list[Tensor], product: Tensor, left_out: Tensor) -> tuple[Tensor, Tensor]:
        """Rows ``int64 [B, P]`` of the nearest centres in the first description, and whether any is left, ``bool``.

        Arguments as :meth:`forward`.
        """
        squares, rows = self._look_up(features, product, left_out, 0)
        return _nearest(squares, rows), squares.amin(dim=2).isfinite()

    def _look_up(
        self, features: list[Tensor], product: Tensor, left_out: Tensor | None, way: int
    ) -> tuple[Tensor, Tensor]:
        """Squared distances of every place from the finalists, and their rows: ``[B, P, F]`` each."""
        x = self._compared(features, way) - self.origin[way].view(1, -1, 1, 1)  # [B, C, h, w]
        batch, channels, height, width = x.shape
        # Channels last before the grid becomes a row: a runtime that keeps them last has nothing to move.
        x = x.permute(0, 2, 3, 1).reshape(batch, height * width, channels)  # [B, P, C]
        part = self._part(product, way)
        nearness = self._nearness(x, part)  # [B, P, K]
        if left_out is not None:
            owners = self._of_part(self.owners, part)
            nearness = nearness.masked_fill((owners == left_out[:, None]).unsqueeze(1), -torch.inf)
        nearness = nearness.unflatten(2, (self.config.finalists, -1))  # [B, P, F, K / F]
        # One of the largest, whichever: runtimes have a fast way for that, and a slow one for the first of equals.
        place = nearness.topk(1, dim=3, sorted=False).indices.squeeze(3)  # [B, P, F]
        row = place + self.starts + self._first_row(part).unsqueeze(1)
        centres = F.embedding(row, self.kept)  # [B, P, F, C]
        squares = (x.unsqueeze(2) - centres).square().sum(dim=3)  # [B, P, F]
        if left_out is not None:
            squares = squares.masked_fill(nearness.amax(dim=3) == -torch.inf, torch.inf)
        return squares, row

    def _nearness(self, x: Tensor, part: Tensor) -> Tensor:
        """What is largest for the nearest centre, ``[B, P, C]`` to ``[B, P, K]``."""
        if self.config.search is not None:
            # The last channels of each key are its half square, negative, and the shift puts ones against them.
            looked_for = x @ self._of_part(self.directions, part) + self._of_part(self.shift, part)
            return looked_for @ self._of_part(self.keys, part)
        # The part's rows of the one table that distances are read from, too: a graph stores every view of it again.
        rows = torch.arange(self.config.centres, device=x.device) + self._first_row(part)  # [B, K]
        halves = self.kept.square().sum(dim=1).view(len(self.owners), 1, -1) / 2  # [N, 1, K]
        # |x - c|² = |x|² - 2 (x·c - |c|²/2): a matrix product instead of a [B, P, K, C] tensor.
        return x @ F.embedding(rows, self.kept).transpose(1, 2) - self._of_part(halves, part)

    def _part(self, product: Tensor, way: int) -> Tensor:
        """Which part of the tables serves each image: its product's, in the description ``way``; ``int32 [B]``."""
        # Of the only one, too, it is computed from the product: a constant place would store its centres again.
        own = product * 0 if self.products == 1 else product
        return own + way * self.products if way else own

    def _first_row(self, part: Tensor) -> Tensor:
        """Where the centres of each ``part`` begin, ``int64 [B, 1]``."""
        return self.config.centres * part.long().unsqueeze(1)

    @staticmethod
    def _of_part(table: Tensor, part: Tensor) -> Tensor:
        """The rows of ``table`` ``[parts, …]`` of each image's ``part``; the only row serves all images."""
        return table if len(table) == 1 else table.index_select(0, part)

    def set_centres(self, chosen: Tensor, owners: Tensor) -> None:
        """Keeps the patches ``[D, N, K, C]`` as centres, about their mean, where products of numbers lose least.

        ``D`` descriptors of ``N`` products; ``owners``, ``int32 [D, N, K]``, numbers the part that each is of.

        Rounded to FP16, as the directions are, so that a graph may store them in half the bytes and still compute
        the same.
        """
        kept: list[Tensor] = []
        for way, described in enumerate(chosen):
            own = described  # [N, K, C]
            if self.config.dimensions is not None:
                directions = principal_directions(own.flatten(0, 1), self.origin.shape[1]).half().to(own)  # [C, D]
                own = own @ directions
                self.middle[way].copy_(directions[: self.middle.shape[2]].T)
                self.coarse[way].copy_(directions[self.middle.shape[2] :].T)
            self.origin[way].copy_(own.mean(dim=(0, 1)))
            kept.append((own - self.origin[way]).half().flatten(0, 1))
        self.kept.copy_(torch.cat(kept))
        self.owners.copy_(owners.reshape(self.owners.shape))
        if self.config.search is not None:
            for part in range(len(self.owners)):
                self._index(part, self.config.search)

    def set_expected(self, sums: Tensor, counts: Tensor) -> None:
        """Sets what is expected at each centre of the first descriptor, from the places it was nearest to.

        Rounded to FP16, as centres are. A product of which no place is known expects nothing.

        Args:
            sums: of the student's distances at strides 4, 8, 16 there, ``[N · K, 3]``.
            counts: number of these places, ``[N · K]``.
        """
        assert self.expected is not None
        centres = self.kept.unflatten(0, (-1, self.config.centres))[: self.products]  # [N, K, C]
        each = zip(
            centres, sums.unflatten(0, (self.products, -1)), counts.unflatten(0, (self.products, -1)), strict=True
        )
        expected: list[Tensor] = []
        for own, total, count in each:  # [K, C], [K, 3], [K]
            like = torch.cdist(own, own).topk(min(LIKE, len(own)), largest=False).indices  # [K, LIKE]
            anywhere = total.sum(dim=0) / count.sum().clamp_min(1)
            near = total[like].sum(dim=1) + FEW_PLACES * anywhere
            expected.append(near / (count[like].sum(dim=1, keepdim=True) + FEW_PLACES))
        self.expected.copy_(torch.cat(expected).half())

    def forget(self, products: Sequence[int], parts: Sequence[int]) -> None:
        """Drops the centres of these ``parts`` of these ``products``, one each; others of the product stand twice then.

        A product of which nothing else is kept stays as it is.
        """
        kept = self.kept.view(*self.owners.shape, -1)
        for product in sorted(set(products)):
            numbers = [number for of, number in zip(products, parts, strict=True) if of == product]
            unwanted = torch.tensor(numbers, dtype=torch.int32, device=self.owners.device)
            for way in range(len(self.config.descriptors)):
                own = way * self.products + (product if self.products > 1 else 0)
                gone = torch.isin(self.owners[own], unwanted)
                if not gone.any() or gone.all():
                    continue
                other = int((~gone).nonzero()[0])
                kept[own, gone] = kept[own, other].clone()
                self.owners[own, gone] = self.owners[own, other].clone()
                if self.config.search is not None:
                    self._index(own, self.config.search)

    def _index(self, part: int, count: int) -> None:
        """Makes what the search of the tables' ``part`` needs of its centres, in ``count`` directions.

        Keys are numbers that FP16 and BF16 both have, so that all forms of a graph search the same ones; half their
        squares, which decide between them, are sums of three such numbers. The scale keeps all far from FP16's largest.
        """
        centres = self.kept.view(*self.owners.shape, -1)[part]  # [K, C]
        mean = centres.mean(dim=0)
        directions = principal_directions(centres, count)  # [C, D]
        keys = (centres - mean) @ directions  # [K, D]
        scale = 2.0 ** torch.floor(torch.log2(LARGEST_KEY / keys.square().sum(dim=1).max().sqrt().clamp_min(1e-6)))
        directions = (directions * scale).half().float()
        keys = _exact(keys * scale)
        rest, halves = keys.square().sum(dim=1) / 2, []
        for _ in range(HALVES):
            halves.append(_exact(rest))
            rest = rest - halves[-1]
        ones = torch.ones(HALVES).to(keys)
        self.directions[part].copy_(F.pad(directions, (0, HALVES)))
        self.shift[part].copy_(torch.cat([-mean @ directions, ones]).half())
        self.keys[part].copy_(torch.cat([keys.T, -torch.stack(halves)]))

    def _compared(self, features: list[Tensor], way: int) -> Tensor:
        """What of each patch is compared with centres: ``float32 [B, C, H/8, W/8]``, or ``D`` of its directions."""
        descriptor = self.config.descriptors[way]
        if self.config.dimensions is None:
            return patches(features, descriptor)
        # Means commute with the projection and are cheaper behind it; a length does not.
        before, after = (descriptor, None) if descriptor == "unit" else (None, descriptor)
        # Products of matrices, not 1x1 convolutions: typed forms of the graph leave them in FP32.
        middle, coarse = (
            _described((own[way] @ _described(level.float(), before).flatten(2)).unflatten(2, level.shape[2:]), after)
            for own, level in zip((self.middle, self.coarse), features[1:], strict=True)
        )
        return middle + _enlarged(coarse, middle)


def _nearest(squares: Tensor, rows: Tensor) -> Tensor:
    """Of ``rows`` ``[B, P, F]`` those of the smallest ``squares``, ``[B, P]``."""
    if rows.shape[2] == 1:
        return rows.squeeze(2)
    return rows.gather(2, squares.topk(1, dim=2, largest=False, sorted=False).indices).squeeze(2)


def _exact(values: Tensor) -> Tensor:
    """The nearest numbers that BF16 and FP16 both have."""
    return values.bfloat16().half().float()


def _earlier_shapes(_: MemoryBank, state: dict[str, Tensor], prefix: str, *__: object) -> None:
    """Checkpoints of before memories had several descriptors lack that dimension; those of before the search was a step
    of its own hold the centres as ``[N, C, K]``, under that name."""
    if (centres := state.pop(f"{prefix}centres", None)) is not None:
        state[f"{prefix}kept"] = centres.transpose(1, 2).flatten(0, 1)
    for name, dimensions in (("origin", 2), ("middle", 3), ("coarse", 3)):
        stored = state.get(f"{prefix}{name}")
        if stored is not None and stored.dim() < dimensions:
            state[f"{prefix}{name}"] = stored.unsqueeze(0)


def patches(features: list[Tensor], descriptor: Descriptor = "pooled") -> Tensor:
    """Teacher features of strides 4, 8, 16 to patch features ``float32 [B, C_8 + C_16, H/8, W/8]``.

    ``pooled``: means of 3×3 cells of each level, which PatchCore calls locally aware (arXiv 2106.08265, sec. 3.1).
    ``local``: the cells themselves, which outline sharper and tell textures less well. ``unit``: means of length 1 at
    each level, which tell what is seen and not how strongly. Cells at the border count less in all three, as in means
    over a border of zeros: there a teacher sees the border, too.
    """
    middle, coarse = (_described(level.float(), descriptor) for level in features[1:])
    return torch.cat([middle, _enlarged(coarse, middle)], dim=1)


def _described(level: Tensor, descriptor: Descriptor | None) -> Tensor:
    """One level ``[B, C, h, w]`` on its own grid."""
    if descriptor is None:
        return level
    inside = torch.ones(1, 1, *level.shape[2:], device=level.device)
    if descriptor == "local":
        return level * F.avg_pool2d(inside, 3, stride=1, padding=1)
    means = F.avg_pool2d(level, 3, stride=1, padding=1)
    if descriptor == "pooled":
        return means
    length = (means.square().sum(dim=1, keepdim=True) + 1e-12).rsqrt()
    return means * (length * F.avg_pool2d(inside, 3, stride=1, padding=1))


def _enlarged(coarse: Tensor, middle: Tensor) -> Tensor:
    return F.interpolate(coarse, size=middle.shape[2:], mode="bilinear", align_corners=False)


def principal_directions(points: Tensor, count: int) -> Tensor:
    """The ``count`` orthonormal directions ``[C, count]`` in which ``points`` ``[N, C]`` vary most."""
    centred = (points - points.mean(dim=0)).double()
    return torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)[:, :count].to(points)
