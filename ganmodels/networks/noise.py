"""Layers that draw at random in training, from the match's own stream: a match resumes exactly."""

import torch
from torch import Tensor, nn

from ganmodels.draws import even, normal


class Noise(nn.Module):
    """A layer that is the identity in evaluation. The match sets ``random`` before it trains."""

    random: torch.Generator | None = None

    def forward(self, values: Tensor) -> Tensor:
        """The same shape."""
        return self.disturbed(values) if self.training else values

    def disturbed(self, values: Tensor) -> Tensor:
        """What becomes of values in training."""
        raise NotImplementedError


class GaussianNoise(Noise):
    """Adds noise of a standard deviation. Source: Salimans et al. 2016 (arXiv:1606.03498)."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation

    def disturbed(self, values: Tensor) -> Tensor:
        """Values with noise."""
        noise = normal(values.shape, self.random, values.device)
        return values + self.deviation * noise.to(values.dtype)


class Dropout(Noise):
    """Keeps each value with probability ``kept`` and scales it by 1 / kept."""

    def __init__(self, kept: float) -> None:
        super().__init__()
        self.kept = kept

    def disturbed(self, values: Tensor) -> Tensor:
        """Values, some of them 0."""
        draws = even(values.shape, self.random, values.device)
        return values * (draws < self.kept).to(values.dtype) / self.kept


def listen(network: nn.Module, random: torch.Generator) -> None:
    """Let every layer that draws do so from this generator."""
    for module in network.modules():
        if isinstance(module, Noise):
            module.random = random
