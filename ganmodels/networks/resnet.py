"""Residual networks, with spectral normalisation or with none at all.

Sources: Miyato et al. 2018 (arXiv:1802.05957), table 4, for the shape; Zhang et al. 2019
(arXiv:1901.09321) for training without normalisation; Huang et al. 2024 (arXiv:2501.05441).
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu

from ganmodels.conditioning import Conditioning
from ganmodels.machine import Kernel
from ganmodels.networks.blocks import (
    DiscriminatorNorm,
    GeneratorNorm,
    Pyramid,
    crop,
    discriminator_layer,
    generator_norm,
    he_initialise,
    raw_weight,
    spectral_head,
)
from ganmodels.networks.discriminator import Trunk
from ganmodels.spaces import ImageSpace, Space
from ganmodels.spec import Spec
from ganmodels.types import Items, Labels, Latents


class Resnet(Spec):
    """Residual blocks with one width at every grid, for images of 8 to 128 pixels.

    Without normalisation the blocks start as the identity (fix-up): the last convolution of each
    is zero and the first is scaled by blocks^(-1/2), as blocks have two (Zhang et al. 2019,
    arXiv:1901.09321, section 3).
    """

    kind: Literal["resnet"] = "resnet"
    generator_width: int = Field(default=64, ge=4, le=512)
    discriminator_width: int = Field(default=64, ge=4, le=512)
    generator_norm: GeneratorNorm = "batch"
    discriminator_norm: Literal["spectral", "none"] = "spectral"
    blocks_per_grid: int = Field(default=1, ge=1, le=4)
    image_only: ClassVar[bool] = True
    kernel: ClassVar[Kernel] = "convolution"
    has_plain_layers: ClassVar[bool] = False

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
        return self.discriminator_norm == "spectral"

    def generator(
        self, latent: int, space: Space, conditioning: Conditioning, classes: int
    ) -> nn.Module:
        """A generator: (latents, labels) to images in [-1, 1]."""
        assert isinstance(space, ImageSpace)
        return ResnetGenerator(self, latent, space, conditioning, classes)

    def trunk(self, space: Space, channels: int, conditioning: Conditioning, classes: int) -> Trunk:
        """A discriminator's trunk: (images, labels) to features."""
        assert isinstance(space, ImageSpace)
        return ResnetTrunk(self, space, channels, conditioning, classes)

    def wrap(self, head: nn.Module) -> nn.Module:
        """A discriminator's head, normalised like its other layers."""
        return spectral_head(head, self.discriminator_norm)

    def initialise(self, discriminator: nn.Module) -> None:
        """First weights of a whole discriminator."""
        initialise(discriminator, fixup=self.discriminator_norm == "none")


class GeneratorBlock(nn.Module):
    """Two normalised 3x3 convolutions beside a plain path, at one resolution."""

    def __init__(self, width: int, norms: tuple[nn.Module, nn.Module]) -> None:
        super().__init__()
        self.first_norm, self.second_norm = norms
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, items: Tensor, labels: Labels | None) -> Tensor:
        """[batch, width, height, width] to the same shape."""
        residual = self.first(leaky_relu(self.first_norm(items, labels), 0.2))
        residual = self.second(leaky_relu(self.second_norm(residual, labels), 0.2))
        summed: Tensor = items + residual
        return summed


class ResnetGenerator(nn.Module):
    """Latents [batch, latent] and labels [batch] to images [batch, channels, height, width]."""

    def __init__(
        self,
        spec: Resnet,
        latent: int,
        space: ImageSpace,
        conditioning: Conditioning,
        classes: int,
    ) -> None:
        super().__init__()
        self.conditioning, self.space, self.classes = conditioning, space, classes
        self.pyramid = pyramid = Pyramid.of(space)
        self.width, self.blocks_per_grid = spec.generator_width, spec.blocks_per_grid
        grid = pyramid.height * pyramid.width

        def norm() -> nn.Module:
            return generator_norm(spec.generator_norm, conditioning, self.width, classes)

        latent_width = conditioning.latent_width(latent, classes)
        self.stem = nn.Linear(latent_width, self.width * grid)
        count = (pyramid.halvings + 1) * spec.blocks_per_grid
        self.blocks = nn.ModuleList(
            GeneratorBlock(self.width, (norm(), norm())) for _ in range(count)
        )
        self.last_norm = norm()
        self.to_image = nn.Conv2d(self.width, space.channels, 3, padding=1)
        initialise(self, fixup=spec.generator_norm == "none")

    def forward(self, latents: Latents, labels: Labels | None) -> Items:
        """Images in [-1, 1]."""
        joined = self.conditioning.join_latents(latents, labels, self.classes)
        grid = (self.width, self.pyramid.height, self.pyramid.width)
        items = self.stem(joined).reshape(-1, *grid)
        for index, block in enumerate(self.blocks):
            if index and index % self.blocks_per_grid == 0:
                items = interpolate(items, scale_factor=2, mode="nearest")
            items = block(items, labels)
        items = leaky_relu(self.last_norm(items, labels), 0.2)
        return crop(self.to_image(items).tanh(), self.space)


class DiscriminatorBlock(nn.Module):
    """Two 3x3 convolutions beside a plain path, at one resolution."""

    def __init__(self, width: int, norm: DiscriminatorNorm) -> None:
        super().__init__()
        self.first = discriminator_layer(nn.Conv2d(width, width, 3, padding=1), norm)
        self.second = discriminator_layer(nn.Conv2d(width, width, 3, padding=1), norm)

    def forward(self, items: Tensor) -> Tensor:
        """[batch, width, height, width] to the same shape."""
        residual: Tensor = self.second(leaky_relu(self.first(leaky_relu(items, 0.2)), 0.2))
        return items + residual


class ResnetTrunk(Trunk):
    """Images [batch, channels, height, width] and labels [batch] to features [batch, width]."""

    def __init__(
        self,
        spec: Resnet,
        space: ImageSpace,
        channels: int,
        conditioning: Conditioning,
        classes: int,
    ) -> None:
        super().__init__()
        self.input = conditioning.item_input((channels, *space.shape[1:]), classes)
        self.blocks_per_grid = spec.blocks_per_grid
        self.width, norm = spec.discriminator_width, spec.discriminator_norm
        self.from_image = discriminator_layer(
            nn.Conv2d(self.input.channels, self.width, 3, padding=1), norm
        )
        count = (Pyramid.of(space).halvings + 1) * spec.blocks_per_grid
        self.blocks = nn.ModuleList(DiscriminatorBlock(self.width, norm) for _ in range(count))

    def forward(self, items: Items, labels: Labels | None) -> Tensor:
        """Means over the smallest grid."""
        features = self.from_image(self.input(items, labels))
        for index, block in enumerate(self.blocks):
            if index and index % self.blocks_per_grid == 0:
                features = avg_pool2d(features, 2)
            features = block(features)
        return leaky_relu(features, 0.2).mean((2, 3))


def initialise(network: nn.Module, fixup: bool) -> None:
    """He's weights, biases 0; with ``fixup`` each block starts as the identity."""
    for module in network.modules():
        he_initialise(module)
    if fixup:
        blocks = [
            m for m in network.modules() if isinstance(m, GeneratorBlock | DiscriminatorBlock)
        ]
        for block in blocks:
            nn.init.zeros_(raw_weight(block.second))
            with torch.no_grad():
                raw_weight(block.first).mul_(len(blocks) ** -0.5)
