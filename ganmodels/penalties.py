"""Gradient penalties: what keeps the discriminator smooth. All are second order and run in fp32.

To add one: write the class here and add its name to ``Penalty``.
"""

from typing import Annotated, ClassVar, Literal, NamedTuple, Protocol

import torch
from pydantic import Field
from torch import Tensor

from ganmodels.spec import Spec
from ganmodels.types import Items, Logits, Scalar


class Critic(Protocol):
    """The discriminator as a function of items alone: labels and augmentation are bound."""

    def __call__(self, items: Items) -> Logits:
        """One logit per item."""


class Judged(NamedTuple):
    """One discriminator step as a penalty sees it.

    ``real`` and ``fake`` are leaves that require grad; the logits were computed from them.
    """

    real: Items
    fake: Items
    real_logits: Logits
    fake_logits: Logits
    critic: Critic
    random: torch.Generator


def squared_gradient_norm(logits: Logits, items: Items) -> Logits:
    """|d logit / d item|^2 per item, differentiable once more.

    Raises:
        RuntimeError: when the gradient was cut off from the graph, in which case a penalty
            would silently do nothing (seen with compiled graphs, pytorch issue 181581).
    """
    (gradient,) = torch.autograd.grad(logits.sum(), items, create_graph=True)
    if not gradient.requires_grad:
        raise RuntimeError("the penalty's gradient has no graph: it would have no effect")
    return gradient.float().square().flatten(1).sum(1)


class _ZeroCentred(Spec):
    gamma: float = Field(default=1.0, gt=0, le=1e4)
    every: int = Field(default=1, ge=1, le=64)
    keeps_lipschitz: ClassVar[bool] = False

    def _value(self, logits: Logits, items: Items) -> Scalar:
        # A lazy penalty is scaled by its interval, so that its mean strength stays the same.
        return self.every * self.gamma / 2 * squared_gradient_norm(logits, items).mean()


class R1(_ZeroCentred):
    """gamma/2 |grad D(x)|^2 on real items. Source: Mescheder et al. 2018 (arXiv:1801.04406)."""

    kind: Literal["r1"] = "r1"

    def __call__(self, judged: Judged) -> Scalar:
        """The penalty, mean over the batch."""
        return self._value(judged.real_logits, judged.real)


class R2(_ZeroCentred):
    """gamma/2 |grad D(G(z))|^2 on fakes. Source: Mescheder et al. 2018 (arXiv:1801.04406)."""

    kind: Literal["r2"] = "r2"

    def __call__(self, judged: Judged) -> Scalar:
        """The penalty, mean over the batch."""
        return self._value(judged.fake_logits, judged.fake)


class OneCentred(Spec):
    """weight * (|grad D| - 1)^2 between reals and fakes, one mixing ratio per item.

    Source: Gulrajani et al. 2017 (arXiv:1704.00028), equation 3.
    """

    kind: Literal["one_centred"] = "one_centred"
    weight: float = Field(default=10.0, gt=0, le=1e4)
    every: int = Field(default=1, ge=1, le=64)
    keeps_lipschitz: ClassVar[bool] = True

    def __call__(self, judged: Judged) -> Scalar:
        """The penalty, mean over the batch."""
        between = _interpolate(judged.real, judged.fake, judged.random)
        norm = squared_gradient_norm(judged.critic(between), between).add(1e-12).sqrt()
        return self.every * self.weight * (norm - 1).square().mean()


def _interpolate(real: Tensor, fake: Tensor, random: torch.Generator) -> Tensor:
    shape = (len(real), *[1] * (real.ndim - 1))
    ratio = torch.rand(shape, generator=random, device=real.device)
    return torch.lerp(real.detach(), fake.detach(), ratio).requires_grad_(True)


Penalty = Annotated[R1 | R2 | OneCentred, Field(discriminator="kind")]
