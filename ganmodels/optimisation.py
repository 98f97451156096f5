"""Optimisers, learning-rate schedules and the average of the generator's weights.

Schedules follow three clocks: the step, the share of the training that is over (``fraction``), and
``settled``, which goes from 0 at the start to 1 at the end of the burn-in, along half a cosine.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor, nn

from ganmodels.spec import Spec

Momentum = Annotated[float, Field(ge=0, lt=1)]


class Constant(Spec):
    """The learning rate as given."""

    kind: Literal["constant"] = "constant"

    def factor(self, fraction: float, settled: float = 1.0) -> float:
        """What to multiply the learning rate by at this fraction of the training."""
        return 1.0


class LinearDecay(Spec):
    """Constant until ``start`` (a fraction of the training), then linear to ``final``."""

    kind: Literal["linear"] = "linear"
    start: float = Field(default=0.5, ge=0, lt=1)
    final: float = Field(default=0.05, ge=0, le=1)

    def factor(self, fraction: float, settled: float = 1.0) -> float:
        """What to multiply the learning rate by at this fraction of the training."""
        late = max(0.0, (fraction - self.start) / (1 - self.start))
        return 1 + (self.final - 1) * min(1.0, late)


class CosineDecay(Spec):
    """Half a cosine from 1 to ``final`` over the whole training."""

    kind: Literal["cosine"] = "cosine"
    final: float = Field(default=0.0, ge=0, le=1)

    def factor(self, fraction: float, settled: float = 1.0) -> float:
        """What to multiply the learning rate by at this fraction of the training."""
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * min(1.0, fraction))) / 2


class BurnInDecay(Spec):
    """Half a cosine from 1 to ``final`` while the burn-in lasts, then constant.

    Source: Huang et al. 2024 (arXiv:2501.05441), table 9.
    """

    kind: Literal["burn_in"] = "burn_in"
    final: float = Field(default=0.25, ge=0, le=1)

    def factor(self, fraction: float, settled: float = 1.0) -> float:
        """What to multiply the learning rate by when training has settled so far."""
        return 1 + (self.final - 1) * settled


Decay = Annotated[Constant | LinearDecay | CosineDecay | BurnInDecay, Field(discriminator="kind")]


class Adam(Spec):
    """Adam for one network; ``beta2`` moves to ``final_beta2`` while the burn-in lasts.

    Gradients well below ``epsilon`` move weights less than the learning rate says.
    Source: Kingma & Ba 2015 (arXiv:1412.6980).
    """

    kind: Literal["adam"] = "adam"
    learning_rate: float = Field(default=2e-4, gt=0, le=1)
    beta1: Momentum = 0.5
    beta2: Momentum = 0.999
    final_beta2: Momentum | None = None
    epsilon: float = Field(default=1e-8, gt=0, le=1)

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """An optimiser whose inner loop is one kernel."""
        betas = (self.beta1, self.beta2)
        return torch.optim.Adam(
            parameters, lr=self.learning_rate, betas=betas, eps=self.epsilon, fused=True
        )

    def adjust(
        self, optimiser: torch.optim.Optimizer, step: int, factor: float, settled: float
    ) -> None:
        """Set what the next update uses; ``factor`` multiplies the learning rate."""
        final = self.beta2 if self.final_beta2 is None else self.final_beta2
        beta2 = self.beta2 + (final - self.beta2) * settled
        for group in optimiser.param_groups:
            group.update(lr=self.learning_rate * factor, betas=(self.beta1, beta2))

    def create_state(self, optimiser: torch.optim.Optimizer) -> None:
        """Make the moments, which otherwise begin with the first update, so that they can be
        filled.
        """
        for parameter in _parameters(optimiser):
            optimiser.state[parameter] = {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }


class Sgd(Spec):
    """Gradient descent with momentum, as the first GANs used it.

    The learning rate is divided by ``rate_decay`` at every step, down to ``least_rate``; momentum
    goes from ``momentum`` to ``final_momentum`` in a straight line over ``momentum_ramp_steps``.
    The defaults are those of Goodfellow et al. 2014 (arXiv:1406.2661), in their published code.
    """

    kind: Literal["sgd"] = "sgd"
    learning_rate: float = Field(default=0.1, gt=0, le=10)
    least_rate: float = Field(default=1e-6, ge=0, le=1)
    rate_decay: float = Field(default=1.000004, ge=1, le=2)
    momentum: Momentum = 0.5
    final_momentum: Momentum = 0.7
    momentum_ramp_steps: int = Field(default=125_000, ge=1, le=10**8)

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """An optimiser whose inner loop is one kernel; its buffers exist from the start."""
        rate = self.learning_rate
        optimiser = torch.optim.SGD(parameters, lr=rate, momentum=self.momentum, fused=True)
        self.create_state(optimiser)
        return optimiser

    def adjust(
        self, optimiser: torch.optim.Optimizer, step: int, factor: float, settled: float
    ) -> None:
        """Set what the next update uses; ``factor`` multiplies the learning rate."""
        decayed = self.learning_rate * math.exp(-step * math.log(self.rate_decay))
        rate = max(decayed, min(self.least_rate, self.learning_rate))
        ramp = min(1.0, step / self.momentum_ramp_steps)
        momentum = self.momentum + (self.final_momentum - self.momentum) * ramp
        for group in optimiser.param_groups:
            group.update(lr=rate * factor, momentum=momentum)

    def create_state(self, optimiser: torch.optim.Optimizer) -> None:
        """Make the momentum buffers; starting from zero is the same as starting without."""
        for parameter in _parameters(optimiser):
            optimiser.state[parameter] = {"momentum_buffer": torch.zeros_like(parameter)}


def _parameters(optimiser: torch.optim.Optimizer) -> Iterator[nn.Parameter]:
    for group in optimiser.param_groups:
        yield from group["params"]


def _adam_unless_said(value: Any) -> Any:
    """Configurations that were written before there was a choice name no kind."""
    return {"kind": "adam", **value} if isinstance(value, dict) else value


Optimiser = Annotated[Adam | Sgd, Field(discriminator="kind"), BeforeValidator(_adam_unless_said)]


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
    ``precision`` of the passes through networks; weights and losses are float32. Automatic means
    bfloat16 for images where this processor is faster with it; what looks through updates of the
    discriminator is always float32.
    ``burn_in_images`` is how many real images the schedules that settle take for it; 0 means that
    they start at their final values.
    """

    batch_size: int = Field(default=32, ge=2, le=4096)
    accumulate: int = Field(default=1, ge=1, le=64)
    generator: Optimiser = Adam()
    discriminator: Optimiser = Adam()
    decay: Decay = Constant()
    average: Average = Average()
    discriminator_average: Average = Average(half_life_images=200_000, forgetting=1)
    precision: Literal["automatic", "float32", "bfloat16"] = "automatic"
    burn_in_images: int = Field(default=0, ge=0, le=10**10)

    def settled(self, images: int) -> float:
        """How far the burn-in has come after so many real images, from 0 to 1."""
        if not self.burn_in_images:
            return 1.0
        return (1 - math.cos(math.pi * min(1.0, images / self.burn_in_images))) / 2


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
