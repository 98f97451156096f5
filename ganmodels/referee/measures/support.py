"""The birthday paradox: how many different items there are, from how often two are equal."""

from typing import NamedTuple

import torch
from torch import Tensor

from ganmodels.referee.measures.distances import blocks, neighbour_radii
from ganmodels.referee.measures.estimate import Estimate, FeatureArray, share

_CLOSE = 0.01
# Of the length of an item: what a distance by products can be off in float64, and float32 items.
_ROUNDING = 1e-6
# Of a Poisson count that came out as 0, this is the upper end with 95 % confidence.
_UNSEEN_PAIRS = 3.0


class Support(NamedTuple):
    """The size of the support, and the share of samples with a duplicate among the others."""

    size: Estimate
    duplicates: Estimate


class Views(NamedTuple):
    """The same items [n, ...] in the feature space and as values."""

    features: FeatureArray
    pixels: FeatureArray


def support(fakes: Views, reals: Views) -> Support:
    """Support by duplicates among s fakes, s >= 3; reals [m] say what a duplicate is.

    Two fakes are duplicates if they are as close, in features and in values, as the closest 1 %
    of real items are to their nearest real one. Two draws from N equally likely items are equal
    with probability 1/N, so N = s (s - 1) / 2 / pairs. Unequal ones give less: it is an effective
    size. Without any pair N is larger than s (s - 1) / 6 with 95 % confidence, and ``at_least`` is
    set. Source: Arora and Zhang 2017 (arXiv:1706.08224), whose confirmation by eye this replaces: a
    density that is high anywhere gives a few pairs too, so compare with the floor. Time
    O(s^2 d), memory bounded.
    """
    counts = _duplicates(fakes, _close(reals.features), _close(reals.pixels))
    return Support(_size(counts), share(counts > 0))


def _duplicates(items: Views, feature_limit: float, pixel_limit: float) -> Tensor:
    """How many others [n] each item is a duplicate of, float64."""
    features, pixels = (torch.from_numpy(view).double() for view in items)
    counts = [
        ((near.without_self() <= feature_limit) & (alike.distances <= pixel_limit)).sum(1)
        for near, alike in zip(blocks(features, features), blocks(pixels, pixels), strict=True)
    ]
    return torch.cat(counts).double()


def _close(reals: FeatureArray) -> float:
    """The limit; where reals are equal themselves, that of what differs by rounding alone."""
    items = torch.from_numpy(reals).double()
    rounding = _ROUNDING * float(items.norm(dim=1).mean())
    return max(rounding, float(neighbour_radii(items, 1).quantile(_CLOSE)))


def _size(counts: Tensor) -> Estimate:
    """The inverse of the share of pairs that are equal; its error by leaving out one item."""
    count, total = len(counts), float(counts.sum())
    ordered_pairs = count * (count - 1)
    if not total:
        return Estimate(ordered_pairs / 2 / _UNSEEN_PAIRS, at_least=True)
    left = (total - 2 * counts) / ((count - 1) * (count - 2))
    error = float(((count - 1) * left.var(correction=0)).sqrt())
    size = ordered_pairs / total
    return Estimate(size, size**2 * error)
