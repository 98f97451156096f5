"""Calibration: what a discriminator's logit means, by the logits of held-out reals and of fakes.

A raw logit means nothing by itself, and that of a Wasserstein critic is known up to a constant.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits

QUANTILES = 512
_FITTING_STEPS = 200

Logits = NDArray[np.float32]


class Odds(NamedTuple):
    """The log-odds of "real" as a line over the logit, where reals and fakes are equally many."""

    slope: float
    intercept: float

    def probability(self, logits: Logits) -> Logits:
        """In [0, 1]: where the line is so far from 0 that float32 holds no more, 0 or 1."""
        # Vectors and what is left of them round float32 otherwise; float64 has digits to spare.
        lines = torch.from_numpy(logits).double() * self.slope + self.intercept
        probability: Logits = lines.sigmoid().float().numpy()
        return probability


class Calibration(NamedTuple):
    """512 evenly spaced quantiles, ascending, of the logits of reals and of fakes.

    Reals are held out from training where the dataset holds some out. With a conditional
    discriminator reals are judged under their own label, fakes under the one asked for; all under
    the nearest cluster where clusters stand in the labels' place.
    """

    real: Logits
    fake: Logits

    @classmethod
    def of(cls, real: Logits, fake: Logits) -> "Calibration":
        """The quantiles of two sets of logits."""
        levels = np.linspace(0, 1, QUANTILES)
        return cls(
            np.quantile(real, levels).astype(np.float32),
            np.quantile(fake, levels).astype(np.float32),
        )

    def percentiles(self, logits: Logits) -> tuple[Logits, Logits]:
        """Share in percent of reals, and of fakes, whose logit is at most this one."""
        return _percentile(self.real, logits), _percentile(self.fake, logits)

    def odds(self) -> Odds:
        """The line under which the quantiles are the most probable; flat where they tell nothing.

        It falls where held-out reals have lower logits than fakes. Targets are a little off 0 and
        1, so that logits that never overlap make nothing certain.
        Source: Platt 1999, "Probabilistic outputs for support vector machines", section 2.2.
        """
        logits = torch.from_numpy(np.concatenate(self)).double()
        spread, mean = logits.std(), logits.mean()
        if not (spread > 0 and spread.isfinite()):
            return Odds(0.0, 0.0)
        real, fake = len(self.real), len(self.fake)
        targets = torch.tensor([(real + 1) / (real + 2)] * real + [1 / (fake + 2)] * fake)
        slope, intercept = _fitted((logits - mean) / spread, targets.double())
        return Odds(slope / float(spread), intercept - slope * float(mean / spread))


def _percentile(quantiles: Logits, logits: Logits) -> Logits:
    below = np.searchsorted(quantiles, logits, side="right")
    return (100 * below / len(quantiles)).astype(np.float32)


def _fitted(values: torch.Tensor, targets: torch.Tensor) -> tuple[float, float]:
    """Slope and intercept of the line whose sigmoid has the least cross entropy to the targets."""
    line = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([line], max_iter=_FITTING_STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        search.zero_grad()
        entropy = binary_cross_entropy_with_logits(line[0] * values + line[1], targets)
        entropy.backward()
        return entropy

    search.step(loss)
    slope, intercept = line.tolist()
    return slope, intercept
