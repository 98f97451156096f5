"""Some of many items, evenly: datasets are often sorted by class, and the first are of one."""

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def evenly(indices: Indices, most: int) -> Indices:
    """The first of each of ``most`` equal parts; all of them when there are fewer."""
    if len(indices) <= most:
        return indices
    return indices[np.arange(most, dtype=np.int64) * len(indices) // most]


def evenly_by_class(count: int, labels: Indices | None, most: int) -> Indices:
    """At most so many of ``count`` indices, evenly, and of all classes alike if labelled."""
    if labels is None:
        return evenly(np.arange(count), most)
    classes = evenly(np.unique(labels), most)
    shares = np.full(len(classes), most // len(classes))
    shares[: most % len(classes)] += 1
    chosen = [
        evenly(np.flatnonzero(labels == label), int(share))
        for label, share in zip(classes, shares, strict=True)
    ]
    return np.concatenate(chosen).astype(np.int64)
