"""Multilayer perceptrons: the first GAN's networks, and the ones for points."""

import math
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from ganmodels.conditioning import Conditioning
from ganmodels.spaces import Space
from ganmodels.spec import Spec
from ganmodels.types import Items, Labels, Latents, Logits

Widths = Annotated[
    tuple[Annotated[int, Field(ge=1, le=8192)], ...], Field(min_length=1, max_length=16)
]


class Mlp(Spec):
    """Fully connected layers: ReLU in the generator, LeakyReLU(0.2) in the discriminator.

    No normalisation. Any space; an image is flattened. Weights start as N(0, 2/fan_in), those
    of the last layer as N(0, 1/fan_in), biases as 0.
    """

    kind: Literal["mlp"] = "mlp"
    generator_widths: Widths = (256, 512)
    discriminator_widths: Widths = (512, 256)
    image_only: ClassVar[bool] = False

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
        return MlpGenerator(self, latent, space, conditioning, classes)

    def discriminator(self, space: Space, conditioning: Conditioning, classes: int) -> nn.Module:
        """A discriminator: (items, labels) to one logit each."""
        return MlpDiscriminator(self, space, conditioning, classes)


class MlpGenerator(nn.Module):
    """Latents [batch, latent] and labels [batch] to items [batch, *space.shape]."""

    def __init__(
        self, spec: Mlp, latent: int, space: Space, conditioning: Conditioning, classes: int
    ) -> None:
        super().__init__()
        self.conditioning, self.space, self.classes = conditioning, space, classes
        width = conditioning.latent_width(latent, classes)
        last = math.prod(space.shape)
        layers = perceptron((width, *spec.generator_widths, last), nn.ReLU())
        self.layers = nn.Sequential(*layers, nn.Tanh() if space.bounded else nn.Identity())

    def forward(self, latents: Latents, labels: Labels | None) -> Items:
        """Items in [-1, 1] where the space is bounded."""
        joined = self.conditioning.join_latents(latents, labels, self.classes)
        items: Tensor = self.layers(joined)
        return items.reshape(-1, *self.space.shape)


class MlpDiscriminator(nn.Module):
    """Items [batch, *space.shape] and labels [batch] to logits [batch]."""

    def __init__(self, spec: Mlp, space: Space, conditioning: Conditioning, classes: int) -> None:
        super().__init__()
        self.input = conditioning.item_input((math.prod(space.shape),), classes)
        widths = (self.input.channels, *spec.discriminator_widths)
        self.layers = nn.Sequential(*perceptron(widths, nn.LeakyReLU(0.2)), nn.LeakyReLU(0.2))
        initialise(self.layers[-2], gain=2.0)
        self.head = conditioning.head(spec.discriminator_widths[-1], classes)
        for module in self.head.modules():
            initialise(module, gain=1.0)

    def forward(self, items: Items, labels: Labels | None) -> Logits:
        """One logit per item."""
        features = self.layers(self.input(items.flatten(1), labels))
        logits: Tensor = self.head(features, labels)
        return logits


def perceptron(widths: tuple[int, ...], activation: nn.Module) -> list[nn.Module]:
    """Linear layers through the widths, with activations between them but not after the last."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layers += [initialise(nn.Linear(fan_in, fan_out), gain=2.0), activation]
    initialise(layers[-2], gain=1.0)
    return layers[:-1]


def initialise(module: nn.Module, gain: float) -> nn.Module:
    """Weights N(0, gain / fan_in) and biases 0, if the module is a linear layer."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=(gain / module.in_features) ** 0.5)
        nn.init.zeros_(module.bias)
    return module
