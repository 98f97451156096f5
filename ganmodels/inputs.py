"""Inputs of a generator, named by (seed, index): latents, or items of a source dataset."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ganmodels.data.packed import PackedDataset
from ganmodels.latents import Latent, philox

_HELD_OUT, _TRAINING = 0, 1


class Inputs(Protocol):
    """What a generator makes items of."""

    def at(self, seed: int, offset: int, count: int) -> NDArray[np.generic]:
        """The inputs ``offset`` to ``offset + count - 1`` of a seed, as they are stored."""


class LatentInputs:
    """Latents [count, width]."""

    def __init__(self, latent: Latent) -> None:
        self._latent = latent

    def at(self, seed: int, offset: int, count: int) -> NDArray[np.generic]:
        """Each is drawn by (seed, index) alone."""
        return self._latent.run(seed, offset, count)


class ItemInputs:
    """Stored items [count, ...] of a dataset: all that are held out, then the others, then again.

    The seed decides the order of both.
    """

    def __init__(self, dataset: PackedDataset) -> None:
        self._dataset = dataset

    def at(self, seed: int, offset: int, count: int) -> NDArray[np.generic]:
        """Items of the dataset, each as often as any other."""
        dataset = self._dataset
        held_out = philox(seed, _HELD_OUT).permutation(dataset.held_out)
        others = philox(seed, _TRAINING).permutation(dataset.training_indices)
        order = np.concatenate([held_out, others])
        items: NDArray[np.generic] = dataset.items[
            order[np.arange(offset, offset + count) % len(order)]
        ]
        return items
