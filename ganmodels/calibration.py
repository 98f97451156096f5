"""Calibration: what a discriminator's logit means, by the logits of held-out reals and of fakes.

A raw logit means nothing by itself, and that of a Wasserstein critic is known up to a constant.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

QUANTILES = 512
_FITTING_STEPS, _ENOUGH, _RIDGE = 100, 1e-12, 1e-12
# Of logits at either end: a few far ones would else flatten the line for all others.
_ODD_SHARE = 0.005

Logits = NDArray[np.float32]
Values = NDArray[np.float64]


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
        logits = np.concatenate(self).astype(np.float64)
        if not np.isfinite(logits).all():
            return Odds(0.0, 0.0)
        logits = logits.clip(*np.quantile(logits, [_ODD_SHARE, 1 - _ODD_SHARE]))
        spread, mean = float(logits.std()), float(logits.mean())
        if spread == 0:
            return Odds(0.0, 0.0)
        real, fake = len(self.real), len(self.fake)
        targets = np.repeat([(real + 1) / (real + 2), 1 / (fake + 2)], [real, fake])
        slope, intercept = _fitted((logits - mean) / spread, targets)
        return Odds(slope / spread, intercept - slope * mean / spread)


def _percentile(quantiles: Logits, logits: Logits) -> Logits:
    below = np.searchsorted(quantiles, logits, side="right")
    return (100 * below / len(quantiles)).astype(np.float32)


def _fitted(values: Values, targets: Values) -> tuple[float, float]:
    """Slope and intercept of the line whose sigmoid has the least cross entropy to the targets.

    By Newton's method, with steps halved until they help: the function has one valley.
    """
    inputs = np.stack([values, np.ones_like(values)], axis=1)
    line, least = np.zeros(2), np.log(2)
    for _ in range(_FITTING_STEPS):
        believed = 1 / (1 + np.exp(-inputs @ line))
        slope = inputs.T @ (believed - targets) / len(values)
        bend = (inputs.T * (believed * (1 - believed))) @ inputs / len(values)
        step = np.linalg.solve(bend + _RIDGE * np.eye(2), slope)
        while (entropy := _entropy(inputs @ (line - step), targets)) > least and step.any():
            step /= 2
        if least - entropy <= _ENOUGH:
            break
        line, least = line - step, entropy
    return float(line[0]), float(line[1])


def _entropy(lines: Values, targets: Values) -> float:
    return float(np.mean(np.logaddexp(0, lines) - targets * lines))
