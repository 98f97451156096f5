"""An estimate with its error, and the jackknife that finds the error of most."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FeatureArray = NDArray[np.floating[Any]]

GROUPS = 20


class Estimate(NamedTuple):
    """A number, and the standard deviation that it would have over other samples of this size.

    ``at_least``: nothing was found, the value is a lower bound.
    """

    value: float
    standard_error: float | None = None
    at_least: bool = False


def share(hits: Tensor) -> Estimate:
    """The share of true values [n], with the binomial error sqrt(p (1 - p) / n)."""
    value = float(hits.double().mean())
    return Estimate(value, (value * (1 - value) / len(hits)) ** 0.5)


def mean(values: Tensor) -> Estimate:
    """The mean of independent values [n], n >= 2, with its standard error."""
    double = values.double()
    return Estimate(float(double.mean()), float(double.std() / len(double) ** 0.5))


def jackknife_error(
    statistic: Callable[[Tensor, Tensor], float],
    fakes: Tensor,
    reals: Tensor,
    groups: int = GROUPS,
) -> float:
    """Standard error of a statistic of two samples [n, d], [m, d]: the delete-a-group jackknife.

    A group is every ``groups``-th item of both samples at once: items are independent, so pairs
    of them are too, and leaving out pairs shows the variance that both samples bring:
    (g - 1) / g * sum_i (s_i - mean s)^2. Source: Efron and Tibshirani 1993, chapter 11.
    """
    groups = min(groups, len(fakes), len(reals))
    values = torch.tensor(
        [
            statistic(_without(fakes, group, groups), _without(reals, group, groups))
            for group in range(groups)
        ],
        dtype=torch.float64,
    )
    return float(((groups - 1) * values.var(correction=0)).sqrt())


def _without(items: Tensor, group: int, groups: int) -> Tensor:
    return items[torch.arange(len(items)) % groups != group]
