"""Fixed random convolutions as features: no training, no download, the same everywhere."""

import hashlib
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, conv2d, relu

from ganmodels.referee.features.batching import in_batches, shrunken
from ganmodels.referee.features.errors import FeaturesUnavailable
from ganmodels.spaces import ImageSpace, Space

LONGEST_EDGE = 64
_SEED = 20170626
_WIDTHS = (16, 32, 32)


class RandomConvolutions:
    """224 statistics of three layers of random 3x3 convolutions with ReLU, halved in between.

    Mean and standard deviation of each map of the first two layers, means over quarters of the
    maps of the third. Weights are He normal from PyTorch's CPU generator with a fixed seed.
    Random networks keep texture and coarse layout and know no meaning: Naeem et al. 2020
    (arXiv:2002.09797) use them where pretrained ones are out of their domain.
    """

    kind: ClassVar[Literal["random"]] = "random"
    accuracy: ClassVar[float | None] = None

    def __init__(self, space: Space, device: torch.device) -> None:
        """Raises: FeaturesUnavailable for points."""
        if not isinstance(space, ImageSpace):
            raise FeaturesUnavailable(
                "random_on_points",
                "Random convolutions need images; for points ask for features 'pixels'.",
            )
        self.space, self.device = space, device
        weights = _weights(space.channels)
        # Weights are all that defines it beside the steps of _statistics, which the 1 stands for.
        digest = hashlib.sha256(f"random/1/{LONGEST_EDGE}/".encode())
        for weight in weights:
            digest.update(weight.numpy().tobytes())
        self.sha256 = digest.hexdigest()
        self._weights = [weight.to(device) for weight in weights]

    def of(self, items: NDArray[np.generic]) -> NDArray[np.float32]:
        """Features [n, 224] of stored images."""
        return in_batches(
            items,
            lambda some: self._statistics(shrunken(some, self.space, LONGEST_EDGE, self.device)),
        )

    def labels(self, items: NDArray[np.generic]) -> NDArray[np.int64] | None:
        """None: random weights say nothing of classes."""
        return None

    def _statistics(self, images: Tensor) -> Tensor:
        first, second, third = self._weights
        low = relu(conv2d(images, first, padding=1))
        middle = relu(conv2d(_halved(low), second, padding=1))
        high = relu(conv2d(_halved(middle), third, padding=1))
        deviations = [maps.flatten(2).std(2, correction=0) for maps in (low, middle)]
        means = [maps.flatten(2).mean(2) for maps in (low, middle)]
        return torch.cat([*means, *deviations, adaptive_avg_pool2d(high, 2).flatten(1)], dim=1)


def _weights(channels: int) -> list[Tensor]:
    random = torch.Generator().manual_seed(_SEED)
    inputs = (channels, *_WIDTHS)
    return [
        torch.randn(width, before, 3, 3, generator=random) * (2 / (9 * before)) ** 0.5
        for before, width in zip(inputs, _WIDTHS, strict=False)
    ]


def _halved(maps: Tensor) -> Tensor:
    return avg_pool2d(maps, 2, ceil_mode=True)
