"""A freshly trained critic: can a network that never played tell fakes from reals?"""

from copy import deepcopy
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from ganmodels.referee.features.batching import in_batches, shrunken
from ganmodels.referee.judges import LONGEST_EDGE, Judge, new_judge, step, values_per_item
from ganmodels.referee.measures.estimate import Estimate, share
from ganmodels.spaces import Space

_BATCH = 64
_LEARNING_RATE = 1e-3
_VALIDATION_SHARE = 0.2
_MOST_ITEMS = 8_000
_MOST_ROUNDS = 20
_FEWEST_ROUNDS = 2
_FEWEST_STEPS = 32
_PATIENCE = 4
_SURE_LOSS = 0.01
_FAR = 100.0
# Twenty passes over 2,000 images of 28x28.
_MOST_VALUES = 40_000 * 28 * 28

Items = NDArray[np.generic]
_CPU = torch.device("cpu")


class Examples(NamedTuple):
    """Stored items of a space [n, ...] and whether each is real [n], 0 or 1."""

    space: Space
    items: Items
    labels: Tensor

    @classmethod
    def of(cls, space: Space, fakes: Items, reals: Items) -> "Examples":
        """Fakes, then reals."""
        labels = torch.cat([torch.zeros(len(fakes)), torch.ones(len(reals))]).long()
        return cls(space, np.concatenate([fakes, reals]), labels)

    def at(self, chosen: Tensor) -> "Examples":
        """Those at some indices."""
        return self._replace(items=self.items[chosen.numpy()], labels=self.labels[chosen])

    def seen(self) -> Tensor:
        """The items as a critic sees them; points beyond 100 scales are far enough as they are."""
        return shrunken(self.items, self.space, LONGEST_EDGE, _CPU).clamp(-_FAR, _FAR)


def critic_accuracy(training: Examples, unseen: Examples, seed: int) -> Estimate:
    """Share of unseen items that a critic judges rightly; half: not to be told apart.

    The classifier two-sample test: under the null it is N(1/2, 1 / (4 n)). The critic is the
    referee's small network on images of at most 64 pixels, trained on at most 8,000 items for at
    most 20 rounds of a pass, or of the passes that make 32 steps. It is kept as it was after the
    round with the least loss on a fifth of its items. At least 8 training items. The error is
    sqrt(p (1 - p) / n). Source: Lopez-Paz and Oquab 2017 (arXiv:1610.06545, section 3).
    """
    random = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(training.labels), generator=random)[:_MOST_ITEMS]
    held = max(2, round(_VALIDATION_SHARE * len(order)))
    critic = _train(training.at(order[held:]), training.at(order[:held]), random)
    return share(torch.from_numpy(_logits(critic, unseen)).argmax(1) == unseen.labels)


def _train(training: Examples, validation: Examples, random: torch.Generator) -> Judge:
    """The critic after the round with the least validation loss."""
    critic = new_judge(training.space, 2, random)
    optimiser = torch.optim.Adam(critic.parameters(), _LEARNING_RATE)
    least, kept, waited = torch.inf, critic, 0
    # A pass over few items is too little to learn from before patience ends.
    passes = -(-_FEWEST_STEPS // -(-len(training.labels) // _BATCH))
    for _ in range(_rounds(training, passes)):
        for _ in range(passes):
            _pass(critic, optimiser, training, random)
        loss = _loss(critic, validation)
        waited += 1
        if loss < least:
            least, kept, waited = loss, deepcopy(critic), 0
        if waited == _PATIENCE or loss < _SURE_LOSS:
            break
    return kept


def _rounds(training: Examples, passes: int) -> int:
    values_per_round = values_per_item(training.space) * len(training.labels) * passes
    return max(_FEWEST_ROUNDS, min(_MOST_ROUNDS, _MOST_VALUES // values_per_round))


def _pass(
    critic: Judge, optimiser: torch.optim.Optimizer, training: Examples, random: torch.Generator
) -> None:
    critic.train()
    for chosen in torch.randperm(len(training.labels), generator=random).split(_BATCH):
        # One image of a few pixels has no variance to normalise by.
        if len(chosen) > 1:
            batch = training.at(chosen)
            step(critic, optimiser, batch.seen(), batch.labels)


def _loss(critic: Judge, examples: Examples) -> float:
    return float(cross_entropy(torch.from_numpy(_logits(critic, examples)), examples.labels))


def _logits(critic: Judge, examples: Examples) -> NDArray[np.float32]:
    critic.eval()
    return in_batches(examples.items, lambda some: critic(examples._replace(items=some).seen()))
