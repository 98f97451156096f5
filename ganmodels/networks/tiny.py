"""The smallest convolutional pair: that of the unrolled GAN's experiment with few channels.

Sources: Metz et al. 2017 (arXiv:1611.02163), appendix; the sizes are those that Lin et al. 2017
(arXiv:1712.04086), section 4.2, repeated it with.
"""

from itertools import pairwise
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, relu

from ganmodels.conditioning import Conditioning, ItemInput
from ganmodels.machine import Kernel
from ganmodels.networks.blocks import (
    DiscriminatorNorm,
    GeneratorNorm,
    discriminator_layer,
    discriminator_norm,
    generator_norm,
    he_initialise,
    spectral_head,
)
from ganmodels.networks.discriminator import Trunk
from ganmodels.spaces import ImageSpace, Space
from ganmodels.spec import Spec
from ganmodels.types import Items, Labels, Latents

_HALVINGS = 3
_SLOPE = 0.3


class Tiny(Spec):
    """Three halvings by 3x3 convolutions, for images of 8 to 128 pixels.

    Widths count the channels next to the image and double with each halving. A discriminator of
    width 2 has a quarter of the generator's channels, one of width 4 half of them.
    """

    kind: Literal["tiny"] = "tiny"
    generator_width: int = Field(default=8, ge=1, le=64)
    discriminator_width: int = Field(default=4, ge=1, le=64)
    generator_norm: GeneratorNorm = "batch"
    discriminator_norm: DiscriminatorNorm = "batch"
    image_only: ClassVar[bool] = True
    kernel: ClassVar[Kernel] = "narrow_convolution"
    has_plain_layers: ClassVar[bool] = True

    @property
    def generator_has_batch_norm(self) -> bool:
        """Whether class-conditional normalisation has a place to act."""
        return self.generator_norm == "batch"

    @property
    def discriminator_has_batch_norm(self) -> bool:
        """Whether a logit depends on the other items of its batch."""
        return self.discriminator_norm == "batch"

    @property
    def discriminator_has_spectral_norm(self) -> bool:
        """Whether the discriminator's Lipschitz constant is bounded."""
        return self.discriminator_norm == "spectral"

    def generator(
        self, latent: int, space: Space, conditioning: Conditioning, classes: int
    ) -> nn.Module:
        """A generator: (latents, labels) to images in [-1, 1]."""
        assert isinstance(space, ImageSpace)
        return TinyGenerator(self, latent, space, conditioning, classes)

    def trunk(self, space: Space, channels: int, conditioning: Conditioning, classes: int) -> Trunk:
        """A discriminator's trunk: (images, labels) to features."""
        assert isinstance(space, ImageSpace)
        return TinyTrunk(self, space, channels, conditioning, classes)

    def wrap(self, head: nn.Module) -> nn.Module:
        """A discriminator's head, normalised like its other layers."""
        return spectral_head(head, self.discriminator_norm)

    def initialise(self, discriminator: nn.Module) -> None:
        """First weights of a whole discriminator."""
        initialise(discriminator)


def grids(space: ImageSpace) -> list[tuple[int, int]]:
    """Heights and widths from the image's down; halves are rounded up."""
    sizes = [(space.height, space.width)]
    for _ in range(_HALVINGS):
        height, width = sizes[-1]
        sizes.append((-(-height // 2), -(-width // 2)))
    return sizes


class TinyGenerator(nn.Module):
    """Latents [batch, latent] and labels [batch] to images [batch, channels, height, width]."""

    def __init__(
        self, spec: Tiny, latent: int, space: ImageSpace, conditioning: Conditioning, classes: int
    ) -> None:
        super().__init__()
        self.conditioning, self.classes = conditioning, classes
        sizes = grids(space)[::-1]
        widths = [spec.generator_width * 2**halving for halving in range(_HALVINGS, -1, -1)]
        self.start = (widths[0], *sizes[0])
        latent_width = conditioning.latent_width(latent, classes)
        self.stem = nn.Linear(latent_width, widths[0] * sizes[0][0] * sizes[0][1])
        labels, layers, self.norms = [], [], nn.ModuleList()
        for width in widths:
            self.norms.append(generator_norm(spec.generator_norm, conditioning, width, classes))
        for (before, after), (small, large) in zip(pairwise(widths), pairwise(sizes), strict=True):
            label = conditioning.layer_input(before, classes)
            labels.append(label)
            # Grids of odd edges are one short of twice the smaller one's.
            odd = tuple(2 * least == most for least, most in zip(small, large, strict=True))
            layers.append(
                nn.ConvTranspose2d(
                    label.channels,
                    after,
                    3,
                    stride=2,
                    padding=1,
                    output_padding=(int(odd[0]), int(odd[1])),
                )
            )
        self.labels, self.layers = nn.ModuleList(labels), nn.ModuleList(layers)
        self.last_label = conditioning.layer_input(widths[-1], classes)
        self.to_image = nn.Conv2d(self.last_label.channels, space.channels, 3, padding=1)
        initialise(self)

    def forward(self, latents: Latents, labels: Labels | None) -> Items:
        """Images in [-1, 1]."""
        joined = self.conditioning.join_latents(latents, labels, self.classes)
        items = self.stem(joined).reshape(-1, *self.start)
        items = relu(self.norms[0](items, labels))
        for label, layer, norm in zip(self.labels, self.layers, list(self.norms)[1:], strict=True):
            items = relu(norm(layer(label(items, labels)), labels))
        images: Tensor = self.to_image(self.last_label(items, labels)).tanh()
        return images


class Stage(nn.Module):
    """The label where the conditioning puts one, a layer, normalisation, LeakyReLU."""

    def __init__(self, label: ItemInput, layer: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.label, self.layer, self.norm = label, layer, norm

    def forward(self, items: Tensor, labels: Labels | None) -> Tensor:
        """[batch, channels, height, width], halved."""
        return leaky_relu(self.norm(self.layer(self.label(items, labels))), _SLOPE)


class TinyTrunk(Trunk):
    """Images [batch, channels, height, width] and labels [batch] to features [batch, width]."""

    def __init__(
        self,
        spec: Tiny,
        space: ImageSpace,
        channels: int,
        conditioning: Conditioning,
        classes: int,
    ) -> None:
        super().__init__()
        self.input = conditioning.item_input((channels, *space.shape[1:]), classes)
        norm, before = spec.discriminator_norm, self.input.channels
        # In the order in which they are passed, which is the order in which layers are frozen.
        self.stages = nn.ModuleList()
        for halving in range(_HALVINGS):
            label = conditioning.layer_input(before, classes) if halving else ItemInput(before)
            after = spec.discriminator_width * 2**halving
            layer = nn.Conv2d(label.channels, after, 3, stride=2, padding=1)
            normalised = discriminator_layer(layer, norm)
            self.stages.append(Stage(label, normalised, discriminator_norm(norm, after)))
            before = after
        height, width = grids(space)[-1]
        self.width = before * height * width

    def forward(self, items: Items, labels: Labels | None) -> Tensor:
        """Features of the smallest grid, flattened."""
        features: Tensor = self.input(items, labels)
        for stage in self.stages:
            features = stage(features, labels)
        return features.flatten(1)


def initialise(network: nn.Module) -> None:
    """Weights N(0, 2/fan_in), biases 0."""
    for module in network.modules():
        he_initialise(module)
