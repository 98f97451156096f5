"""Gradient penalties: what keeps the discriminator smooth. All are second order.

To add one: write the class here and add its name to ``Penalty``.
"""

from typing import Annotated, ClassVar, Literal, NamedTuple, Protocol

import torch
from pydantic import Field

from ganmodels.draws import even
from ganmodels.spec import Spec
from ganmodels.types import Items, Logits, Scalar

Gamma = Annotated[float, Field(gt=0, le=1e4)]


class Critic(Protocol):
    """The discriminator as a function of items alone: labels and augmentation are bound."""

    def __call__(self, items: Items) -> Logits:
        """One logit per item, or per pack of consecutive items."""


class Judged(NamedTuple):
    """One discriminator step as a penalty sees it.

    ``real`` and ``fake`` are leaves that require grad; the logits were computed from them, each
    from one item or from a pack of consecutive ones. ``settled`` goes from 0 at the start of
    training to 1 when the burn-in is over.
    """

    real: Items
    fake: Items
    real_logits: Logits
    fake_logits: Logits
    critic: Critic
    random: torch.Generator
    settled: float = 1.0


def squared_gradient_norm(logits: Logits, items: Items) -> Logits:
    """|d logit / d items|^2 per logit, over all items it was computed from; differentiable.

    Raises:
        ValueError: when the items do not divide evenly among the logits.
        RuntimeError: when the gradient was cut off from the graph, in which case a penalty
            would silently do nothing (seen with compiled graphs, pytorch issue 181581).
    """
    _items_per_logit(logits, items)
    (gradient,) = torch.autograd.grad(logits.sum(), items, create_graph=True)
    if not gradient.requires_grad:
        raise RuntimeError("the penalty's gradient has no graph: it would have no effect")
    return gradient.float().square().reshape(len(logits), -1).sum(1)


def _items_per_logit(logits: Logits, items: Items) -> int:
    if len(items) % len(logits):
        raise ValueError(f"{len(items)} items do not make {len(logits)} packs of one size")
    return len(items) // len(logits)


class _ZeroCentred(Spec):
    """``gamma`` moves to ``final_gamma``, where there is one, while the burn-in lasts."""

    gamma: Gamma = 1.0
    final_gamma: Gamma | None = None
    every: int = Field(default=1, ge=1, le=64)
    keeps_lipschitz: ClassVar[bool] = False

    def _value(self, logits: Logits, items: Items, settled: float) -> Scalar:
        final = self.gamma if self.final_gamma is None else self.final_gamma
        gamma = final + (self.gamma - final) * (1 - settled)
        # A lazy penalty is scaled by its interval, so that its mean strength stays the same.
        return self.every * gamma / 2 * squared_gradient_norm(logits, items).mean()


class R1(_ZeroCentred):
    """gamma/2 |grad D(x)|^2 on real items. Source: Mescheder et al. 2018 (arXiv:1801.04406)."""

    kind: Literal["r1"] = "r1"

    def __call__(self, judged: Judged) -> Scalar:
        """The penalty, mean over the batch."""
        return self._value(judged.real_logits, judged.real, judged.settled)


class R2(_ZeroCentred):
    """gamma/2 |grad D(G(z))|^2 on fakes. Source: Mescheder et al. 2018 (arXiv:1801.04406)."""

    kind: Literal["r2"] = "r2"

    def __call__(self, judged: Judged) -> Scalar:
        """The penalty, mean over the batch."""
        return self._value(judged.fake_logits, judged.fake, judged.settled)


class _UnitSlope(Spec):
    weight: float = Field(default=10.0, gt=0, le=1e4)
    every: int = Field(default=1, ge=1, le=64)

    def _value(self, critic: Critic, items: Items) -> Scalar:
        norm = squared_gradient_norm(critic(items), items).add(1e-12).sqrt()
        return self.every * self.weight * (norm - 1).square().mean()


class OneCentred(_UnitSlope):
    """weight * (|grad D| - 1)^2 between reals and fakes, one mixing ratio per logit.

    Source: Gulrajani et al. 2017 (arXiv:1704.00028), equation 3.
    """

    kind: Literal["one_centred"] = "one_centred"
    keeps_lipschitz: ClassVar[bool] = True

    def __call__(self, judged: Judged) -> Scalar:
        """The penalty, mean over the batch."""
        return self._value(judged.critic, _between(judged))


class Dragan(_UnitSlope):
    """weight * (|grad D| - 1)^2 at reals with noise: x + spread * std(x) * U(-1, 1).

    The standard deviation is that of all values of the batch. Smooth around the data alone, D
    is not held to a slope elsewhere. Source: Kodali et al. 2017 (arXiv:1705.07215), section 2.3;
    the spread and the uniform noise are those of its experiments.
    """

    kind: Literal["dragan"] = "dragan"
    spread: float = Field(default=0.5, gt=0, le=10)
    keeps_lipschitz: ClassVar[bool] = False

    def __call__(self, judged: Judged) -> Scalar:
        """The penalty, mean over the batch."""
        real = judged.real.detach()
        random = even(real.shape, judged.random, real.device)
        noise = self.spread * real.std() * (2 * random - 1)
        return self._value(judged.critic, (real + noise).requires_grad_(True))


def _between(judged: Judged) -> Items:
    """Points between reals and fakes; the items of one pack are mixed with one ratio."""
    real, fake, logits = judged.real.detach(), judged.fake.detach(), judged.real_logits
    shape = (len(logits), *[1] * (real.ndim - 1))
    ratio = even(shape, judged.random, real.device)
    ratio = ratio.repeat_interleave(_items_per_logit(logits, real), dim=0)
    return torch.lerp(real, fake, ratio).requires_grad_(True)


Penalty = Annotated[R1 | R2 | OneCentred | Dragan, Field(discriminator="kind")]
