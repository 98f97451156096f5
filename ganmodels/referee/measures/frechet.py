"""Frechet distance between Gaussians fitted to features."""

import torch
from torch import Tensor

from ganmodels.referee.measures.estimate import GROUPS, Estimate, FeatureArray, jackknife_error

_WIDE = 512
_GROUPS_WHEN_WIDE = 5


def frechet(fakes: FeatureArray, reals: FeatureArray, with_error: bool = True) -> Estimate:
    """Frechet distance of features [n, d] and [m, d], n, m >= 2; at least 0; not its root.

    |mu_f - mu_r|^2 + tr(S_f + S_r - 2 (S_f S_r)^(1/2)) with unbiased covariances S. Source:
    Heusel et al. 2017 (arXiv:1706.08500, equation 6). It is biased upwards by about 1/n:
    compare equal n only.

    With S = A^T A the trace of the root is the sum of the singular values of A_f A_r^T, so no
    matrix is squared, none need be invertible and n < d is sound. The error is a jackknife over
    20 groups; over 5 where both n and d are above 512, where each costs seconds.
    """
    fake, real = torch.from_numpy(fakes).double(), torch.from_numpy(reals).double()
    value = distance(fake, real)
    if not with_error:
        return Estimate(value)
    is_wide = min(len(fake), fake.shape[1]) > _WIDE
    groups = _GROUPS_WHEN_WIDE if is_wide else GROUPS
    return Estimate(value, jackknife_error(distance, fake, real, groups))


def distance(fakes: Tensor, reals: Tensor) -> float:
    """The Frechet distance of float64 features [n, d] and [m, d]."""
    shift = (fakes.mean(0) - reals.mean(0)).square().sum()
    fake, real = _root(fakes), _root(reals)
    overlap = torch.linalg.svdvals(fake @ real.T).sum()
    found = shift + fake.square().sum() + real.square().sum() - 2 * overlap
    return max(0.0, float(found))


def _root(features: Tensor) -> Tensor:
    """A [min(n, d), d] with A^T A the unbiased covariance."""
    centred = (features - features.mean(0)) / (len(features) - 1) ** 0.5
    root: Tensor = centred
    if len(centred) > centred.shape[1]:
        root = torch.linalg.qr(centred, mode="r").R
    return root
