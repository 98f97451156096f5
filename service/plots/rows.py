"""Rows of metrics, few enough to draw, as columns."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_POINTS = 2_000
_LARGEST = 1e100

Row = Mapping[str, Any]
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


def thin(rows: Iterable[Row], most: int = MOST_POINTS) -> Rows:
    """Every n-th row, evenly, and the last; never more than ``most`` (2 at least) are held."""
    kept: list[Row] = []
    stride, last = 1, None
    for index, row in enumerate(rows):
        last = row
        if index % stride == 0:
            kept.append(row)
        if len(kept) >= most:
            kept, stride = kept[::2], 2 * stride
    if last is not None and kept[-1] is not last:
        kept.append(last)
    return Rows(tuple(kept))


def _number(value: object) -> float:
    if not isinstance(value, int | float):
        return float("nan")
    # Far beyond what float32 holds, and far enough below float64's end to compute with.
    return max(-_LARGEST, min(float(value), _LARGEST))
