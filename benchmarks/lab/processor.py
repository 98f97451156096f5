"""Processor time: what an answer costs, however much of the machine others took meanwhile."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Spent:
    """Seconds of processor time that were spent in a block; there once it has ended."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def ms_each(self, count: float) -> float | None:
        """Milliseconds for each of so many things."""
        return 1000 * self.seconds / count if count else None


@contextmanager
def spent(pids: Callable[[], Iterable[int]]) -> Iterator[Spent]:
    """What processes spend inside the block. Those that come and go in it count in part."""
    found, before = Spent(), _seconds(pids())
    yield found
    found.seconds = _seconds(pids()) - before


def _seconds(pids: Iterable[int]) -> float:
    return sum(map(_of_one, pids))


def _of_one(pid: int) -> float:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND
    return 0.0
