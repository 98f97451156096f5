"""Precision, recall, density and coverage: whether samples lie where the data do, and all over."""

from typing import NamedTuple

import torch
from torch import Tensor

from ganmodels.referee.measures.distances import blocks, neighbour_radii
from ganmodels.referee.measures.estimate import Estimate, FeatureArray, mean, share

PRECISION_NEIGHBOURS = 3
COVERAGE_NEIGHBOURS = 5


class Manifold(NamedTuple):
    """Four figures; errors hold for these reals (precision, density), these fakes (recall)."""

    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate


def manifold(fakes: FeatureArray, reals: FeatureArray) -> Manifold:
    """All four of features [n, d] and [m, d], n, m >= 2.

    precision: share of fakes within the distance of some real item to its 3rd nearest real one;
    recall: the same with the roles changed. Source: Kynkaanniemi et al. 2019 (arXiv:1904.06991,
    equations 1 and 2). density: how many 5-neighbour balls of reals a fake lies in, over 5;
    coverage: share of reals whose ball holds a fake. Source: Naeem et al. 2020
    (arXiv:2002.09797). Distances on the border count for precision and
    recall only, as in the papers' code. Time O(n m d), memory bounded.
    """
    fake, real = torch.from_numpy(fakes).double(), torch.from_numpy(reals).double()
    fake_radii = neighbour_radii(fake, PRECISION_NEIGHBOURS)
    real_radii = neighbour_radii(real, PRECISION_NEIGHBOURS)
    balls = neighbour_radii(real, COVERAGE_NEIGHBOURS)
    recalled = [(b.distances <= fake_radii).any(1) for b in blocks(real, fake)]
    covered = [
        b.distances.min(1).values < balls[b.start : b.start + len(b.distances)]
        for b in blocks(real, fake)
    ]
    inside, counts = _fakes_in_balls(fake, real, real_radii, balls)
    return Manifold(
        precision=share(inside),
        recall=share(torch.cat(recalled)),
        density=mean(counts.double() / COVERAGE_NEIGHBOURS),
        coverage=share(torch.cat(covered)),
    )


def _fakes_in_balls(
    fakes: Tensor, reals: Tensor, radii: Tensor, balls: Tensor
) -> tuple[Tensor, Tensor]:
    """Per fake: whether it is within some radius, and how many balls it lies in."""
    inside, counts = [], []
    for block in blocks(fakes, reals):
        inside.append((block.distances <= radii).any(1))
        counts.append((block.distances < balls).sum(1))
    return torch.cat(inside), torch.cat(counts)
