"""Products of a line that nobody has sorted: clusters of the pooled teacher features of its good images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from snl_edge.data.check import check_samples
from snl_edge.data.loader import ImageStore
from snl_edge.data.samples import Dataset
from snl_edge.errors import ConfigError, DataError
from snl_edge.model.config import SnlConfig
from snl_edge.model.teacher import Teacher
from snl_edge.progress import console, progress_bar

from .recognition import Array, embed

MOST = 20
"""Products that ``auto`` looks for at most."""


def cluster_products(dataset: Dataset, config: SnlConfig, count: str, batch_size: int = 16) -> Dataset:
    """``dataset`` with its products replaced by ``cluster-1``, ``cluster-2``, …, the largest first.

    Args:
        dataset: good images; it must have no test set, whose products would then be called otherwise.
        config: says which teacher looks at the images, and at what size.
        count: number of products, or ``auto``.
        batch_size: images per pass through the teacher.

    Raises:
        ConfigError: the number of products is none, or larger than the images allow.
        DataError: there is a test set, or an image cannot be used.
        CheckpointError: the teacher's weights are not available.
    """
    if dataset.test:
        raise DataError(
            f"the products of {dataset.root} have names already",
            "its test images are sorted by product",
            "leave out --cluster, or give a plain folder of good images",
        )
    most = len(dataset.train) // 2
    if count != "auto" and not (count.isdecimal() and 1 <= int(count) <= most):
        raise ConfigError(
            f"--cluster {count} cannot work",
            f"there are {len(dataset.train)} images, and a product needs two",
            f"give auto, or a number from 1 to {most}",
        )
    with progress_bar("checking images") as report:
        check_samples(dataset.train, progress=report)
    with progress_bar("looking for products") as report:
        embeddings = embed(
            Teacher(config.teacher), ImageStore(dataset.train, config.size, budget=0), batch_size, report
        )
    labels = cluster(embeddings, None if count == "auto" else int(count))
    names = [f"cluster-{label + 1}" for label in labels]
    console.print(f"{labels.max() + 1} products found: " + ", ".join(_sizes(names)))
    samples = (replace(sample, product=name) for sample, name in zip(dataset.train, names, strict=True))
    return replace(dataset, train=tuple(samples))


def cluster(embeddings: Array, count: int | None) -> NDArray[np.intp]:
    """Labels ``[N]`` of embeddings ``[N, C]``, 0 for the largest cluster; without ``count``, as many as fit best.

    Ward's clustering of standardised channels; the best number has the largest silhouette (Rousseeuw 1987), which
    needs two clusters or more: a single product is not found but asked for. Clusters of one image, of which none
    could be held out, are not considered.

    Raises:
        ConfigError: clusters of one image come out.
    """
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.metrics import silhouette_score

    deviation = embeddings.std(axis=0)
    standard = (embeddings - embeddings.mean(axis=0)) / np.maximum(deviation, 0.01 * np.median(deviation) + 1e-9)
    best: NDArray[np.intp] | None = None
    highest = -np.inf
    candidates = range(2, min(MOST, len(standard) // 2) + 1) if count is None else (count,)
    for number in candidates:
        labels = AgglomerativeClustering(number).fit_predict(standard) if number > 1 else np.zeros(len(standard), int)
        if np.bincount(labels).min() < 2:
            continue
        score = silhouette_score(standard, labels) if count is None else 0.0
        if score > highest:
            best, highest = labels, score
    if best is None:
        raise ConfigError(
            "the images do not fall into clusters of two or more",
            "one of them looks like no other",
            "give another number with --cluster, or remove odd images",
        )
    order = np.argsort(-np.bincount(best), kind="stable")
    return np.argsort(order)[best]


def _sizes(names: Sequence[str]) -> list[str]:
    found, counts = np.unique(names, return_counts=True)
    return [f"{name} ({number} images)" for name, number in zip(found, counts, strict=True)]
