"""What the discriminator sees of real images: augmented, they should still look like some."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ganmodels.augmentation import NoAugmentation
from ganmodels.config import TrainConfig
from ganmodels.data.batches import stream, to_network
from ganmodels.data.errors import DataError
from ganmodels.data.spread import evenly
from ganmodels.rendering import as_png, picture
from ganmodels.sampling import from_network
from ganmodels.spaces import ImageSpace
from worker.errors import NotFound
from worker.store import Store

COLUMNS, _DRAWS = 8, 3
_CPU = torch.device("cpu")


@torch.inference_mode()
def augmented_png(store: Store, config: TrainConfig, metrics: Mapping[str, Any]) -> bytes | None:
    """A row of training images, and rows of what the discriminator sees of them.

    ``metrics`` are the newest, which say how strongly it is done where that varies. None where
    nothing is augmented, for points, and where the dataset cannot be read.
    """
    augmentation, space = config.game.augmentation, config.space
    if isinstance(augmentation, NoAugmentation) or not isinstance(space, ImageSpace):
        return None
    try:
        dataset = store.datasets.get(config.dataset)
    except (NotFound, DataError):
        return None
    reals = to_network(dataset.items[evenly(dataset.training_indices, COLUMNS)], space, _CPU)
    told = metrics.get("augmentation_strength")
    known = isinstance(told, float) and math.isfinite(told)
    strength = torch.tensor(told) if known else None
    random = torch.Generator()
    seen = [
        augmentation(reals, stream(config.seed, "report", draw, random), strength)
        for draw in range(_DRAWS)
    ]
    shown = np.concatenate([from_network(rows, space) for rows in (reals, *seen)])
    return as_png(picture(shown, space, len(reals)))
