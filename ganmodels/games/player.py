"""A player: one network in training, the average of its weights, and its optimiser."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from ganmodels.optimisation import Average, Optimiser, WeightAverage
from ganmodels.several import ALONE, Group
from ganmodels.types import Scalar

Told = dict[str, Scalar]


class Player:
    """A network that learns. ``average`` is what users sample and score by.

    Weights that require no gradient stay as they are: nobody thaws what was frozen for good. The
    processes of a ``group`` learn together, by the mean of their gradients.
    """

    def __init__(
        self, network: nn.Module, rule: Optimiser, average: Average, group: Group = ALONE
    ) -> None:
        self.network, self.rule, self._average = network, rule, average
        self.group = group
        self.average = copy.deepcopy(network).requires_grad_(False).eval()
        self._averaging = WeightAverage(self.average, network)
        self.weights = [p for p in network.parameters() if p.requires_grad]
        self.optimiser = rule.build(self.weights)

    def adjust(self, step: int, factor: float, settled: float) -> None:
        """Set what the next update uses; ``factor`` multiplies the learning rate."""
        self.rule.adjust(self.optimiser, step, factor, settled)

    def learn(self, losses: Iterable[tuple[Scalar, Told]], count: int) -> tuple[Told, Scalar]:
        """One update by the mean of ``count`` losses, as ``descend``.

        Returns the mean of the figures that come with them, and the norm of the gradient.
        """
        told: list[Told] = []
        norm = self.descend(noted(losses, told), count)
        return mean_of(told), norm

    def descend(self, losses: Iterable[Scalar], count: int) -> Scalar:
        """One update by the mean of ``count`` losses. Returns the norm of its gradient."""
        return descend_together([self], losses, count)

    def move(self) -> Scalar:
        """One update by the gradients that the weights hold. Returns their norm."""
        return _move([self])

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
        """Make what begins with the first update otherwise, so that it can be filled."""
        self.rule.create_state(self.optimiser)


def descend_together(players: Sequence[Player], losses: Iterable[Scalar], count: int) -> Scalar:
    """One update of all players by the mean of ``count`` losses. Returns the gradient's norm.

    Each loss is followed back before the next is taken, so that one graph is in memory.
    """
    for player in players:
        player.optimiser.zero_grad(set_to_none=True)
    for loss in losses:
        (loss / count).backward()
    return _move(players)


def _move(players: Sequence[Player]) -> Scalar:
    weights = [weight for player in players for weight in player.weights]
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    players[0].group.average(gradients)
    norm = get_total_norm(gradients)
    for player in players:
        player.optimiser.step()
    return norm


def noted(losses: Iterable[tuple[Scalar, Told]], told: list[Told]) -> Iterator[Scalar]:
    """The losses alone; the figures that come with them are added to ``told``."""
    for loss, figures in losses:
        told.append({name: figure.detach() for name, figure in figures.items()})
        yield loss


def mean_of(told: list[Told]) -> Told:
    """Figures of the parts of a batch, as figures of the batch."""
    if len(told) == 1:
        return told[0]
    return {name: torch.stack([one[name] for one in told]).mean() for name in told[0]}
