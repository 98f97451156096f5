"""How labels reach the two networks.

A conditioning answers what a network asks of it: how wide the generator's input is, which
normalisation to use, how many channels the discriminator sees and what its last layer is.
Networks never ask which kind they were given.
"""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ganmodels.spec import Spec
from ganmodels.types import Items, Labels, Latents, Logits


class Norm2d(nn.Module):
    """Batch normalisation that ignores labels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, items: Tensor, labels: Labels | None) -> Tensor:
        """Normalise [batch, channels, height, width]."""
        normalised: Tensor = self.norm(items)
        return normalised


class ClassNorm2d(nn.Module):
    """Batch normalisation with a gain and a bias per class. Source: Dumoulin 2017 (1610.07629)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Parameter(torch.ones(classes, channels))
        self.bias = nn.Parameter(torch.zeros(classes, channels))

    def forward(self, items: Tensor, labels: Labels | None) -> Tensor:
        """Normalise [batch, channels, height, width], then scale and shift by class."""
        gain = self.gain[labels][:, :, None, None]
        bias = self.bias[labels][:, :, None, None]
        normalised: Tensor = self.norm(items) * gain + bias
        return normalised


class LinearHead(nn.Module):
    """Features to one logit, labels ignored."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, 1)

    def forward(self, features: Tensor, labels: Labels | None) -> Logits:
        """[batch, features] to [batch]."""
        logits: Tensor = self.linear(features)
        return logits.squeeze(1)


class ProjectionHead(nn.Module):
    """w . f + embedding(label) . f / sqrt(width). Source: Miyato & Koyama 2018 (1802.05637)."""

    def __init__(self, features: int, classes: int, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, width)
        self.linear = nn.Linear(width, 1)
        self.embedding = nn.Embedding(classes, width)

    def forward(self, features: Tensor, labels: Labels | None) -> Logits:
        """[batch, features] and [batch] to [batch]."""
        hidden = torch.nn.functional.leaky_relu(self.hidden(features), 0.2)
        agreement = (self.embedding(labels) * hidden).sum(1) / hidden.shape[1] ** 0.5
        logits: Tensor = self.linear(hidden).squeeze(1) + agreement
        return logits


class _Conditioning(Spec):
    """What networks may ask; the answers here ignore labels."""

    needs_labels: ClassVar[bool] = False
    needs_generator_norm: ClassVar[bool] = False

    def latent_width(self, latent: int, classes: int) -> int:
        """Width of what the generator's first layer reads."""
        return latent

    def join_latents(self, latents: Latents, labels: Labels | None, classes: int) -> Latents:
        """What the generator's first layer reads."""
        return latents

    def norm(self, channels: int, classes: int) -> nn.Module:
        """Batch normalisation for feature maps of the generator."""
        return Norm2d(channels)

    def item_channels(self, channels: int, classes: int) -> int:
        """Channels (or width) of what the discriminator's first layer reads."""
        return channels

    def join_items(self, items: Items, labels: Labels | None, classes: int) -> Items:
        """What the discriminator's first layer reads."""
        return items

    def head(self, features: int, classes: int) -> nn.Module:
        """The discriminator's last layer."""
        return LinearHead(features)


class Unconditional(_Conditioning):
    """Labels are not used."""

    kind: Literal["none"] = "none"


class Concatenation(_Conditioning):
    """One-hot labels beside the latents, and as constant maps beside the items' channels.

    Source: Mirza & Osindero 2014 (arXiv:1411.1784).
    """

    kind: Literal["concatenation"] = "concatenation"
    needs_labels: ClassVar[bool] = True

    def latent_width(self, latent: int, classes: int) -> int:
        """Latent and one-hot label."""
        return latent + classes

    def join_latents(self, latents: Latents, labels: Labels | None, classes: int) -> Latents:
        """[batch, latent + classes]."""
        assert labels is not None, "a conditional generator needs labels"
        return torch.cat([latents, one_hot(labels, classes).to(latents.dtype)], dim=1)

    def item_channels(self, channels: int, classes: int) -> int:
        """The item's own channels and one map per class."""
        return channels + classes

    def join_items(self, items: Items, labels: Labels | None, classes: int) -> Items:
        """[batch, channels + classes, ...]."""
        assert labels is not None, "a conditional discriminator needs labels"
        maps = one_hot(labels, classes).to(items.dtype)
        maps = maps.reshape(*maps.shape, *[1] * (items.ndim - 2))
        return torch.cat([items, maps.expand(-1, -1, *items.shape[2:])], dim=1)


class Projection(_Conditioning):
    """Class-conditional batch normalisation in G, an inner product with the label in D.

    Source: Miyato & Koyama 2018 (arXiv:1802.05637).
    """

    kind: Literal["projection"] = "projection"
    needs_labels: ClassVar[bool] = True
    needs_generator_norm: ClassVar[bool] = True
    embedding_width: int = Field(default=128, ge=1, le=4096)

    def norm(self, channels: int, classes: int) -> nn.Module:
        """Batch normalisation with a gain and a bias per class."""
        return ClassNorm2d(channels, classes)

    def head(self, features: int, classes: int) -> nn.Module:
        """The projection discriminator's last layer."""
        return ProjectionHead(features, classes, self.embedding_width)


Conditioning = Annotated[
    Unconditional | Concatenation | Projection, Field(discriminator="kind")
]
