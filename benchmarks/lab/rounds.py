"""Rounds: all contenders take turns, so that what else the machine does falls on each of them."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from rich.console import Console


class Measured(NamedTuple):
    """What one contender did in one round.

    ``rate`` is good answers or images a second, ``cpu_ms`` the processor time of each of them.
    """

    rate: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    failed: int = 0
    cpu_ms: float | None = None


class Contender(NamedTuple):
    """Somebody who takes part: alone on the machine while it is measured for some seconds."""

    name: str
    measure: Callable[[float], Measured]


class Rounds(NamedTuple):
    """What all contenders did in all rounds."""

    measured: Mapping[str, Sequence[Measured]]

    @property
    def names(self) -> list[str]:
        """Who took part."""
        return list(self.measured)

    def rate(self, name: str) -> float:
        """The median."""
        return statistics.median(one.rate for one in self.measured[name])

    def ratio(self, name: str, other: str) -> float:
        """The median of one's rate over the other's in the same round."""
        pairs = zip(self.measured[name], self.measured[other], strict=True)
        return statistics.median(one.rate / two.rate if two.rate else 0.0 for one, two in pairs)

    def p50_ms(self, name: str) -> float:
        """The median of the medians of latency; not a number for a contender without."""
        return _median([one.p50_ms for one in self.measured[name]])

    def p99_ms(self, name: str) -> float:
        """The median of the 99th percentiles of latency; not a number for one without."""
        return _median([one.p99_ms for one in self.measured[name]])

    def cpu_ms(self, name: str) -> float:
        """The median processor time of an answer; not a number where it was not measured."""
        return _median([one.cpu_ms for one in self.measured[name]])

    def failed(self, name: str) -> int:
        """Requests that were not answered well, in all rounds."""
        return sum(one.failed for one in self.measured[name])


def _median(values: Sequence[float | None]) -> float:
    return statistics.median([value for value in values if value] or [math.nan])


def play(contenders: Sequence[Contender], rounds: int, seconds: float, console: Console) -> Rounds:
    """Let all contenders be measured in turn, so often."""
    measured: dict[str, list[Measured]] = {one.name: [] for one in contenders}
    for number in range(rounds):
        for contender in contenders:
            found = contender.measure(seconds)
            measured[contender.name].append(found)
            console.print(f"[dim]round {number + 1}: {contender.name}: {found.rate:.1f}/s")
    return Rounds(measured)
