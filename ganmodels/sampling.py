"""Sampling: latents and labels named by (seed, index), and items that depend on nothing else."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ganmodels.games import Game
from ganmodels.labels import Clusters, draw_evenly
from ganmodels.latents import Code
from ganmodels.spaces import ImageSpace, Space

# Kernels choose their order of summation by batch size, so every batch has this size: then an
# item's bytes do not depend on how many others were asked for.
FIXED_BATCH = 8

Latent = NDArray[np.float32]
Label = NDArray[np.int64]


class Sampler:
    """A trained generator, ready to draw items; safe to call from several threads."""

    def __init__(
        self,
        game: Game,
        space: Space,
        generator: nn.Module,
        clusters: Clusters | None = None,
        device: torch.device | None = None,
        batch_size: int = FIXED_BATCH,
    ) -> None:
        self.game, self.space, self.clusters = game, space, clusters
        self.batch_size = batch_size
        self.device = device or torch.device("cpu")
        self.generator = generator.to(self.device).eval()

    def latents(
        self,
        seed: int,
        offset: int,
        count: int,
        truncation: float = 1.0,
        codes: Sequence[Code] | None = None,
    ) -> Latent:
        """Latents [count, width] of the items ``offset`` to ``offset + count - 1``."""
        latent = self.game.latent
        drawn = np.stack([latent.at(seed, offset + index) for index in range(count)])
        truncated = latent.truncate(drawn, truncation)
        return truncated if codes is None else latent.with_codes(truncated, codes)

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
    def draw(self, latents: Latent, labels: Label) -> NDArray[np.generic]:
        """Items [count, ...] for latents and labels.

        Images are uint8 [count, height, width, channels]; points are float32
        [count, dimensions] in the dataset's own units.
        """
        batches = []
        for start in range(0, len(latents), self.batch_size):
            some = slice(start, start + self.batch_size)
            batches.append(self._batch(latents[some], labels[some]))
        return np.concatenate(batches)

    def _batch(self, latents: Latent, labels: Label) -> NDArray[np.generic]:
        missing = self.batch_size - len(latents)
        padded = np.pad(latents, ((0, missing), (0, 0)))
        padded_labels = torch.from_numpy(np.pad(labels, (0, missing))).to(self.device)
        items = self.generator(torch.from_numpy(padded).to(self.device), padded_labels)
        return from_network(items[: len(latents)], self.space)


def from_network(items: torch.Tensor, space: Space) -> NDArray[np.generic]:
    """What a generator returns, as it is stored: the reverse of ``to_network``."""
    if isinstance(space, ImageSpace):
        grey = (items.float() + 1).mul(127.5).round_().clamp_(0, 255).to(torch.uint8)
        stored: NDArray[np.generic] = grey.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        return stored
    points: NDArray[np.generic] = (items.float() * space.scale).cpu().numpy()
    return points
