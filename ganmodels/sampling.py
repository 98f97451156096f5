"""Sampling: inputs and labels named by (seed, index), and items that depend on nothing else."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ganmodels.games import Game
from ganmodels.inputs import Inputs
from ganmodels.labels import Clusters, draw_evenly
from ganmodels.spaces import ImageSpace, Space

# Kernels choose their order of summation by batch size, so every batch has a size of which it is
# known that an item's bytes are the same in it, or this one: then they do not depend on how many
# others were asked for.
FIXED_BATCH = 8

Latent = NDArray[np.float32]
Label = NDArray[np.int64]


class Sampler:
    """A trained generator, ready to draw items; safe to call from several threads.

    ``inputs`` is what it makes them of; games with latents need no more than their own. Batches
    are filled up to the smallest of ``batch_sizes``, ascending, that holds them.
    """

    def __init__(
        self,
        game: Game,
        space: Space,
        generator: nn.Module,
        clusters: Clusters | None = None,
        device: torch.device | None = None,
        batch_sizes: tuple[int, ...] = (FIXED_BATCH,),
        inputs: Inputs | None = None,
    ) -> None:
        self.game, self.space, self.clusters = game, space, clusters
        self._inputs = inputs or game.inputs(None)
        self.batch_sizes = batch_sizes
        self.device = device or torch.device("cpu")
        self.generator = generator.to(self.device).eval()

    def inputs(self, seed: int, offset: int, count: int) -> NDArray[np.generic]:
        """Inputs of the items ``offset`` to ``offset + count - 1``: latents, or source items.

        Raises:
            ValueError: when the source is not at hand.
        """
        if self._inputs is None:
            raise ValueError("this generator takes items of a source, which is not at hand")
        return self._inputs.at(seed, offset, count)

    def latents(self, seed: int, offset: int, count: int) -> Latent:
        """Latents [count, width] of the items ``offset`` to ``offset + count - 1``.

        Raises:
            ValueError: when the generator takes no latents.
        """
        latent = self.game.latent
        if latent is None:
            raise ValueError("this generator takes items of a source, no latents")
        return latent.run(seed, offset, count)

    def labels(self, seed: int, offset: int, count: int) -> Label:
        """Labels [count] by (seed, index), where none was asked for: classes evenly, clusters by
        their shares.
        """
        indices, classes = range(offset, offset + count), len(self.space.classes)
        if self.clusters is not None:
            drawn = [self.clusters.draw(seed, index) for index in indices]
        else:
            drawn = [draw_evenly(classes, seed, index) for index in indices]
        return np.array(drawn, dtype=np.int64)

    @torch.inference_mode()
    def draw(self, inputs: NDArray[np.generic], labels: Label) -> NDArray[np.generic]:
        """Items [count, ...] for inputs (latents, or stored source items) and labels.

        Images are uint8 [count, height, width, channels]; points are float32
        [count, dimensions] in the dataset's own units.
        """
        batches = []
        most = self.batch_sizes[-1]
        for start in range(0, len(inputs), most):
            some = slice(start, start + most)
            batches.append(self._batch(inputs[some], labels[some]))
        return batches[0] if len(batches) == 1 else np.concatenate(batches)

    def _batch(self, inputs: NDArray[np.generic], labels: Label) -> NDArray[np.generic]:
        missing = next(size for size in self.batch_sizes if size >= len(inputs)) - len(inputs)
        given = self.game.given(_filled(inputs, missing), self.space, self.device)
        items = self.generator(given, torch.from_numpy(_filled(labels, missing)).to(self.device))
        return from_network(items[: len(inputs)], self.space)


def _filled(rows: NDArray[Any], missing: int) -> NDArray[Any]:
    """Rows, and as many of zeros as are missing."""
    if not missing:
        return rows
    return np.concatenate([rows, np.zeros((missing, *rows.shape[1:]), dtype=rows.dtype)])


def from_network(items: torch.Tensor, space: Space) -> NDArray[np.generic]:
    """What a generator returns, as it is stored: the reverse of ``to_network``."""
    if isinstance(space, ImageSpace):
        grey = (items.float() + 1).mul(127.5).round_().clamp_(0, 255).to(torch.uint8)
        stored: NDArray[np.generic] = grey.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        return stored
    points: NDArray[np.generic] = (items.float() * space.scale).cpu().numpy()
    return points
