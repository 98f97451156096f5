"""Processes that play one match together: each has a share of every batch.

All of them hold the same networks, draw the same numbers and update by the same gradient, the mean
of theirs. The one at place 0 leads: it decides what is done next and tells the others.
"""

from collections.abc import Sequence
from datetime import timedelta
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from ganmodels.draws import SharedGenerator

# A step may take long, and so may a checkpoint; who dies is noticed at once all the same.
_PATIENCE = timedelta(hours=6)


class Order(IntEnum):
    """What the leader tells the others to do next."""

    PLAY = 0
    READ = 1
    AGREE = 2
    STOP = 3


class Share(NamedTuple):
    """The items of a batch that a process plays: those at ``place`` of ``size`` equal ones.

    A batch that is played in equal ``parts`` is shared part by part.
    """

    place: int = 0
    size: int = 1
    parts: int = 1

    def of(self, batch: Tensor) -> Tensor:
        """Its entries of [batch, ...], in order: [batch / size, ...]."""
        if self.size == 1:
            return batch
        shares: Tensor = batch.unflatten(0, (self.parts, self.size, -1))
        return shares[:, self.place].flatten(0, 1)


WHOLE = Share()


class Group(Protocol):
    """The processes of a match. All of them must ask the same of it, in the same order."""

    place: int
    size: int

    def share(self, parts: int) -> Share:
        """What this process plays of a batch."""

    def generator(self, device: torch.device) -> torch.Generator:
        """Random numbers for the items that this process plays."""

    def tell(self, order: Order) -> None:
        """Tell the others what is done next; only the leader's word counts."""

    def hear(self) -> Order:
        """Wait for the leader's word."""

    def rows(self, values: Tensor) -> Tensor:
        """The values [...] of all processes, [size, ...]; gradients find their way back."""

    def average(self, values: Sequence[Tensor]) -> None:
        """Replace float values by their means over all processes."""

    def match_leader(self, values: Tensor) -> Tensor:
        """The leader's values, of the same shape and type on all processes."""


class Alone:
    """One process that plays the whole of each batch."""

    place, size = 0, 1

    def share(self, parts: int) -> Share:
        """All of it."""
        return WHOLE

    def generator(self, device: torch.device) -> torch.Generator:
        """A plain generator."""
        return torch.Generator(device)

    def tell(self, order: Order) -> None:
        """Nobody listens."""

    def hear(self) -> Order:
        """Nobody speaks."""
        return Order.STOP

    def rows(self, values: Tensor) -> Tensor:
        """The values alone, [1, ...]."""
        return values[None]

    def average(self, values: Sequence[Tensor]) -> None:
        """They are the means already."""

    def match_leader(self, values: Tensor) -> Tensor:
        """The values: this process leads."""
        return values


ALONE = Alone()


class Several:
    """Processes that PyTorch's default process group connects: gloo for CPUs, NCCL for GPUs."""

    def __init__(self, place: int, size: int) -> None:
        self.place, self.size = place, size

    @classmethod
    def join(cls, store: TCPStore, place: int, size: int, device: torch.device) -> "Several":
        """Take a place in the group that meets at a store; waits until all are there."""
        backend = "gloo"
        if device.type == "cuda":
            torch.cuda.set_device(device.index or 0)
            # The leader's word goes by the CPU, so that nobody waits for a GPU to hear it.
            backend = "cpu:gloo,cuda:nccl"
        dist.init_process_group(
            backend, store=store, rank=place, world_size=size, timeout=_PATIENCE
        )
        return cls(place, size)

    def leave(self) -> None:
        """Take the connections down."""
        dist.destroy_process_group()

    def share(self, parts: int) -> Share:
        """An equal share of each part."""
        return Share(self.place, self.size, parts)

    def generator(self, device: torch.device) -> torch.Generator:
        """Draws for everybody's items, and gives those for its own."""
        return SharedGenerator.of(self.place, self.size, device)

    def tell(self, order: Order) -> None:
        """Tell the others what is done next; only the leader's word counts."""
        if self.place == 0:
            dist.broadcast(torch.tensor([order], dtype=torch.int64), 0)

    def hear(self) -> Order:
        """Wait for the leader's word."""
        word = torch.zeros(1, dtype=torch.int64)
        dist.broadcast(word, 0)
        return Order(int(word))

    def rows(self, values: Tensor) -> Tensor:
        """The values [...] of all processes, [size, ...]; gradients find their way back."""
        mine = torch.arange(self.size, device=values.device) == self.place
        mine = mine.reshape(-1, *[1] * values.ndim)
        return _summed(torch.where(mine, values[None], torch.zeros_like(values)))

    def average(self, values: Sequence[Tensor]) -> None:
        """Replace float values by their means over all processes, in one message."""
        flat = torch.cat([value.reshape(-1) for value in values])
        dist.all_reduce(flat)
        flat /= self.size
        means = flat.split([value.numel() for value in values])
        shaped = [mean.view_as(value) for mean, value in zip(means, values, strict=True)]
        torch._foreach_copy_(list(values), shaped)

    def match_leader(self, values: Tensor) -> Tensor:
        """The leader's values, of the same shape and type on all processes."""
        theirs = values.clone(memory_format=torch.contiguous_format)
        dist.broadcast(theirs, 0)
        return theirs


class _Sum(torch.autograd.Function):
    """The sum over all processes, whose gradient is the sum of all their gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _summed(gradients[0])


def _summed(values: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]
    return total
