"""Multilayer perceptrons: the first GAN's networks, and the ones for points."""

import math
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, relu

from ganmodels.conditioning import Conditioning, ItemInput
from ganmodels.machine import Kernel
from ganmodels.networks.blocks import GeneratorNorm, generator_norm
from ganmodels.networks.discriminator import Trunk
from ganmodels.spaces import Space
from ganmodels.spec import Spec
from ganmodels.types import Items, Labels, Latents

Widths = Annotated[
    tuple[Annotated[int, Field(ge=1, le=8192)], ...], Field(min_length=1, max_length=16)
]

# A tenth of the data's standard deviation: much more than most details, much less than the whole.
FIRST_NOISE = 0.1
# As fast as weights are learned, noise shrinks before the layers have found their places, and what
# they blur in its stead has heavier tails.
NOISE_PACE = 0.4


class Mlp(Spec):
    """Fully connected layers: ReLU in the generator, LeakyReLU(0.2) in the discriminator.

    Any space; an image is flattened. Batch normalisation of the generator's hidden layers keeps
    its tanh from saturating. Weights start as N(0, 2/fan_in), those of the last layer as
    N(0, 1/fan_in), biases as 0.

    ``output_noise``: the first coordinates of the latent, as many as an item has values, are not
    shown to the layers; each is added to its value of the item, times a scale that is learned.
    The layers then place an item and need not spread it, as the mean and the variance of
    Kingma & Welling 2014 (arXiv:1312.6114, section 2.4).

    ``discriminator_bias``: the biases of the discriminator's first layer start as normal numbers
    of this standard deviation. At 0 every fold of that layer goes through the origin; in a few
    dimensions about 1 lays folds all over the data, and detail is learned sooner.

    ``item_gain``: the weights that touch the items, of the generator's last layer and the
    discriminator's first, start so many times as large. Random first weights are white noise over
    the pixels, which reaches the generator through every gradient and never quite leaves its
    images; from small ones, what is learned soon outweighs it.
    """

    kind: Literal["mlp"] = "mlp"
    generator_widths: Widths = (256, 512)
    discriminator_widths: Widths = (512, 256)
    generator_norm: GeneratorNorm = "none"
    output_noise: bool = False
    discriminator_bias: float = Field(default=0.0, ge=0, le=100)
    item_gain: float = Field(default=1.0, gt=0, le=10)
    image_only: ClassVar[bool] = False
    kernel: ClassVar[Kernel] = "product"
    has_plain_layers: ClassVar[bool] = False

    def noise_width(self, space: Space) -> int:
        """How many of the latent's first coordinates are noise that is added to the items."""
        return math.prod(space.shape) if self.output_noise else 0

    @property
    def generator_has_batch_norm(self) -> bool:
        """Whether class-conditional normalisation has a place to act."""
        return self.generator_norm == "batch"

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

    def trunk(self, space: Space, channels: int, conditioning: Conditioning, classes: int) -> Trunk:
        """A discriminator's trunk: (items, labels) to features."""
        return MlpTrunk(self, space, channels, conditioning, classes)

    def wrap(self, head: nn.Module) -> nn.Module:
        """A discriminator's head as it is: nothing is normalised here."""
        return head

    def initialise(self, discriminator: nn.Module) -> None:
        """First weights of the heads; the trunk has its own."""
        for name, module in discriminator.named_modules():
            if not name.startswith("trunk."):
                initialise(module, gain=1.0)


class MlpGenerator(nn.Module):
    """Latents [batch, latent] and labels [batch] to items [batch, *space.shape]."""

    def __init__(
        self, spec: Mlp, latent: int, space: Space, conditioning: Conditioning, classes: int
    ) -> None:
        super().__init__()
        self.conditioning, self.space, self.classes = conditioning, space, classes
        self.noise = OutputNoise(spec.noise_width(space))
        seen = latent - self.noise.width
        width = conditioning.latent_width(seen, classes)
        self.label_gain = LabelGain(seen, width)
        widths = (self.label_gain.width, *spec.generator_widths, math.prod(space.shape))
        self.layers = nn.ModuleList(perceptron(widths))
        enlarge(self.layers[-1], spec.item_gain)
        self.norms = nn.ModuleList(
            generator_norm(spec.generator_norm, conditioning, hidden, classes)
            for hidden in spec.generator_widths
        )
        self.bound = nn.Tanh() if space.bounded else nn.Identity()

    def forward(self, latents: Latents, labels: Labels | None) -> Items:
        """Items in [-1, 1] where the space is bounded."""
        noise, seen = latents.split([self.noise.width, latents.shape[1] - self.noise.width], dim=1)
        # A view with gaps would take another path through the kernels in every batch.
        joined = self.conditioning.join_latents(seen.contiguous(), labels, self.classes)
        values = self.label_gain(joined)
        for layer, norm in zip(self.layers, self.norms, strict=False):
            # Norms are those of feature maps; here a map has one pixel.
            values = relu(norm(layer(values)[..., None, None], labels)[..., 0, 0])
        items: Tensor = self.bound(self.noise(self.layers[-1](values), noise))
        return items.reshape(-1, *self.space.shape)


