"""DCGAN: strided convolutions in place of pooling. Source: Radford et al. 2015 (1511.06434)."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from ganmodels.conditioning import Conditioning
from ganmodels.networks.blocks import (
    DiscriminatorNorm,
    GeneratorNorm,
    Pyramid,
    crop,
    discriminator_head,
    discriminator_layer,
    discriminator_norm,
    generator_norm,
    he_initialise,
)
from ganmodels.spaces import ImageSpace, Space
from ganmodels.spec import Spec
from ganmodels.types import Items, Labels, Latents, Logits


class Dcgan(Spec):
    """Transposed convolutions up, strided convolutions down, for images of 8 to 128 pixels.

    Widths count the channels at half of the image's resolution and double with each halving.
    ``extra_convolutions`` adds a 3x3 convolution at every grid of the generator but the last and
    at the smallest grid of the discriminator: measured on MNIST it halves the Frechet distance.
    Weights start as N(0, 0.02) where batch normalisation rescales them, else as He's.
    """

    kind: Literal["dcgan"] = "dcgan"
    generator_width: int = Field(default=32, ge=4, le=256)
    discriminator_width: int = Field(default=32, ge=4, le=256)
    generator_norm: GeneratorNorm = "batch"
    discriminator_norm: DiscriminatorNorm = "batch"
    extra_convolutions: bool = True
    image_only: ClassVar[bool] = True

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
        return DcganGenerator(self, latent, space, conditioning, classes)

    def discriminator(self, space: Space, conditioning: Conditioning, classes: int) -> nn.Module:
        """A discriminator: (images, labels) to one logit each."""
        assert isinstance(space, ImageSpace)
        return DcganDiscriminator(self, space, conditioning, classes)


class GeneratorStage(nn.Module):
    """A layer, normalisation by label, ReLU."""

    def __init__(self, layer: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.layer, self.norm, self.activation = layer, norm, nn.ReLU()

    def forward(self, items: Tensor, labels: Labels | None) -> Tensor:
        """[batch, channels, height, width], possibly doubled."""
        activated: Tensor = self.activation(self.norm(self.layer(items), labels))
        return activated


class DcganGenerator(nn.Module):
    """Latents [batch, latent] and labels [batch] to images [batch, channels, height, width]."""

    def __init__(
        self,
        spec: Dcgan,
        latent: int,
        space: ImageSpace,
        conditioning: Conditioning,
        classes: int,
    ) -> None:
        super().__init__()
        self.conditioning, self.space, self.classes = conditioning, space, classes
        self.pyramid = pyramid = Pyramid.of(space)
        width = spec.generator_width * 2 ** (pyramid.halvings - 1)
        self.base_width = width
        stem = nn.Linear(
            conditioning.latent_width(latent, classes), width * pyramid.height * pyramid.width
        )

        def stage(layer: nn.Module, channels: int) -> GeneratorStage:
            norm = generator_norm(spec.generator_norm, conditioning, channels, classes)
            return GeneratorStage(layer, norm)

        def refinement(channels: int) -> list[GeneratorStage]:
            layer = nn.Conv2d(channels, channels, 3, padding=1)
            return [stage(layer, channels)] if spec.extra_convolutions else []

        self.stem = stem
        self.stem_norm = stage(nn.Identity(), width)
        self.stages = nn.ModuleList(refinement(width))
        for _ in range(pyramid.halvings - 1):
            up = nn.ConvTranspose2d(width, width // 2, 4, stride=2, padding=1)
            width //= 2
            self.stages.extend([stage(up, width), *refinement(width)])
        self.to_image = nn.ConvTranspose2d(width, space.channels, 4, stride=2, padding=1)
        initialise(self, normalised=spec.generator_norm == "batch")

    def forward(self, latents: Latents, labels: Labels | None) -> Items:
        """Images in [-1, 1]."""
        joined = self.conditioning.join_latents(latents, labels, self.classes)
        grid = (self.base_width, self.pyramid.height, self.pyramid.width)
        items = self.stem_norm(self.stem(joined).reshape(-1, *grid), labels)
        for stage in self.stages:
            items = stage(items, labels)
        return crop(self.to_image(items).tanh(), self.space)


class DcganDiscriminator(nn.Module):
    """Images [batch, channels, height, width] and labels [batch] to logits [batch]."""

    def __init__(
        self, spec: Dcgan, space: ImageSpace, conditioning: Conditioning, classes: int
    ) -> None:
        super().__init__()
        self.input = conditioning.item_input(space.shape, classes)
        norm, layers, activation = spec.discriminator_norm, [], nn.LeakyReLU(0.2)

        def layer(convolution: nn.Conv2d, normalise: bool = True) -> list[nn.Module]:
            normed = discriminator_layer(convolution, norm)
            after = discriminator_norm(norm if normalise else "none", convolution.out_channels)
            return [normed, after, activation]

        width = spec.discriminator_width
        # No normalisation after the first layer: it would hide the image's own statistics.
        layers += layer(
            nn.Conv2d(self.input.channels, width, 4, stride=2, padding=1), normalise=False
        )
        for _ in range(Pyramid.of(space).halvings - 1):
            layers += layer(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1))
            width *= 2
        if spec.extra_convolutions:
            layers += layer(nn.Conv2d(width, width, 3, padding=1))
        self.layers = nn.Sequential(*layers)
        cell = 2 ** Pyramid.of(space).halvings
        features = width * (space.height // cell) * (space.width // cell)
        self.head = discriminator_head(conditioning, features, classes, norm)
        initialise(self, normalised=norm == "batch")

    def forward(self, items: Items, labels: Labels | None) -> Logits:
        """One logit per image."""
        features = self.layers(self.input(items, labels))
        logits: Tensor = self.head(features.flatten(1), labels)
        return logits


def initialise(network: nn.Module, normalised: bool) -> None:
    """Weights N(0, 0.02) where normalisation follows, else N(0, 2/fan_in); biases 0."""
    for module in network.modules():
        he_initialise(module)
        if normalised and isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
