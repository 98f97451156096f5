"""History: the readings of a match that the referee looks at, as rows of metrics."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from ganmodels.referee.signals import total_variation

Row = dict[str, Any]

# At the start, to compare with; at the end, to judge by. A match of any length fits.
_FIRST, _LATEST = 20, 100
# How much of a smoothed loss survives one reading.
_RETENTION = 0.8
_SMOOTHED = ("discriminator_loss", "generator_loss")


class History:
    """The first readings and the latest ones, oldest first."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self.first: list[Row] = []
        self._latest: deque[Row] = deque(maxlen=_LATEST)
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        """One more reading."""
        if len(self.first) < _FIRST:
            self.first.append(row)
        self._latest.append(row)

    @property
    def latest(self) -> Sequence[Row]:
        """At most a hundred, oldest first."""
        return self._latest

    @property
    def last(self) -> Row | None:
        """The newest."""
        return self._latest[-1] if self._latest else None


def derived(signals: Row, means: dict[str, float], before: Row | None) -> Row:
    """What follows from a reading and the one before: drift, smoothed losses, a ratio."""
    row: Row = {}
    for name in _SMOOTHED:
        old = (before or {}).get(f"{name}_smooth")
        new = means[name]
        row[f"{name}_smooth"] = new if old is None else _RETENTION * old + (1 - _RETENTION) * new
    against = means["discriminator_gradient_norm"]
    ratio = means["generator_gradient_norm"] / against if against > 0 else None
    earlier = (before or {}).get("histogram")
    drift = total_variation(earlier, signals["histogram"]) if earlier else None
    return {**row, "gradient_ratio": ratio, "histogram_drift": drift}
