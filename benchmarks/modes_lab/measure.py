"""What is measured of samples of a known density, and the bars that are to be reached.

Source of modes, share and divergence: Lin et al. 2017 (arXiv:1712.04086), section 4.1.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from benchmarks.modes_lab.densities import Density, Points

QUALITY_SIGMAS = 3.0


class Figures(NamedTuple):
    """Figures of one set of samples; a sample within three sigma of its mode is of high quality.

    ``modes`` with a sample of high quality; ``quality``, the share of such samples; ``divergence``
    of their histogram over modes from the even one, in nats (infinite without any); ``spread``,
    their standard deviation around the mean of those of the same mode, over sigma (0 without any).
    """

    modes: int
    quality: float
    divergence: float
    spread: float


class Bars(NamedTuple):
    """What is to be reached by every seed."""

    modes: int
    quality: float
    divergence: float
    spread: float

    def met(self, figures: Figures) -> bool:
        """Whether all four are reached."""
        return (
            figures.modes >= self.modes
            and figures.quality >= self.quality
            and figures.divergence <= self.divergence
            and figures.spread >= self.spread
        )


BARS: Mapping[str, Bars] = MappingProxyType(
    {"ring": Bars(8, 0.97, 0.01, 0.7), "grid": Bars(25, 0.96, 0.02, 0.7)}
)


def measure(points: Points, density: Density) -> Figures:
    """Figures of points [count, 2] in the density's own units."""
    distances = np.linalg.norm(points[:, None] - density.centres, axis=2)
    good = distances.min(1) < QUALITY_SIGMAS * density.sigma
    kept, modes = points[good], distances.argmin(1)[good]
    counts = np.bincount(modes, minlength=len(density.centres))
    return Figures(
        modes=int((counts > 0).sum()),
        quality=float(good.mean()),
        divergence=_divergence(counts),
        spread=_spread(kept, modes, counts) / density.sigma,
    )


def _divergence(counts: np.ndarray) -> float:
    """KL of a histogram from the even one, natural logarithm."""
    if not counts.any():
        return float("inf")
    shares = counts[counts > 0] / counts.sum()
    return float((shares * np.log(shares * len(counts))).sum())


def _spread(points: Points, modes: np.ndarray, counts: np.ndarray) -> float:
    """Pooled over modes and both coordinates.

    Around each mode's own mean: around the true centre, a point that lies beside it would pass
    for a spread.
    """
    sums = np.zeros((len(counts), 2))
    np.add.at(sums, modes, points)
    means = sums / np.maximum(counts, 1)[:, None]
    freedom = 2 * np.maximum(counts - 1, 0).sum()
    squares = np.square(points - means[modes]).sum()
    return float(np.sqrt(squares / freedom)) if freedom else 0.0
