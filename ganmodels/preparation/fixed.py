"""The batch on which a generator is measured when it is loaded: the same one at every start."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ganmodels.games import Game
from ganmodels.latents import philox
from ganmodels.spaces import ImageSpace, Space
from ganmodels.types import Items, Labels

FIXED_ITEMS = 64
_SEED = 0
_CELL = 4


class FixedBatch(NamedTuple):
    """Inputs as a generator takes them, and labels [count], all classes in turn."""

    inputs: Tensor
    labels: Labels

    def part(self, start: int, count: int) -> "FixedBatch":
        """``count`` of the entries from ``start`` on; after the last comes the first."""
        places = torch.arange(start, start + count, device=self.labels.device) % len(self.labels)
        return FixedBatch(self.inputs[places], self.labels[places])

    def first(self, most: int) -> "FixedBatch":
        """The first entries, at most so many."""
        return self.part(0, min(most, len(self.labels)))

    @torch.inference_mode()
    def through(self, network: nn.Module) -> Items:
        """What a network makes of it, when the device has made it."""
        items: Items = network(self.inputs, self.labels)
        if items.is_cuda:
            torch.cuda.synchronize(items.device)
        return items


def fixed_batch(game: Game, space: Space, device: torch.device) -> FixedBatch:
    """Inputs of seed 0: latents, or blurred noise where a generator takes images of a source."""
    source = game.inputs(None)
    stored = source.at(_SEED, 0, FIXED_ITEMS) if source else fixed_items(space)
    labels = torch.arange(FIXED_ITEMS, device=device) % max(1, game.labels.classes(space))
    return FixedBatch(game.given(stored, space, device), labels)


def fixed_items(space: Space) -> NDArray[np.generic]:
    """64 stored items: images of flat squares in random grey, or normal points."""
    if not isinstance(space, ImageSpace):
        drawn = philox(_SEED, 0).standard_normal((FIXED_ITEMS, *space.shape), dtype=np.float32)
        return drawn * np.float32(space.scale)
    rows, columns = -(-space.height // _CELL), -(-space.width // _CELL)
    shape = (FIXED_ITEMS, rows, columns, space.channels)
    squares = philox(_SEED, 0).integers(0, 256, shape, dtype=np.uint8)
    large = squares.repeat(_CELL, axis=1).repeat(_CELL, axis=2)
    return large[:, : space.height, : space.width]


def same_bits(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors of one shape and type are equal bit for bit, where they are NaN too."""
    bits = torch.int32 if first.dtype == torch.float32 else torch.int16
    return torch.equal(first.view(bits), second.view(bits))
