"""The setting that makes a training fit into less memory."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

import torch

from ganmodels.config import TrainConfig
from ganmodels.estimate import estimate
from ganmodels.optimisation import Optimisation
from ganmodels.validity import InvalidConfig, check

_SMALLEST_BATCH = 2
_MOST_PARTS = 64


class Fit(NamedTuple):
    """A batch that fits, in how many parts, and what the training takes with it.

    ``same_mathematics``: the result is that of the configuration that was asked for, but for
    rounding and, where a step draws numbers, other ones. Where layers or losses take statistics
    over what is computed at once it is not: they then take those of each part. The gradient is the
    mean over the whole batch all the same, so that parts are nearer to what was asked for than a
    smaller batch.
    """

    batch_size: int
    accumulate: int
    memory_bytes: int
    same_mathematics: bool

    @property
    def advice(self) -> str:
        """The change in words."""
        size, count = self.batch_size, self.accumulate
        if count == 1:
            return f"set batch_size to {size}"
        parts = f"set optimisation.accumulate to {count} ({count} parts of {size // count} items)"
        if self.same_mathematics:
            return parts
        return f"{parts}; batch statistics are then those of a part"


def fitting(
    config: TrainConfig, limit_bytes: int, autocast: torch.dtype | None = None
) -> Fit | None:
    """The least change of a configuration by which it takes at most ``limit_bytes``.

    That is the fewest equal parts of its batch, or else the largest batch, halved time and again,
    with which it trains; None where the networks alone are too large.
    """
    asked = config.optimisation
    more = [count for count in range(asked.accumulate + 1, _MOST_PARTS + 1)]
    in_parts = [_with(config, asked.batch_size, count) for count in more]
    smaller = [_with(config, size, 1) for size in _halves(asked.batch_size)]
    for candidates in (in_parts, smaller):
        if found := _first(_valid(candidates), limit_bytes, autocast):
            return _fit(config, found, autocast)
    return None


def _first(
    candidates: Sequence[TrainConfig], limit_bytes: int, autocast: torch.dtype | None
) -> TrainConfig | None:
    """The first that fits, of candidates of which each takes less than the one before."""

    def fits(config: TrainConfig) -> bool:
        return estimate(config, autocast).memory_bytes <= limit_bytes

    place = bisect_left(candidates, True, key=fits)
    return candidates[place] if place < len(candidates) else None


def _fit(config: TrainConfig, found: TrainConfig, autocast: torch.dtype | None) -> Fit:
    new, old = found.optimisation, config.optimisation
    known = {finding.code for finding in check(config)}
    same = new.batch_size == old.batch_size and all(
        finding.code in known for finding in check(found)
    )
    # What was taken over parts before is taken over smaller ones now.
    same = same and "statistics-of-parts" not in known
    memory = estimate(found, autocast).memory_bytes
    return Fit(new.batch_size, new.accumulate, memory, same)


def _with(config: TrainConfig, batch_size: int, accumulate: int) -> TrainConfig:
    changes = {"batch_size": batch_size, "accumulate": accumulate}
    optimisation: Optimisation = config.optimisation.model_copy(update=changes)
    return config.model_copy(update={"optimisation": optimisation})


def _halves(size: int) -> list[int]:
    """The size halved, as often as it can be."""
    halved = []
    while (size := size // 2) >= _SMALLEST_BATCH:
        halved.append(size)
    return halved


def _valid(candidates: Sequence[TrainConfig]) -> list[TrainConfig]:
    """Those that would train."""
    return [one for one in candidates if _trains(one)]


def _trains(config: TrainConfig) -> bool:
    try:
        check(config)
    except InvalidConfig:
        return False
    return True
