"""The two known densities, as the benchmark knows them; no training sees their centres.

Source: the 8-Gaussian ring and 25-Gaussian grid of arXiv:1611.02163 and arXiv:1712.04086.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


class Density(NamedTuple):
    """Equal parts of Gaussians of one width around ``centres`` [modes, 2]."""

    centres: Points
    sigma: float

    def sample(self, count: int, random: np.random.Generator) -> Points:
        """``count`` points of the density itself: what a perfect sampler gives."""
        modes = random.integers(0, len(self.centres), count)
        return self.centres[modes] + self.sigma * random.standard_normal((count, 2))

    def box(self, count: int, random: np.random.Generator) -> Points:
        """``count`` points spread evenly over the smallest box that holds all centres."""
        return random.uniform(self.centres.min(0), self.centres.max(0), (count, 2))


def _ring() -> Density:
    angles = 2 * np.pi * np.arange(8) / 8
    return Density(np.stack([np.cos(angles), np.sin(angles)], axis=1), sigma=0.01)


def _grid() -> Density:
    ticks = np.array([-4.0, -2.0, 0.0, 2.0, 4.0])
    pairs = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1)
    return Density(pairs.reshape(-1, 2), sigma=0.05)


DENSITIES: Mapping[str, Density] = MappingProxyType({"ring": _ring(), "grid": _grid()})
