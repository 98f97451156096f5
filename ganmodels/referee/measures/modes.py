"""Modes: which classes a generator draws, and how evenly, by a classifier."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ganmodels.referee.measures.estimate import Estimate

_LEAST_SHARE = 0.1


class Modes(NamedTuple):
    """How many classes are drawn, and how far their shares are from those of real items."""

    covered: Estimate
    kl: Estimate


def modes(fakes: NDArray[np.int64], reals: NDArray[np.int64], classes: int) -> Modes:
    """Of predicted labels [n] and [m] in 0..classes-1.

    A class is covered if at least one fake, and a tenth of its share among reals, is of it: a
    classifier that errs on 1 % would find any class otherwise. KL: sum p log(p / q) over shares p
    of fakes and q of reals, in nats, with q from (count + 1/2) / (m + classes / 2) so that none
    is 0. Both are predicted by one classifier, so its bias is in both. Even perfect samples get
    about (classes - 1) / 2 (1/n + 1/m). Source of the protocol: Srivastava et al. 2017
    (arXiv:1705.07761), Lin et al. 2018 (arXiv:1712.04086). The error of KL is that of a mean of
    log(p / q) over fakes.
    """
    counts = np.bincount(fakes, minlength=classes)
    real_counts = np.bincount(reals, minlength=classes)
    wanted = np.maximum(1, _LEAST_SHARE * real_counts * len(fakes) / len(reals))
    covered = Estimate(float(((counts >= wanted) & (real_counts > 0)).sum()))
    return Modes(covered, _divergence(counts, real_counts))


def _divergence(counts: NDArray[np.int64], real_counts: NDArray[np.int64]) -> Estimate:
    drawn = counts > 0
    shares = counts[drawn] / counts.sum()
    reference = (real_counts + 0.5) / (real_counts.sum() + len(real_counts) / 2)
    surprise = np.log(shares / reference[drawn])
    value = float(shares @ surprise)
    variance = float(shares @ (surprise - value) ** 2)
    return Estimate(value, (variance / counts.sum()) ** 0.5)
