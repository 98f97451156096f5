"""Sliced Wasserstein distance: how far mass must be moved, seen along many directions."""

import torch
from torch import Tensor

from ganmodels.referee.measures.estimate import Estimate, FeatureArray, jackknife_error

DIRECTIONS = 128
_SEED = 20120409


def sliced_wasserstein(
    fakes: FeatureArray, reals: FeatureArray, with_error: bool = True
) -> Estimate:
    """Mean 1-Wasserstein distance of features [n, d], [n, d] along 128 fixed directions.

    Along one direction it is the mean of |x_(i) - y_(i)| over sorted projections. Source: Rabin
    et al. 2012; Deshpande et al. 2018 (arXiv:1803.11188). Order 1 is in the unit of features and
    has less variance than order 2. Biased upwards by about n^(-1/2). The error is a jackknife
    over 20 groups; the directions are the same each time and bring none.

    Raises: ValueError for sets of different size.
    """
    if len(fakes) != len(reals):
        raise ValueError("the sliced distance compares equally many fakes and reals")
    directions = unit_directions(fakes.shape[1])
    fake = torch.from_numpy(fakes).double() @ directions
    real = torch.from_numpy(reals).double() @ directions
    value = _distance(fake, real)
    return Estimate(value, jackknife_error(_distance, fake, real) if with_error else None)


def unit_directions(dimensions: int) -> Tensor:
    """The directions [dimensions, 128], float64, evenly from the unit sphere."""
    random = torch.Generator().manual_seed(_SEED)
    drawn = torch.randn(dimensions, DIRECTIONS, generator=random, dtype=torch.float64)
    return drawn / drawn.square().sum(0).sqrt()


def _distance(fakes: Tensor, reals: Tensor) -> float:
    return float((fakes.sort(dim=0).values - reals.sort(dim=0).values).abs().mean())
