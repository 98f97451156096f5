"""Perceptrons with noise at every layer: the pair of the semi-supervised game.

Source: Salimans et al. 2016 (arXiv:1606.03498), section 5.1; weight normalisation: Salimans &
Kingma 2016 (arXiv:1602.07868).
"""

import math
from itertools import pairwise
from typing import ClassVar, Literal, NamedTuple

from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import relu
from torch.nn.utils.parametrizations import weight_norm

from ganmodels.conditioning import Conditioning
from ganmodels.machine import Kernel
from ganmodels.networks.discriminator import Trunk
from ganmodels.networks.mlp import Widths
from ganmodels.networks.noise import GaussianNoise
from ganmodels.spaces import Space
from ganmodels.spec import Spec
from ganmodels.types import Items, Labels, Latents

# Directions start with this deviation: the shorter a direction, the faster Adam turns it.
_DIRECTION = 0.1
# Length of a row at the start: with it values after a ReLU and its noise keep their variance.
_LENGTH = 1.25


class NoisyMlp(Spec):
    """Fully connected layers: softplus and batch normalisation in the generator; ReLU, weight
    normalisation and Gaussian noise in the discriminator.

    ``input_noise`` is the deviation of what is added to items, which lie in [-1, 1] where the
    space is bounded; ``noise`` of what is added after every hidden layer. Any space; an image is
    flattened. Lengths of the rows of hidden layers stay as they are; those of heads learn.
    Products are large enough here to be several times as quick in bfloat16.
    """

    kind: Literal["noisy_mlp"] = "noisy_mlp"
    generator_widths: Widths = (500, 500)
    discriminator_widths: Widths = (1000, 500, 250, 250, 250)
    input_noise: float = Field(default=0.6, ge=0, le=10)
    noise: float = Field(default=0.5, ge=0, le=10)
    image_only: ClassVar[bool] = False
    kernel: ClassVar[Kernel] = "product"
    has_plain_layers: ClassVar[bool] = False

    @property
    def generator_has_batch_norm(self) -> bool:
        """Whether class-conditional normalisation has a place to act: it works on images."""
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
        return NoisyGenerator(self, latent, space, conditioning, classes)

    def trunk(self, space: Space, channels: int, conditioning: Conditioning, classes: int) -> Trunk:
        """A discriminator's trunk: (items, labels) to features."""
        return NoisyTrunk(self, space, channels, conditioning, classes)

    def wrap(self, head: nn.Module) -> nn.Module:
        """A head that sees features with noise, its rows normalised in length."""
        for module in list(head.modules()):
            if isinstance(module, nn.Linear):
                weight_norm(module)
        return NoisyHead(head, self.noise)

    def initialise(self, discriminator: nn.Module) -> None:
        """First weights of all layers."""
        for module in discriminator.modules():
            if isinstance(module, nn.Linear):
                initialise(module)


class NoisyGenerator(nn.Module):
    """Latents [batch, latent] and labels [batch] to items [batch, *space.shape]."""

    def __init__(
        self, spec: NoisyMlp, latent: int, space: Space, conditioning: Conditioning, classes: int
    ) -> None:
        super().__init__()
        self.conditioning, self.space, self.classes = conditioning, space, classes
        widths = (conditioning.latent_width(latent, classes), *spec.generator_widths)
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out, bias=False), nn.BatchNorm1d(fan_out)]
            layers.append(nn.Softplus())
        last = weight_norm(nn.Linear(widths[-1], math.prod(space.shape)))
        layers += [last, nn.Tanh() if space.bounded else nn.Identity()]
        self.layers = nn.Sequential(*layers)

    def forward(self, latents: Latents, labels: Labels | None) -> Items:
        """Items in [-1, 1] where the space is bounded."""
        joined = self.conditioning.join_latents(latents, labels, self.classes)
        items: Tensor = self.layers(joined)
        return items.reshape(-1, *self.space.shape)


class NoisyTrunk(Trunk):
    """Items [batch, channels, ...] and labels [batch] to features [batch, width] without noise."""

    def __init__(
        self, spec: NoisyMlp, space: Space, channels: int, conditioning: Conditioning, classes: int
    ) -> None:
        super().__init__()
        values = channels * math.prod(space.shape[1:])
        self.input = conditioning.item_input((values,), classes)
        widths = (self.input.channels, *spec.discriminator_widths)
        layers = [weight_norm(nn.Linear(*pair)) for pair in pairwise(widths)]
        for layer in layers:
            rows(layer).lengths.requires_grad_(False)
        hidden = [GaussianNoise(spec.noise) for _ in layers[1:]]
        self.layers = nn.ModuleList(layers)
        self.noises = nn.ModuleList([GaussianNoise(spec.input_noise), *hidden])
        self.width = widths[-1]

    def forward(self, items: Items, labels: Labels | None) -> Tensor:
        """What the last hidden layer holds."""
        features: Tensor = self.input(items.flatten(1), labels)
        for noise, layer in zip(self.noises, self.layers, strict=True):
            features = relu(layer(noise(features)))
        return features


class NoisyHead(nn.Module):
    """A head on features [batch, width] with noise."""

    def __init__(self, head: nn.Module, noise: float) -> None:
        super().__init__()
        self.noise, self.head = GaussianNoise(noise), head

    def forward(self, features: Tensor, *labels: Labels | None) -> Tensor:
        """What the head says."""
        said: Tensor = self.head(self.noise(features), *labels)
        return said


class Rows(NamedTuple):
    """What a weight-normalised layer learns: lengths [out, 1] and directions [out, in]."""

    lengths: nn.Parameter
    directions: nn.Parameter


def rows(layer: nn.Module) -> Rows:
    """The rows of a weight-normalised layer."""
    named = dict(layer.named_parameters())
    return Rows(*(named[f"parametrizations.weight.original{part}"] for part in (0, 1)))


def initialise(layer: nn.Linear) -> None:
    """Rows of one length in random directions, biases 0; the layer is weight-normalised."""
    lengths, directions = rows(layer)
    nn.init.constant_(lengths, _LENGTH)
    nn.init.normal_(directions, std=_DIRECTION)
    nn.init.zeros_(layer.bias)
