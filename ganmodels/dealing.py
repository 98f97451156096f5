"""Dealing: from a dataset and a configuration to the batches that a game is played with."""

import numpy as np
import torch
from numpy.typing import NDArray

from ganmodels.config import TrainConfig
from ganmodels.data.batches import Batches, Deck
from ganmodels.data.packed import PackedDataset
from ganmodels.data.subset import labelled_subset
from ganmodels.games import SemiSupervised
from ganmodels.labels import Clusters, labels_of


def deal(
    config: TrainConfig,
    dataset: PackedDataset,
    source: PackedDataset | None,
    clusters: Clusters | None,
    device: torch.device,
) -> Deck:
    """Batches of the training splits; what is held out is never dealt."""
    training = dataset.training_indices
    if not isinstance(config.game, SemiSupervised):
        labels = labels_of(dataset, training, clusters)
        real = _batches(config, dataset, training, labels, device)
        if source is None:
            return Deck(real.at)
        # What the generator is given has no labels: there is one kind of them, the dataset's.
        given = _batches(config, source, source.training_indices, None, device, "source order")
        return Deck(real.at, given.at)
    chosen, labels = labelled_of(config, dataset)
    known = _batches(config, dataset, chosen, labels, device, "labelled")
    # Without any labels: nobody can look at one by mistake.
    return Deck(_batches(config, dataset, training, None, device).at, labelled=known.at)


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
) -> Batches:
    size, seed = config.optimisation.batch_size, config.seed
    items = dataset.items[indices]
    return Batches(items, labels, config.space, size, seed, device, purpose)
