"""History: the readings of a match that the referee looks at, as rows of metrics."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from ganmodels.referee.signals import total_variation

Row = dict[str, Any]

# The longest window of a rule is a fraction of this; a match of any length fits.
_LATEST = 100
# What every reading has, and no other row.
_SIGN = "energy_distance"
# How much of a smoothed loss survives one reading.
_RETENTION = 0.8
_SMOOTHED = ("discriminator_loss", "generator_loss")


class History:
    """The first readings and the latest ones, oldest first, and the newest row of metrics.

    A row without signals is no reading.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self.first: Row | None = None
        self.newest: Row | None = None
        self._latest: deque[Row] = deque(maxlen=_LATEST)
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        """One more row."""
        self.newest = row
        if _SIGN in row:
            self.first = self.first or row
            self._latest.append(row)

    @property
    def latest(self) -> Sequence[Row]:
        """At most a hundred readings, oldest first."""
        return list(self._latest)

    @property
    def last_step(self) -> int:
        """The step of the last reading; 0 before the first."""
        return int(self._latest[-1]["step"]) if self._latest else 0


def smoothed(means: dict[str, float], before: Row | None, number: int) -> Row:
    """Losses smoothed over about five rows, the ratio of both networks' gradients.

    ``number`` of the row, from 1: the first few are averaged, so that the first has no more weight.
    """
    row: Row = {}
    retention = min(_RETENTION, 1 - 1 / number)
    for name in _SMOOTHED:
        old = (before or {}).get(f"{name}_smooth")
        new = means[name]
        row[f"{name}_smooth"] = new if old is None else retention * old + (1 - retention) * new
    against = means["discriminator_gradient_norm"]
    ratio = means["generator_gradient_norm"] / against if against > 0 else None
    return {**row, "gradient_ratio": ratio}


def drift(signals: Row, before: Row | None) -> float | None:
    """How much of the histogram has moved since the reading before."""
    earlier = (before or {}).get("histogram")
    return total_variation(earlier, signals["histogram"]) if earlier else None
