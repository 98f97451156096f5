"""A pool of earlier fakes, mixed into what the discriminator sees, so that it does not forget them.

Sources: Shrivastava et al. 2016 (arXiv:1612.07828), section 2.3; Zhu et al. 2017
(arXiv:1703.10593), section 4.
"""

import torch
from pydantic import Field
from torch import Tensor

from ganmodels.spec import Spec
from ganmodels.types import Items, Labels


class Replay(Spec):
    """A pool of ``size`` fakes, and the share of each batch that is swapped with it; 0 is none."""

    size: int = Field(default=50, ge=1, le=100_000)
    share: float = Field(default=0.5, ge=0, le=1)

    def swapped(self, count: int) -> int:
        """How many of so many fakes are swapped at once, where any are; at least one."""
        return min(max(1, round(self.share * count)), self.size)

    def pool(self, shape: tuple[int, ...], device: torch.device) -> "Pool":
        """An empty pool for items of this shape."""
        return Pool(self, shape, device)


class Pool:
    """Earlier fakes with the labels they were made under; part of a match's state."""

    def __init__(self, replay: Replay, shape: tuple[int, ...], device: torch.device) -> None:
        self._replay = replay
        self._items = torch.zeros(replay.size, *shape, device=device)
        self._labels = torch.zeros(replay.size, dtype=torch.int64, device=device)
        # On the CPU, so that no step waits for the device to know whether the pool is full.
        self._filled = torch.zeros((), dtype=torch.int64)

    def tensors(self) -> dict[str, Tensor]:
        """The live tensors by name, to be saved, or filled from what was saved."""
        return {"items": self._items, "labels": self._labels, "filled": self._filled}

    @torch.no_grad()
    def swap(
        self, fakes: Items, labels: Labels | None, random: torch.Generator
    ) -> tuple[Items, Labels | None]:
        """The batch [batch, ...] with its first places taken by random entries of the pool.

        What was there goes into the pool in their stead. Until the pool is full the batch only
        fills it and is returned as it is. No gradient passes.
        """
        if int(self._filled) < len(self._items):
            self._fill(fakes, labels)
            return fakes.detach(), labels
        count = self._replay.swapped(len(fakes))
        # Distinct places, so that none of the fakes that go in is lost.
        order = torch.randperm(len(self._items), generator=random, device=random.device)
        places = order[:count].to(self._items.device)
        items = torch.cat([self._items[places], fakes[count:]])
        self._items[places] = fakes[:count]
        if labels is None:
            return items, None
        mixed = torch.cat([self._labels[places], labels[count:]])
        self._labels[places] = labels[:count]
        return items, mixed

    def _fill(self, fakes: Items, labels: Labels | None) -> None:
        start = int(self._filled)
        end = min(start + len(fakes), len(self._items))
        self._items[start:end] = fakes[: end - start]
        if labels is not None:
            self._labels[start:end] = labels[: end - start]
        self._filled.fill_(end)
