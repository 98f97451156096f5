"""Parzen-window log-likelihood, by the protocol of the first GAN's authors."""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganmodels.referee.measures.distances import blocks
from ganmodels.referee.measures.estimate import Estimate, mean

SIGMAS = tuple(float(sigma) for sigma in np.logspace(-1, 0, 10))

Flat = NDArray[np.floating]


class Parzen(NamedTuple):
    """Mean log-likelihood of test items in nats, with its standard error, and the width used."""

    estimate: Estimate
    sigma: float


def parzen(samples: Flat, validation: Flat, test: Flat) -> Parzen:
    """Of ``samples`` [n, d] as centres; the width is the best for ``validation`` [k, d].

    The width is one of ten from 0.1 to 1, evenly spaced in their logarithm; ``test`` [m, d] is
    seen once. Values are pixels in [0, 1]: with another unit the figure is another one (with
    twice the scale it falls by d log 2). Source: Goodfellow et al. 2014 (arXiv:1406.2661),
    section 5, and the evaluation script that its authors published.

    Raises:
        ValueError: for values outside [0, 1].
    """
    for items in (samples, validation, test):
        if items.min() < 0 or items.max() > 1:
            raise ValueError("the estimate is defined for pixels in [0, 1]")
    scores = log_likelihoods(samples, validation, SIGMAS).mean(1)
    sigma = SIGMAS[int(scores.argmax())]
    return Parzen(mean(log_likelihoods(samples, test, (sigma,))[0]), sigma)


def log_likelihoods(samples: Flat, items: Flat, sigmas: tuple[float, ...]) -> Tensor:
    """log of the mean over samples of N(x; sample, sigma^2 I), for each sigma and item [s, m].

    In float64; time O(n m d), memory bounded.
    """
    centres, seen = (torch.from_numpy(np.asarray(some, np.float64)) for some in (samples, items))
    rows = []
    for block in blocks(seen, centres):
        squares = block.distances.square()
        rows.append(torch.stack([_log_mean(squares, sigma) for sigma in sigmas]))
    scale = torch.tensor(sigmas, dtype=torch.float64) * math.sqrt(2 * math.pi)
    return torch.cat(rows, 1) - centres.shape[1] * scale.log()[:, None]


def _log_mean(squares: Tensor, sigma: float) -> Tensor:
    return torch.logsumexp(-squares / (2 * sigma**2), 1) - math.log(squares.shape[1])
