"""The networks of the first GAN: rectifiers against maxout units with dropout.

Sources: Goodfellow et al. 2014 (arXiv:1406.2661), section 5, with the settings of its published
code; Goodfellow et al. 2013 (arXiv:1302.4389) for maxout.
"""

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from ganmodels.conditioning import Conditioning, ItemInput
from ganmodels.machine import Kernel
from ganmodels.networks.discriminator import Trunk
from ganmodels.networks.mlp import Widths
from ganmodels.networks.noise import Dropout
from ganmodels.spaces import Space
from ganmodels.spec import Spec
from ganmodels.types import Items, Labels, Latents

Kept = Annotated[float, Field(gt=0, le=1)]
Range = Annotated[float, Field(gt=0, le=1)]


class Maxout(Spec):
    """ReLU in the generator; in the discriminator the largest of ``pieces`` linear units each.

    Weights start as U(-range, range), biases as 0. Images are made by a sigmoid and seen as values
    in [0, 1], so that what dropout removes is black. ``kept`` and ``kept_items`` are the shares of
    hidden units and of item values that dropout leaves; it acts in every turn of the training, the
    generator's too. ``latent_scale`` multiplies latents: the square root of 3 gives uniform ones
    unit variance, as in the paper.
    """

    kind: Literal["maxout"] = "maxout"
    generator_widths: Widths = (1200, 1200)
    discriminator_widths: Widths = (240, 240)
    pieces: int = Field(default=5, ge=2, le=16)
    kept_items: Kept = 0.8
    kept: Kept = 0.5
    latent_scale: float = Field(default=1.0, gt=0, le=10)
    generator_range: Range = 0.05
    discriminator_range: Range = 0.005
    image_only: ClassVar[bool] = False
    kernel: ClassVar[Kernel] = "product"
    has_plain_layers: ClassVar[bool] = False

    @property
    def generator_has_batch_norm(self) -> bool:
        """Whether class-conditional normalisation has a place to act."""
        return False

    @property
    def discriminator_has_batch_norm(self) -> bool:
        """Whether a logit depends on the other items of its batch."""
        return False

    @property
    def discriminator_has_spectral_norm(self) -> bool:
        """Whether the discriminator's Lipschitz constant is bounded."""
        return False

    def generator(
        self, latent: int, space: Space, conditioning: Conditioning, classes: int
    ) -> nn.Module:
        """A generator: (latents, labels) to items of the space."""
        return MaxoutGenerator(self, latent, space, conditioning, classes)

    def trunk(self, space: Space, channels: int, conditioning: Conditioning, classes: int) -> Trunk:
        """A discriminator's trunk: (items, labels) to features."""
        return MaxoutTrunk(self, space, channels, conditioning, classes)

    def wrap(self, head: nn.Module) -> nn.Module:
        """A discriminator's head as it is: nothing is normalised here."""
        return head

    def initialise(self, discriminator: nn.Module) -> None:
        """First weights of a whole discriminator."""
        initialise(discriminator, self.discriminator_range)


class MaxoutGenerator(nn.Module):
    """Latents [batch, latent] and labels [batch] to items [batch, *space.shape]."""

    def __init__(
        self, spec: Maxout, latent: int, space: Space, conditioning: Conditioning, classes: int
    ) -> None:
        super().__init__()
        self.conditioning, self.space, self.classes = conditioning, space, classes
        self.scale = spec.latent_scale
        width = conditioning.latent_width(latent, classes)
        layers: list[nn.Module] = []
        for after in spec.generator_widths:
            layers += [nn.Linear(width, after), nn.ReLU()]
            width = after
        self.layers = nn.Sequential(*layers, nn.Linear(width, math.prod(space.shape)))
        initialise(self, spec.generator_range)

    def forward(self, latents: Latents, labels: Labels | None) -> Items:
        """Items in [-1, 1] where the space is bounded."""
        joined = self.conditioning.join_latents(self.scale * latents, labels, self.classes)
        items: Tensor = self.layers(joined)
        # A sigmoid, stretched from [0, 1] to [-1, 1].
        items = (items / 2).tanh() if self.space.bounded else items
        return items.reshape(-1, *self.space.shape)


class MaxoutTrunk(Trunk):
    """Items [batch, channels, ...] and labels [batch] to features [batch, width]."""

    def __init__(
        self, spec: Maxout, space: Space, channels: int, conditioning: Conditioning, classes: int
    ) -> None:
        super().__init__()
        self.bounded = space.bounded
        values = channels * math.prod(space.shape[1:])
        self.input = conditioning.item_input((values,), classes)
        width = self.input.channels
        labels, layers = [], []
        for index, after in enumerate(spec.discriminator_widths):
            label = conditioning.layer_input(width, classes) if index else ItemInput(width)
            labels.append(label)
            layers.append(MaxoutLayer(label.channels, after, spec.pieces))
            width = after
        self.labels, self.layers = nn.ModuleList(labels), nn.ModuleList(layers)
        kept = (spec.kept_items, *[spec.kept] * len(layers))
        self.dropouts = nn.ModuleList(Dropout(share) for share in kept)
        self.width = width

    def forward(self, items: Items, labels: Labels | None) -> Tensor:
        """What the last hidden layer holds, after dropout."""
        seen = (items + 1) / 2 if self.bounded else items
        features: Tensor = self.dropouts[0](self.input(seen.flatten(1), labels))
        for label, layer, dropout in zip(
            self.labels, self.layers, list(self.dropouts)[1:], strict=True
        ):
            features = dropout(layer(label(features, labels)))
        return features


class MaxoutLayer(nn.Module):
    """Each unit is the largest of several linear ones."""

    def __init__(self, before: int, after: int, pieces: int) -> None:
        super().__init__()
        self.linear, self.pieces = nn.Linear(before, after * pieces), pieces

    def forward(self, features: Tensor) -> Tensor:
        """[batch, before] to [batch, after]."""
        units: Tensor = self.linear(features).unflatten(1, (-1, self.pieces))
        return units.amax(2)


def initialise(network: nn.Module, limit: float) -> None:
    """Weights U(-limit, limit), biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.uniform_(module.weight, -limit, limit)
            nn.init.zeros_(module.bias)
