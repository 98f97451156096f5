"""The panel: fixed items and inputs on which a match is watched, the same from first to last."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ganmodels.data.batches import to_network
from ganmodels.data.packed import PackedDataset
from ganmodels.games import Game
from ganmodels.latents import philox
from ganmodels.spaces import ImageSpace, Space
from ganmodels.types import Items, Vectors

_IMAGES, _POINTS = 128, 256
_MOST_NEIGHBOURS, _MOST_CLUSTERED = 2_000, 5_000
_IMAGE_GROUPS, _POINT_GROUPS, _ITEMS_PER_GROUP = 20, 8, 20
_STARTS, _ITERATIONS = 3, 20
_EDGE = 16
# Whole images are large: so many are in memory at a time.
_BLOCK = 250
# A stream that no sample is drawn from.
_SEED = 0


class Panel(NamedTuple):
    """Indices of training items and of held-out ones, the inputs whose fakes are watched, and
    centres [k, values] of groups of items, found among thumbnails.

    Inputs are latents, or stored items of the source.

    Fakes are asked for under the labels of the training items, so that both have the same mix.
    """

    training: Tensor
    held_out: Tensor
    neighbours: Tensor
    inputs: Tensor
    centres: Tensor

    @classmethod
    def choose(
        cls, dataset: PackedDataset, game: Game, source: PackedDataset | None = None
    ) -> "Panel":
        """The panel of a dataset, a game and its source if it has one: equal for equal ones."""
        space, random = dataset.manifest.space, philox(_SEED, 0)
        count = _IMAGES if isinstance(space, ImageSpace) else _POINTS
        training = random.permutation(dataset.training_indices)
        held_out = random.permutation(dataset.held_out)[:count]
        inputs = game.inputs(source)
        assert inputs is not None, "this game is watched on items of its source"
        thumbs = thumbnails_of(dataset, np.sort(training[:_MOST_CLUSTERED]))
        return cls(
            torch.from_numpy(np.resize(training, count)),
            # In the order drawn: the first of them are judged, and datasets are often sorted.
            torch.from_numpy(held_out),
            torch.from_numpy(np.sort(training[:_MOST_NEIGHBOURS])),
            torch.from_numpy(inputs.at(_SEED, 0, count)),
            _centres(thumbs, space),
        )


def thumbnails_of(dataset: PackedDataset, indices: NDArray[np.int64]) -> Vectors:
    """Thumbnails of stored items."""
    space, cpu = dataset.manifest.space, torch.device("cpu")
    blocks = np.array_split(indices, max(1, -(-len(indices) // _BLOCK)))
    return torch.cat([thumbnails(to_network(dataset.items[b], space, cpu)) for b in blocks])


def thumbnails(items: Items) -> Vectors:
    """Items as the networks see them, as vectors: images at 16 pixels a side at most."""
    if items.dim() == 4:
        edges = (min(_EDGE, items.shape[2]), min(_EDGE, items.shape[3]))
        items = adaptive_avg_pool2d(items, edges)
    return items.flatten(1).float()


def _centres(thumbs: Vectors, space: Space) -> Tensor:
    """Centres of groups of 20 thumbnails or more; one when all are equal."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    wanted = _IMAGE_GROUPS if isinstance(space, ImageSpace) else _POINT_GROUPS
    distinct = len(torch.unique(thumbs, dim=0))
    count = max(1, min(wanted, len(thumbs) // _ITEMS_PER_GROUP, distinct))
    means = KMeans(count, n_init=_STARTS, max_iter=_ITERATIONS, random_state=0)
    with threadpool_limits(torch.get_num_threads()):
        means.fit(thumbs.numpy())
    return torch.from_numpy(means.cluster_centers_.astype(np.float32))
