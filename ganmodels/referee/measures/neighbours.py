"""Nearest neighbours: can one tell fakes from reals by them, and are fakes copies?"""

from typing import NamedTuple

import torch
from torch import Tensor

from ganmodels.referee.measures.distances import nearest, neighbour_radii
from ganmodels.referee.measures.estimate import Estimate, FeatureArray, mean

_RESAMPLES = 200
_SEED = 20160620


class Accuracies(NamedTuple):
    """Shares of items whose nearest other item is of their own kind: of all, of reals, of fakes.

    Half each: not to be told apart. Fakes high and reals low: few modes. Both low: copies.
    """

    all: Estimate
    real: Estimate
    fake: Estimate


def neighbour_accuracies(fakes: FeatureArray, reals: FeatureArray) -> Accuracies:
    """Leave-one-out accuracy of the nearest neighbour over features [n, d] and [n, d], n >= 2.

    Equal distances count as half. Errors are binomial, as if items were judged independently.
    Source: Lopez-Paz and Oquab 2017 (arXiv:1610.06545); Xu et al. 2018 (arXiv:1806.07755), who
    split it into real and fake. Time O(n^2 d), memory bounded.
    """
    fake, real = torch.from_numpy(fakes).double(), torch.from_numpy(reals).double()
    fake_hits, real_hits = _hits(fake, real), _hits(real, fake)
    return Accuracies(mean(torch.cat([fake_hits, real_hits])), mean(real_hits), mean(fake_hits))


def neighbour_distance(fakes: FeatureArray, unseen: FeatureArray) -> Estimate:
    """Median distance to the nearest training item: of fakes [n] over that of unseen reals [m].

    About 1: as far as new data are. Well below: copies of training items. Far above: poor items.
    The error is the deviation over 200 bootstrap samples of both medians.

    Raises: ValueError where half of the unseen reals or more are at 0: they are copies themselves.
    """
    fake, real = torch.from_numpy(fakes).double(), torch.from_numpy(unseen).double()
    if not real.median():
        raise ValueError("half of the unseen items are in the training split too")
    random = torch.Generator().manual_seed(_SEED)
    ratios = _resampled_medians(fake, random) / _resampled_medians(real, random)
    # A resample may consist of copies; it says nothing.
    return Estimate(
        float(fake.quantile(0.5) / real.quantile(0.5)),
        float(ratios[ratios.isfinite()].std()),
    )


def _hits(items: Tensor, others: Tensor) -> Tensor:
    own = neighbour_radii(items, 1)
    other = nearest(items, others)[0]
    return (own < other).double() + (own == other).double() / 2


def _resampled_medians(values: Tensor, random: torch.Generator) -> Tensor:
    chosen = torch.randint(len(values), (_RESAMPLES, len(values)), generator=random)
    return values[chosen].quantile(0.5, dim=1)
