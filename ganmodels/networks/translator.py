"""Residual networks from images to images of the same shape, and discriminators of patches.

Sources: Zhu et al. 2017 (arXiv:1703.10593), section 7.2; Johnson et al. 2016 (arXiv:1603.08155)
for the generator; Isola et al. 2017 (arXiv:1611.07004) for the discriminator.
"""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from ganmodels.machine import Kernel
from ganmodels.networks.blocks import Pyramid, crop, raw_weight
from ganmodels.networks.discriminator import Discriminator, Trunk
from ganmodels.networks.patches import PatchHead, PatchNorm, outer_layer, patch_layer
from ganmodels.spaces import ImageSpace, Space
from ganmodels.spec import Spec
from ganmodels.types import Items, Labels

_SPREAD = 0.02


class ResidualTranslator(Spec):
    """Networks of CycleGAN for images of 8 to 128 pixels.

    The generator halves the image ``halvings`` times, has ``blocks`` residual blocks there and
    doubles it again. ``discriminator_layers`` counts the discriminator's halvings; small images
    have fewer. With 1, 2 and 3 of them a logit sees 16, 34 and 70 pixels.
    """

    kind: Literal["residual_translator"] = "residual_translator"
    generator_width: int = Field(default=32, ge=4, le=256)
    blocks: int = Field(default=6, ge=1, le=12)
    halvings: int = Field(default=2, ge=0, le=2)
    discriminator_width: int = Field(default=32, ge=4, le=256)
    discriminator_layers: int = Field(default=2, ge=1, le=4)
    discriminator_norm: PatchNorm = "instance"
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
        return TranslatorGenerator(self, space)

    def discriminator(self, space: Space) -> Discriminator:
        """A discriminator of patches: (images, labels) to logits [batch, rows, columns]."""
        assert isinstance(space, ImageSpace)
        trunk = PatchTrunk(self, space)
        last = outer_layer(nn.Conv2d(trunk.width, 1, 4, padding=1), self.discriminator_norm)
        discriminator = Discriminator(trunk, PatchHead(last))
        initialise(discriminator)
        return discriminator


class TranslatorGenerator(nn.Module):
    """Images [batch, channels, height, width] in [-1, 1] to the same; labels are ignored."""

    def __init__(self, spec: ResidualTranslator, space: ImageSpace) -> None:
        super().__init__()
        self.space, width = space, spec.generator_width
        layers = [_normed(nn.Conv2d(space.channels, width, 7, padding=3, padding_mode="reflect"))]
        for _ in range(spec.halvings):
            layers.append(_normed(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)))
            width *= 2
        layers.extend(TranslatorBlock(width) for _ in range(spec.blocks))
        for _ in range(spec.halvings):
            up = nn.ConvTranspose2d(width, width // 2, 3, stride=2, padding=1, output_padding=1)
            layers.append(_normed(up))
            width //= 2
        self.layers = nn.Sequential(*layers)
        self.to_image = nn.Conv2d(width, space.channels, 7, padding=3, padding_mode="reflect")
        initialise(self)

    def forward(self, items: Items, labels: Labels | None) -> Items:
        """Images in [-1, 1]."""
        return crop(self.to_image(self.layers(items)).tanh(), self.space)


class TranslatorBlock(nn.Module):
    """Two 3x3 convolutions with instance normalisation beside a plain path."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first, second = (
            nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect") for _ in range(2)
        )
        self.residual = nn.Sequential(_normed(first), second, nn.InstanceNorm2d(width))

    def forward(self, items: Tensor) -> Tensor:
        """[batch, width, height, width] to the same shape."""
        residual: Tensor = self.residual(items)
        return items + residual


class PatchTrunk(Trunk):
    """Images to feature maps [batch, width, rows, columns]."""

    def __init__(self, spec: ResidualTranslator, space: ImageSpace) -> None:
        super().__init__()
        norm, halvings = spec.discriminator_norm, _halvings(spec, space)
        self.width = spec.discriminator_width
        first = nn.Conv2d(space.channels, self.width, 4, stride=2, padding=1)
        self.layers = nn.ModuleList([outer_layer(first, norm)])
        for index in range(1, halvings + 1):
            # The widths of the paper end at eight times the first.
            wider = min(2 * self.width, 8 * spec.discriminator_width)
            stride = 2 if index < halvings else 1
            layer = nn.Conv2d(self.width, wider, 4, stride=stride, padding=1)
            self.layers.append(patch_layer(layer, norm))
            self.width = wider

    def forward(self, items: Items, labels: Labels | None) -> Tensor:
        """What stands at each place of the smallest grid."""
        for layer in self.layers:
            items = leaky_relu(layer(items), 0.2)
        return items


def _halvings(spec: ResidualTranslator, space: ImageSpace) -> int:
    """As many as leave a grid of 4 places a side, from which two more layers take one each."""
    return min(spec.discriminator_layers, Pyramid.of(space).halvings)


def _normed(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Module:
    return nn.Sequential(layer, nn.InstanceNorm2d(layer.out_channels), nn.ReLU())


def initialise(network: nn.Module) -> None:
    """Weights N(0, 0.02^2) and biases 0, as in the paper."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(raw_weight(module), std=_SPREAD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
