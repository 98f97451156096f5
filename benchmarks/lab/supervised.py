"""What a few labels are worth without all the rest: baselines of semi-supervised learning."""

import numpy as np
import torch
from numpy.typing import NDArray

from ganmodels.config import TrainConfig
from ganmodels.data.packed import PackedDataset
from ganmodels.dealing import deal, labelled_of
from ganmodels.games import SemiSupervised
from ganmodels.games.semi_supervised import supervised_loss
from ganmodels.networks.discriminator import Discriminator
from ganmodels.networks.noise import listen

_STEPS, _LEARNING_RATE = 1_000, 3e-3
_COMPARED_AT_ONCE = 1_000


def nearest_labelled(
    config: TrainConfig, dataset: PackedDataset, images: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """Labels [n] of the labelled items that are nearest to images [n, ...] in pixels."""
    chosen, labels = labelled_of(config, dataset)
    known = _flat(dataset.items[chosen])
    nearest = [
        torch.cdist(some, known).argmin(1) for some in _flat(images).split(_COMPARED_AT_ONCE)
    ]
    return labels[torch.cat(nearest).numpy()]


def classifier_of_labels_alone(
    config: TrainConfig, dataset: PackedDataset, steps: int = _STEPS
) -> Discriminator:
    """The game's discriminator, with its noise, trained on the labelled items and nothing else."""
    game = config.game
    assert isinstance(game, SemiSupervised)
    torch.manual_seed(config.seed)
    discriminator = game.discriminator(config.space)
    listen(discriminator, torch.Generator().manual_seed(config.seed))
    labelled = deal(config, dataset, None, None, torch.device("cpu")).labelled
    assert labelled is not None
    learning = [weight for weight in discriminator.parameters() if weight.requires_grad]
    optimiser = torch.optim.Adam(learning, lr=_LEARNING_RATE)
    decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, steps)
    for step in range(steps):
        items, labels = labelled(step)
        loss = supervised_loss(discriminator.classify(items), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        decay.step()
    return discriminator.eval()


def _flat(items: NDArray[np.generic]) -> torch.Tensor:
    return torch.from_numpy(np.array(items).reshape(len(items), -1)).float()
