"""The refiner and the discriminator of patches of SimGAN.

Source: Shrivastava et al. 2016 (arXiv:1612.07828), appendix.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import relu

from ganmodels.machine import Kernel
from ganmodels.networks.blocks import he_initialise
from ganmodels.networks.discriminator import Discriminator, Trunk
from ganmodels.networks.patches import PatchHead, PatchNorm, outer_layer, patch_layer
from ganmodels.spaces import ImageSpace, Space
from ganmodels.spec import Spec
from ganmodels.types import Items, Labels

# Images are taken for so much of themselves, so that black and white still let gradients through.
_INSIDE = 0.95


class ResidualRefiner(Spec):
    """Networks of SimGAN for images of 8 to 128 pixels.

    The generator works at full size: a 3x3 convolution, ``blocks`` residual blocks of ``width``
    channels and a 1x1 convolution, whose result is added to the image. The discriminator halves
    the image ``discriminator_halvings`` times. With 2, as in the paper, a logit sees 23x23
    pixels, with 1 it sees 13x13: on images that are hardly larger than 23 pixels only the latter
    is a judge of details.
    """

    kind: Literal["residual_refiner"] = "residual_refiner"
    width: int = Field(default=64, ge=4, le=256)
    blocks: int = Field(default=4, ge=1, le=12)
    discriminator_width: int = Field(default=96, ge=6, le=384)
    discriminator_halvings: int = Field(default=2, ge=1, le=2)
    discriminator_norm: PatchNorm = "none"
    image_only: ClassVar[bool] = True
    kernel: ClassVar[Kernel] = "convolution"
    generator_has_batch_norm: ClassVar[bool] = False
    discriminator_has_batch_norm: ClassVar[bool] = False

    @property
    def discriminator_has_spectral_norm(self) -> bool:
        """Whether the discriminator's Lipschitz constant is bounded."""
        return self.discriminator_norm == "spectral"

    def generator(self, space: Space) -> nn.Module:
        """A generator: (images, labels) to images in [-1, 1] of the same shape."""
        assert isinstance(space, ImageSpace)
        return RefinerGenerator(self, space)

    def discriminator(self, space: Space) -> Discriminator:
        """A discriminator of patches: (images, labels) to logits [batch, rows, columns]."""
        assert isinstance(space, ImageSpace)
        trunk = RefinerTrunk(self, space)
        last = outer_layer(nn.Conv2d(trunk.width, 1, 1), self.discriminator_norm)
        discriminator = Discriminator(trunk, PatchHead(last))
        for module in discriminator.modules():
            he_initialise(module)
        return discriminator


class RefinerGenerator(nn.Module):
    """Images [batch, channels, height, width] in [-1, 1] to the same; labels are ignored.

    What is learned is added to the image, and nothing at first: the paper's refiner has to learn
    to copy, and on dark images with little ink it may find that black is nearly as good.
    """

    def __init__(self, spec: ResidualRefiner, space: ImageSpace) -> None:
        super().__init__()
        self.from_image = nn.Conv2d(space.channels, spec.width, 3, padding=1)
        self.blocks = nn.Sequential(*(RefinerBlock(spec.width) for _ in range(spec.blocks)))
        self.to_image = nn.Conv2d(spec.width, space.channels, 1)
        for module in self.modules():
            he_initialise(module)
        nn.init.zeros_(self.to_image.weight)

    def forward(self, items: Items, labels: Labels | None) -> Items:
        """Images in [-1, 1]."""
        change: Tensor = self.to_image(self.blocks(relu(self.from_image(items))))
        return (torch.atanh(_INSIDE * items) + change).tanh()


class RefinerBlock(nn.Module):
    """Two 3x3 convolutions beside a plain path."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, items: Tensor) -> Tensor:
        """[batch, width, height, width] to the same shape."""
        return relu(items + self.second(relu(self.first(items))))


class RefinerTrunk(Trunk):
    """Images to feature maps [batch, width, rows, columns]."""

    def __init__(self, spec: ResidualRefiner, space: ImageSpace) -> None:
        super().__init__()
        wide, norm = spec.discriminator_width, spec.discriminator_norm
        middle, self.width = wide * 2 // 3, wide // 3
        stride = spec.discriminator_halvings
        first = nn.Conv2d(space.channels, wide, 3, stride=stride, padding=1)
        self.layers = nn.Sequential(
            outer_layer(first, norm),
            nn.ReLU(),
            patch_layer(nn.Conv2d(wide, middle, 3, stride=2, padding=1), norm),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=1, padding=1),
            patch_layer(nn.Conv2d(middle, self.width, 3, padding=1), norm),
            nn.ReLU(),
            patch_layer(nn.Conv2d(self.width, self.width, 1), norm),
            nn.ReLU(),
        )

    def forward(self, items: Items, labels: Labels | None) -> Tensor:
        """What stands at each place."""
        features: Tensor = self.layers(items)
        return features
