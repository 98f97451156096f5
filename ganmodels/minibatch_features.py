"""Features that tell the discriminator about an item's batch, so that it can see a collapse.

Each specification builds a module: (features [batch, width], company) to
[batch, width + extra]. In training ``company`` is None and an item's company is its batch. A score
must not depend on who else was asked for, so when scoring each item is judged by itself among
``company`` [count, width], the features of fixed items.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ganmodels.spec import Spec


class MinibatchLayer(nn.Module):
    """Adds nothing. ``extra`` counts the features that a subclass adds."""

    extra = 0

    def forward(self, features: Tensor, company: Tensor | None) -> Tensor:
        """[batch, width] to [batch, width + extra]."""
        return features


class NoMinibatchFeatures(Spec):
    """Each item by itself."""

    kind: Literal["none"] = "none"
    compares_items: ClassVar[bool] = False

    def build(self, width: int) -> MinibatchLayer:
        """A module for features of this width."""
        return MinibatchLayer()


class MinibatchStddev(Spec):
    """One more feature: the mean, over features, of their deviation within a group of the batch.

    Groups are strided: item i is in group i mod (batch // group). They hold ``group`` items or,
    where it does not divide the batch, up to twice as many. When scoring, company forms as many
    groups of ``group - 1`` as it can, the item joins each, and the feature is the mean of theirs.
    Source: Karras et al. 2018 (arXiv:1710.10196), section 3.
    """

    kind: Literal["minibatch_stddev"] = "minibatch_stddev"
    compares_items: ClassVar[bool] = True
    group: int = Field(default=4, ge=2, le=256)

    def build(self, width: int) -> MinibatchLayer:
        """A module for features of this width."""
        return StddevLayer(self.group)


class MinibatchDiscrimination(Spec):
    """For each of ``kernels`` a feature that says how close the others of the batch are.

    M_i = T f(x_i) is a matrix [kernels, dimensions], and the features are the sums over j of
    exp(-|M_i - M_j|_1), each row of M by itself; an item counts itself, which adds 1. A sum grows
    with the batch, so company should hold one item less than a batch of the training. Takes
    batch^2 * kernels * dimensions operations, and as many numbers of memory.
    Source: Salimans et al. 2016 (arXiv:1606.03498), section 3.2.
    """

    kind: Literal["minibatch_discrimination"] = "minibatch_discrimination"
    compares_items: ClassVar[bool] = True
    kernels: int = Field(default=100, ge=1, le=512)
    dimensions: int = Field(default=5, ge=1, le=64)

    def build(self, width: int) -> MinibatchLayer:
        """A module for features of this width."""
        return DiscriminationLayer(width, self.kernels, self.dimensions)


class _StatisticLayer(MinibatchLayer):
    def forward(self, features: Tensor, company: Tensor | None) -> Tensor:
        """[batch, width] to [batch, width + extra], in float32 or better."""
        # Differences of like items would be lost in bfloat16.
        with _full_precision(features.device):
            features = features.to(torch.promote_types(features.dtype, torch.float32))
            added = self.within(features) if company is None else self.among(features, company)
            return torch.cat([features, added], dim=1)

    def within(self, features: Tensor) -> Tensor:
        """The extra features [batch, extra] of items whose company is their batch."""
        raise NotImplementedError

    def among(self, features: Tensor, company: Tensor) -> Tensor:
        """The extra features [batch, extra] of items, each by itself among the company."""
        raise NotImplementedError


def _full_precision(device: torch.device) -> AbstractContextManager[object]:
    # The meta device, on which costs are counted, has no precision to choose.
    if device.type == "meta":
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


class StddevLayer(_StatisticLayer):
    """See ``MinibatchStddev``."""

    extra = 1

    def __init__(self, group: int) -> None:
        super().__init__()
        self.group = group

    def within(self, features: Tensor) -> Tensor:
        """The spread of each item's group, [batch, 1]."""
        groups = max(1, len(features) // self.group)
        number = torch.arange(len(features), device=features.device) % groups
        # Means as products with a matrix: unlike scattered sums they are the same in every run.
        members = one_hot(number, groups).to(features.dtype)
        average = (members / members.sum(0)).T
        distance = features - (average @ features)[number]
        return _deviation(average @ distance.square())[number, None]

    def among(self, features: Tensor, company: Tensor) -> Tensor:
        """The spread of each item with company, mean over groups of company, [batch, 1]."""
        size = min(self.group - 1, len(company))
        groups = len(company) // size
        others = company[: groups * size].reshape(size, groups, -1)
        mean, variance = others.mean(0), others.var(0, correction=0)
        # The variance of so many values and one more, from theirs and its distance to their mean.
        distance = (features[:, None] - mean).square()
        joint = variance * size / (size + 1) + distance * size / (size + 1) ** 2
        return _deviation(joint).mean(1, keepdim=True)


def _deviation(variance: Tensor) -> Tensor:
    """Standard deviations, mean over features; the root's slope stays finite at 0."""
    return variance.add(1e-8).sqrt().mean(-1)


class DiscriminationLayer(_StatisticLayer):
    """See ``MinibatchDiscrimination``."""

    def __init__(self, width: int, kernels: int, dimensions: int) -> None:
        super().__init__()
        self.extra, self.shape = kernels, (kernels, dimensions)
        # So small that items of unlike features still see each other through the exponential.
        self.projection = nn.Parameter(torch.randn(width, kernels * dimensions) / 2 / width**0.5)

    def within(self, features: Tensor) -> Tensor:
        """How close each item is to all of its batch, [batch, kernels]."""
        projected = self._project(features)
        return _closeness(projected, projected)

    def among(self, features: Tensor, company: Tensor) -> Tensor:
        """How close each item is to itself and the company, [batch, kernels]."""
        return 1 + _closeness(self._project(features), self._project(company))

    def _project(self, features: Tensor) -> Tensor:
        return (features @ self.projection).reshape(-1, *self.shape)


def _closeness(items: Tensor, others: Tensor) -> Tensor:
    """The sum over ``others`` of exp(-|difference|_1), [items, kernels]."""
    return torch.exp(-(items[:, None] - others).abs().sum(-1)).sum(1)


MinibatchFeatures = Annotated[
    NoMinibatchFeatures | MinibatchStddev | MinibatchDiscrimination, Field(discriminator="kind")
]
