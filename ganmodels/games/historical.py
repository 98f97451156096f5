"""Historical averaging: players that orbit each other are drawn to where they have been."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ganmodels.types import Scalar


class WeightHistory:
    """The mean of a player's weights over all steps so far; part of a match's state.

    Source: Salimans et al. 2016 (arXiv:1606.03498), section 3.3.
    """

    def __init__(self, weights: Sequence[Tensor]) -> None:
        self._weights = weights
        self._means = [weight.detach().clone() for weight in weights]

    def tensors(self) -> dict[str, Tensor]:
        """The means, by place."""
        return {str(index): mean for index, mean in enumerate(self._means)}

    def distance(self) -> Scalar:
        """Squared distance of the weights to their mean."""
        terms = [
            (weight - mean).square().sum()
            for weight, mean in zip(self._weights, self._means, strict=True)
        ]
        return torch.stack(terms).sum()

    @torch.no_grad()
    def add(self, steps: int) -> None:
        """Take in the weights after step number ``steps``, counted from 1; they began the mean."""
        torch._foreach_lerp_(self._means, list(self._weights), 1 / (steps + 1))