class OutputNoise(nn.Module):
    """Values [batch, width] with noise [batch, width] times a learned scale each; none if 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        if width:
            # As a logarithm: a scale stays positive, and is learned as fast when it is small.
            first = math.log(FIRST_NOISE) / NOISE_PACE
            self.log_scale = nn.Parameter(torch.full((width,), first))

    def forward(self, values: Tensor, noise: Tensor) -> Tensor:
        """The values themselves where there is no noise."""
        return values + (NOISE_PACE * self.log_scale).exp() * noise if self.width else values


class LabelGain(nn.Module):
    """Values [batch, width] with those behind the first ``plain`` ones, a one-hot label, enlarged.

    A single one beside hundreds of values of its size would go unseen; enlarged it carries a
    tenth of their sum of squares.

    Zeros fill what comes out up to ``width``, a multiple of four: kernels sum rows of another
    length in an order that depends on the row, so an item's bytes would depend on its place.
    """

    _SHARE, _MULTIPLE = 0.1, 4

    def __init__(self, plain: int, width: int) -> None:
        super().__init__()
        self.plain, self.factor = plain, max(1.0, (self._SHARE * plain) ** 0.5)
        self.labelled = width > plain
        self.filling = -width % self._MULTIPLE if self.labelled else 0
        self.width = width + self.filling

    def forward(self, values: Tensor) -> Tensor:
        """The same values where there is no label."""
        if not self.labelled:
            return values
        plain, label = values[:, : self.plain], self.factor * values[:, self.plain :]
        return torch.cat([plain, label, values.new_zeros(len(values), self.filling)], dim=1)


class MlpTrunk(Trunk):
    """Items [batch, channels, ...] and labels [batch] to features [batch, width]."""

    def __init__(
        self, spec: Mlp, space: Space, channels: int, conditioning: Conditioning, classes: int
    ) -> None:
        super().__init__()
        values = channels * math.prod(space.shape[1:])
        self.input = conditioning.item_input((values,), classes)
        self.label_gain = LabelGain(values, self.input.channels)
        layers: list[nn.Linear] = []
        labels: list[nn.Module] = []
        width = self.label_gain.width
        for index, fan_out in enumerate(spec.discriminator_widths):
            label = conditioning.layer_input(width, classes) if index else ItemInput(width)
            labels.append(label)
            layers.append(nn.Linear(label.channels, fan_out))
            initialise(layers[-1], gain=2.0)
            width = fan_out
        enlarge(layers[0], spec.item_gain)
        self.labels, self.layers = nn.ModuleList(labels), nn.ModuleList(layers)
        self.width = width
        if spec.discriminator_bias:
            nn.init.normal_(layers[0].bias, std=spec.discriminator_bias)

    def forward(self, items: Items, labels: Labels | None) -> Tensor:
        """What the last hidden layer holds."""
        features: Tensor = self.label_gain(self.input(items.flatten(1), labels))
        for label, layer in zip(self.labels, self.layers, strict=True):
            features = leaky_relu(layer(label(features, labels)), 0.2)
        return features


def perceptron(widths: tuple[int, ...]) -> list[nn.Module]:
    """Linear layers through the widths, for activations between them but not after the last."""
    layers = [initialise(nn.Linear(*fans), gain=2.0) for fans in pairwise(widths)]
    initialise(layers[-1], gain=1.0)
    return layers


def initialise(module: nn.Module, gain: float) -> nn.Module:
    """Weights N(0, gain / fan_in) and biases 0, if the module is a linear layer."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=(gain / module.in_features) ** 0.5)
        nn.init.zeros_(module.bias)
    return module


@torch.no_grad()
def enlarge(layer: nn.Module, factor: float) -> None:
    """Multiply the weights of a linear layer."""
    assert isinstance(layer, nn.Linear)
    layer.weight.mul_(factor)
