"""How labels reach the two networks.

A conditioning answers what a network asks of it: how wide the generator's input is, which
normalisation to use, what stands before the discriminator's first layer and what its last is.
Networks never ask which kind they were given.
"""

import math
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ganmodels.spec import Spec
from ganmodels.types import Items, Labels, Latents, Logits

Shape = tuple[int, ...]


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

    @torch.no_grad()
    def folded(self) -> nn.Module:
        """The same in evaluation: what was learned of the statistics is part of the tables."""
        factor, shift = affine(self.norm)
        gain = self.gain.double()
        return ClassScale2d(
            (gain * factor).to(self.gain.dtype),
            (gain * shift + self.bias.double()).to(self.gain.dtype),
        )


class ClassScale2d(nn.Module):
    """Items times a gain and plus a bias by class, from tables [classes, channels]."""

    def __init__(self, gain: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.gain = nn.Parameter(gain, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, items: Tensor, labels: Labels | None) -> Tensor:
        """[batch, channels, height, width]."""
        gain, bias = self.gain[labels], self.bias[labels]
        return torch.addcmul(bias[:, :, None, None], items, gain[:, :, None, None])


def affine(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Factor and shift [channels] in float64: what normalisation is in evaluation."""
    assert norm.running_mean is not None and norm.running_var is not None
    factor = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.affine:
        factor = factor * norm.weight.double()
    shift = -norm.running_mean.double() * factor
    return factor, shift + norm.bias.double() if norm.affine else shift


class ItemInput(nn.Module):
    """Items as they are. ``channels`` counts what comes out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, items: Items, labels: Labels | None) -> Items:
        """[batch, channels, ...]."""
        return items


class OneHotMaps(ItemInput):
    """Items and, for each class, a channel that is 1 where the label is that class."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels + classes)
        self.classes = classes

    def forward(self, items: Items, labels: Labels | None) -> Items:
        """[batch, channels + classes, ...]."""
        assert labels is not None, "a conditional discriminator needs labels"
        maps = one_hot(labels, self.classes).to(items.dtype)
        maps = maps.reshape(*maps.shape, *[1] * (items.ndim - 2))
        return torch.cat([items, maps.expand(-1, -1, *items.shape[2:])], dim=1)


class LabelPicture(ItemInput):
    """Items and one more channel: a learned picture of their class."""

    # Pictures start small, like all weights here; the factor gives them the items' range.
    _GAIN = 4.0

    def __init__(self, shape: Shape, classes: int) -> None:
        super().__init__(shape[0] + 1)
        self.grid = shape[1:]
        self.pictures = nn.Embedding(classes, math.prod(self.grid))
        nn.init.normal_(self.pictures.weight, std=0.02)

    def forward(self, items: Items, labels: Labels | None) -> Items:
        """[batch, channels + 1, ...]."""
        assert labels is not None, "a conditional discriminator needs labels"
        picture = self._GAIN * self.pictures(labels).reshape(-1, 1, *self.grid)
        return torch.cat([items, picture.to(items.dtype)], dim=1)


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
    """w . f + embedding(label) . f. Source: Miyato & Koyama 2018 (arXiv:1802.05637), eq. 4."""

    def __init__(self, features: int, classes: int, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, width)
        self.linear = nn.Linear(width, 1)
        self.embedding = nn.Embedding(classes, width)

    def forward(self, features: Tensor, labels: Labels | None) -> Logits:
        """[batch, features] and [batch] to [batch]."""
        hidden = torch.nn.functional.leaky_relu(self.hidden(features), 0.2)
        agreement = (self.embedding(labels) * hidden).sum(1)
        logits: Tensor = self.linear(hidden).squeeze(1) + agreement
        return logits


class _Conditioning(Spec):
    """What networks may ask; the answers here ignore labels."""

    needs_labels: ClassVar[bool] = False
    needs_generator_norm: ClassVar[bool] = False
    needs_plain_layers: ClassVar[bool] = False
    classifies: ClassVar[bool] = False

    def latent_width(self, latent: int, classes: int) -> int:
        """Width of what the generator's first layer reads."""
        return latent

    def join_latents(self, latents: Latents, labels: Labels | None, classes: int) -> Latents:
        """What the generator's first layer reads."""
        return latents

    def norm(self, channels: int, classes: int) -> nn.Module:
        """Batch normalisation for feature maps of the generator."""
        return Norm2d(channels)

    def item_input(self, shape: Shape, classes: int) -> "ItemInput":
        """What stands before the discriminator's first layer: (items, labels) to items."""
        return ItemInput(shape[0])

    def layer_input(self, channels: int, classes: int) -> "ItemInput":
        """What stands before every other layer of both networks: (features, labels) to features."""
        return ItemInput(channels)

    def head(self, features: int, classes: int) -> nn.Module:
        """The discriminator's last layer."""
        return LinearHead(features)

    def classifier(self, features: int, classes: int) -> nn.Module | None:
        """A second head that names the class, if this conditioning has one."""
        return None


class Unconditional(_Conditioning):
    """Labels are not used."""

    kind: Literal["none"] = "none"


class _OneHotLatents(_Conditioning):
    """The one-hot label beside the latents."""

    needs_labels: ClassVar[bool] = True

    def latent_width(self, latent: int, classes: int) -> int:
        """Latent and one-hot label."""
        return latent + classes

    def join_latents(self, latents: Latents, labels: Labels | None, classes: int) -> Latents:
        """[batch, latent + classes]."""
        assert labels is not None, "a conditional generator needs labels"
        return torch.cat([latents, one_hot(labels, classes).to(latents.dtype)], dim=1)


class Concatenation(_OneHotLatents):
    """One-hot labels beside the latents, and as constant maps beside the items' channels.

    Source: Mirza & Osindero 2014 (arXiv:1411.1784).
    """

    kind: Literal["concatenation"] = "concatenation"

    def item_input(self, shape: Shape, classes: int) -> "ItemInput":
        """The items' channels and one constant map per class."""
        return OneHotMaps(shape[0], classes)


class EveryLayer(_OneHotLatents):
    """One-hot labels beside the input of every layer of both networks.

    Source: Radford et al. 2015 (arXiv:1511.06434), as their conditional networks for MNIST.
    """

    kind: Literal["every_layer"] = "every_layer"
    needs_plain_layers: ClassVar[bool] = True

    def item_input(self, shape: Shape, classes: int) -> "ItemInput":
        """The items' channels and one constant map per class."""
        return OneHotMaps(shape[0], classes)

    def layer_input(self, channels: int, classes: int) -> "ItemInput":
        """The features and one constant map per class."""
        return OneHotMaps(channels, classes)


class LatentProjection(_OneHotLatents):
    """One-hot labels beside the latents, an inner product with the label in D.

    For networks without normalisation. Source: Huang et al. 2024 (arXiv:2501.05441).
    """

    kind: Literal["latent_projection"] = "latent_projection"
    embedding_width: int = Field(default=128, ge=1, le=4096)

    def head(self, features: int, classes: int) -> nn.Module:
        """The projection discriminator's last layer."""
        return ProjectionHead(features, classes, self.embedding_width)


class Auxiliary(_OneHotLatents):
    """AC-GAN: D is not told the label but names it, and G is to make items of its label.

    ``weight`` of the cross-entropy beside the adversarial loss; with ``classify_fakes`` D learns
    to name the class of fakes too, as in the paper; of reals alone is what lasts longer.
    Source: Odena et al. 2016 (arXiv:1610.09585), equations 2 and 3.
    """

    kind: Literal["auxiliary"] = "auxiliary"
    classifies: ClassVar[bool] = True
    weight: float = Field(default=1.0, gt=0, le=100)
    classify_fakes: bool = False

    def classifier(self, features: int, classes: int) -> nn.Module | None:
        """Logits of the classes."""
        return nn.Linear(features, classes)


class LearnedMap(_OneHotLatents):
    """One-hot labels beside the latents, and one learned channel beside the items' own.

    The discriminator's cost does not grow with the number of classes.
    """

    kind: Literal["learned_map"] = "learned_map"

    def item_input(self, shape: Shape, classes: int) -> "ItemInput":
        """The items' channels and a channel with a picture of the class."""
        return LabelPicture(shape, classes)


class _ClassNorm(_Conditioning):
    """Class-conditional batch normalisation in the generator."""

    needs_labels: ClassVar[bool] = True
    needs_generator_norm: ClassVar[bool] = True

    def norm(self, channels: int, classes: int) -> nn.Module:
        """Batch normalisation with a gain and a bias per class."""
        return ClassNorm2d(channels, classes)


class ClassNorm(_ClassNorm):
    """Class-conditional batch normalisation in G, one-hot labels as constant maps in D.

    Measured on scikit-learn's digits it learns the label best of all kinds here.
    """

    kind: Literal["class_norm"] = "class_norm"

    def item_input(self, shape: Shape, classes: int) -> "ItemInput":
        """The items' channels and one constant map per class."""
        return OneHotMaps(shape[0], classes)


class Projection(_ClassNorm):
    """Class-conditional batch normalisation in G, an inner product with the label in D.

    Source: Miyato & Koyama 2018 (arXiv:1802.05637).
    """

    kind: Literal["projection"] = "projection"
    embedding_width: int = Field(default=128, ge=1, le=4096)

    def head(self, features: int, classes: int) -> nn.Module:
        """The projection discriminator's last layer."""
        return ProjectionHead(features, classes, self.embedding_width)


Conditioning = Annotated[
    Unconditional
    | Concatenation
    | EveryLayer
    | LearnedMap
    | ClassNorm
    | Projection
    | LatentProjection
    | Auxiliary,
    Field(discriminator="kind"),
]
