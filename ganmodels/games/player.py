"""A player: one network in training, the average of its weights, and its optimiser."""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from ganmodels.optimisation import Average, Optimiser, WeightAverage
from ganmodels.types import Scalar


class Player:
    """A network that learns. ``average`` is what users sample and score by.

    Weights that require no gradient stay as they are: nobody thaws what was frozen for good.
    """

    def __init__(self, network: nn.Module, adam: Optimiser, average: Average) -> None:
        self.network, self._adam, self._average = network, adam, average
        self.average = copy.deepcopy(network).requires_grad_(False).eval()
        self._averaging = WeightAverage(self.average, network)
        self.weights = [p for p in network.parameters() if p.requires_grad]
        self.optimiser = adam.build(self.weights)

    def set_rate(self, factor: float) -> None:
        """Learn at this multiple of the rate that was asked for."""
        self.optimiser.param_groups[0]["lr"] = self._adam.learning_rate * factor

    def descend(self, losses: Iterable[Scalar], count: int) -> Scalar:
        """One update by the mean of ``count`` losses. Returns the norm of its gradient.

        Each loss is followed back before the next is taken, so that one graph is in memory.
        """
        self.optimiser.zero_grad(set_to_none=True)
        for loss in losses:
            (loss / count).backward()
        norm = get_total_norm([p.grad for p in self.weights if p.grad is not None])
        self.optimiser.step()
        return norm

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Gradients pass through the network and none is computed for it: a tenth is saved."""
        for weight in self.weights:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in self.weights:
                weight.requires_grad_(True)

    def follow(self, step: int, images_per_step: int) -> None:
        """Let the average follow what was learned in step ``step``."""
        self._averaging.update(self._average.retention(step, images_per_step))

    def moments(self) -> dict[str, Tensor]:
        """The optimiser's state, by place and name."""
        return {
            f"{index}/{key}": value
            for index, weight in enumerate(self.weights)
            for key, value in self.optimiser.state.get(weight, {}).items()
        }

    def create_moments(self) -> None:
        """Adam makes its moments at the first update; they must exist to be filled."""
        for weight in self.weights:
            self.optimiser.state[weight] = {
                "step": torch.zeros((), device=weight.device),
                "exp_avg": torch.zeros_like(weight),
                "exp_avg_sq": torch.zeros_like(weight),
            }
