"""Optimisers, learning-rate schedules and the average of the generator's weights."""

import math
from collections.abc import Iterable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ganmodels.spec import Spec


class Constant(Spec):
    """The learning rate as given."""

    kind: Literal["constant"] = "constant"

    def factor(self, fraction: float) -> float:
        """What to multiply the learning rate by at this fraction of the training."""
        return 1.0


class LinearDecay(Spec):
    """Constant until ``start`` (a fraction of the training), then linear to ``final``."""

    kind: Literal["linear"] = "linear"
    start: float = Field(default=0.5, ge=0, lt=1)
    final: float = Field(default=0.05, ge=0, le=1)

    def factor(self, fraction: float) -> float:
        """What to multiply the learning rate by at this fraction of the training."""
        late = max(0.0, (fraction - self.start) / (1 - self.start))
        return 1 + (self.final - 1) * min(1.0, late)


class CosineDecay(Spec):
    """Half a cosine from 1 to ``final`` over the whole training."""

    kind: Literal["cosine"] = "cosine"
    final: float = Field(default=0.0, ge=0, le=1)

    def factor(self, fraction: float) -> float:
        """What to multiply the learning rate by at this fraction of the training."""
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * min(1.0, fraction))) / 2


Decay = Annotated[Constant | LinearDecay | CosineDecay, Field(discriminator="kind")]


class Adam(Spec):
    """Adam for one network. Source: Kingma & Ba 2015 (arXiv:1412.6980)."""

    learning_rate: float = Field(default=2e-4, gt=0, le=1)
    beta1: float = Field(default=0.5, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Adam:
        """An optimiser whose inner loop is one kernel."""
        betas = (self.beta1, self.beta2)
        return torch.optim.Adam(parameters, lr=self.learning_rate, betas=betas, fused=True)


class Average(Spec):
    """Exponential moving average of a network, counted in images: what users sample and score by.

    The discriminator at any one step is tuned against the generator of that step; scores by it
    swing from step to step, those by its average do not.

    The past loses half of its weight every ``half_life_images`` real images, and sooner at the
    start: until then the average spans the last ``forgetting``-th part of the training.
    """

    half_life_images: int = Field(default=10_000, ge=1, le=10**9)
    forgetting: int = Field(default=9, ge=1, le=1000)

    def retention(self, step: int, images_per_step: int) -> float:
        """How much of the average survives step ``step`` (counted from 1)."""
        settled: float = 0.5 ** (images_per_step / self.half_life_images)
        return min(settled, (1 + step) / (1 + self.forgetting + step))


class Optimisation(Spec):
    """How the two networks learn.

    Each batch is followed back in ``accumulate`` equal parts, so that a large one fits in memory.
    ``precision`` of the forward passes; weights, losses and penalties are float32. Automatic
    means bfloat16 where this processor is faster with it and no penalty asks for more.
    """

    batch_size: int = Field(default=32, ge=2, le=4096)
    accumulate: int = Field(default=1, ge=1, le=64)
    generator: Adam = Adam()
    discriminator: Adam = Adam()
    decay: Decay = Constant()
    average: Average = Average()
    discriminator_average: Average = Average(half_life_images=200_000, forgetting=1)
    precision: Literal["automatic", "float32", "bfloat16"] = "automatic"


class WeightAverage:
    """Keeps ``average`` following ``current``: weights and buffers.

    Counters are copied, and so are singular vectors: the mean of unit vectors is none.
    """

    def __init__(self, average: nn.Module, current: nn.Module) -> None:
        theirs = current.state_dict()
        self._mine: list[Tensor] = []
        self._theirs: list[Tensor] = []
        self._copied: list[tuple[Tensor, Tensor]] = []
        for name, mine in average.state_dict().items():
            if mine.is_floating_point() and not name.endswith(("._u", "._v")):
                self._mine.append(mine)
                self._theirs.append(theirs[name])
            else:
                self._copied.append((mine, theirs[name]))

    @torch.no_grad()
    def update(self, retention: float) -> None:
        """Keep this much of the average, take the rest from the current weights."""
        torch._foreach_lerp_(self._mine, self._theirs, 1 - retention)
        for mine, theirs in self._copied:
            mine.copy_(theirs)
