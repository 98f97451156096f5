"""Dealing: from a dataset and a configuration to the batches that a game is played with."""

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from ganmodels.config import TrainConfig
from ganmodels.data.batches import Batches, Deck
from ganmodels.data.packed import PackedDataset
from ganmodels.data.shelves import place
from ganmodels.data.subset import labelled_subset
from ganmodels.games import SemiSupervised
from ganmodels.labels import Clusters, labels_of
from ganmodels.several import WHOLE, Share


def deal(
    config: TrainConfig,
    dataset: PackedDataset,
    source: PackedDataset | None,
    clusters: Clusters | None,
    device: torch.device,
    share: Share = WHOLE,
) -> Deck:
    """Batches of the training splits, or a share of each; what is held out is never dealt."""
    training = dataset.training_indices
    batches = partial(_batches, config, device=device, share=share)
    if not isinstance(config.game, SemiSupervised):
        labels = labels_of(dataset, training, clusters)
        real = batches(dataset, training, labels)
        if source is None:
            return Deck(real.at)
        # What the generator is given has no labels: there is one kind of them, the dataset's.
        given = batches(source, source.training_indices, None, purpose="source order")
        return Deck(real.at, given.at)
    chosen, labels = labelled_of(config, dataset)
    known = batches(dataset, chosen, labels, purpose="labelled")
    # Without any labels: nobody can look at one by mistake.
    return Deck(batches(dataset, training, None).at, labelled=known.at)


def labelled_of(
    config: TrainConfig, dataset: PackedDataset
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the items whose labels a semi-supervised game may look at, and their labels.

    Raises:
        TooFewLabelled: when a class has not so many.
    """
    game = config.game
    assert isinstance(game, SemiSupervised)
    assert dataset.labels is not None, "validity refuses datasets without labels"
    training = dataset.training_indices
    labels = np.array(dataset.labels[training])
    classes = len(config.space.classes)
    places = labelled_subset(labels, classes, game.labelled_per_class, config.seed)
    return training[places], labels[places]


def _batches(
    config: TrainConfig,
    dataset: PackedDataset,
    indices: NDArray[np.int64],
    labels: NDArray[np.int64] | None,
    device: torch.device,
    purpose: str = "order",
    share: Share = WHOLE,
) -> Batches:
    size, seed = config.optimisation.batch_size, config.seed
    items = dataset.items[indices]
    where = place(items.nbytes, device, config.engine.data)
    return Batches(items, labels, config.space, size, seed, device, purpose, share, where)
