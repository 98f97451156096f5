"""A few items of each class, chosen by the seed: the ones whose labels may be looked at."""

import numpy as np
from numpy.typing import NDArray

from ganmodels.latents import philox

Places = NDArray[np.int64]

_SUBSET_STREAM = 2


class TooFewLabelled(ValueError):  # noqa: N818 - a statement about the labels
    """A class has fewer items than are asked for; ``number`` is the class, ``count`` its items."""

    def __init__(self, number: int, count: int) -> None:
        super().__init__(f"class {number} has {count} items")
        self.number, self.count = number, count


def labelled_subset(labels: Places, classes: int, per_class: int, seed: int) -> Places:
    """Places [classes * per_class] of labelled items, ascending.

    All items are gone through in an order that the seed alone decides; the first ``per_class``
    of each class are taken. Labels of items after the last one that is taken have no influence.

    Raises:
        TooFewLabelled: when there are not so many of a class.
    """
    order = order_of(len(labels), seed)
    met = labels[order]
    chosen = [order[np.flatnonzero(met == number)[:per_class]] for number in range(classes)]
    for number, places in enumerate(chosen):
        if len(places) < per_class:
            raise TooFewLabelled(number, len(places))
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def order_of(count: int, seed: int) -> Places:
    """The order in which items are gone through."""
    return philox(seed, 0, _SUBSET_STREAM).permutation(count)
