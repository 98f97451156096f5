"""The spread of points, accumulated block by block."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganmodels.data.errors import DataError

_LARGEST_SCALE = 1e12


class Spread:
    """Standard deviation over all coordinates of all points.

    Blocks are merged by the update of Chan, Golub and LeVeque (1983), which stays exact where
    the naive sum of squares cancels.
    """

    def __init__(self) -> None:
        """Start with no values."""
        self.count = 0
        self.mean = 0.0
        self.squares = 0.0

    def add(self, block: NDArray[Any]) -> None:
        """Take in one block of points."""
        values = block.astype(np.float64)
        mean, squares = float(values.mean()), float(values.var() * values.size)
        total = self.count + values.size
        step = mean - self.mean
        self.squares += squares + step * step * self.count * values.size / total
        self.mean += step * values.size / total
        self.count = total

    def scale(self) -> float:
        """The deviation at 6 significant digits; 1 without values or when all are equal.

        Raises: DataError ``points_too_large``.
        """
        deviation = math.sqrt(self.squares / max(1, self.count))
        if deviation > _LARGEST_SCALE:
            raise DataError(
                "points_too_large",
                f"The coordinates have a standard deviation of {deviation:.6g}; at most "
                f"{_LARGEST_SCALE:g} is allowed: use larger units.",
                int(_LARGEST_SCALE),
            )
        return float(f"{deviation:.6g}") or 1.0
