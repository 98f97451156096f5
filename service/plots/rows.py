"""Rows of metrics as columns."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.thinning import Row

_LARGEST = 1e100

Column = NDArray[np.float64]


class Rows(NamedTuple):
    """Rows of metrics by step. What a row does not say, or not as a number, is NaN."""

    rows: tuple[Row, ...] = ()

    @property
    def steps(self) -> Column:
        """The step of each row."""
        return self.column("step")

    def column(self, name: str) -> Column:
        """The values of a name, one for each row."""
        return np.array([_number(row.get(name)) for row in self.rows], dtype=np.float64)

    def has(self, name: str) -> bool:
        """Whether any row has a finite number of this name."""
        return any(np.isfinite(_number(row.get(name))) for row in self.rows)

    def lists(self, name: str) -> dict[float, list[float]]:
        """By step, the lists of numbers of a name; rows without one are left out."""
        found = {float(row["step"]): row.get(name) for row in self.rows}
        return {step: value for step, value in found.items() if isinstance(value, list) and value}


def _number(value: object) -> float:
    if not isinstance(value, int | float):
        return float("nan")
    # Far beyond what float32 holds, and far enough below float64's end to compute with.
    return max(-_LARGEST, min(float(value), _LARGEST))
