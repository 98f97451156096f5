"""R3GAN's networks: grouped residual blocks without any normalisation, one the other's mirror.

Source: Huang et al. 2024 (arXiv:2501.05441), section 4 and table 9, for the shape and the numbers;
Zhang et al. 2019 (arXiv:1901.09321) for the initialisation.
"""

import math
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, pad

from ganmodels.conditioning import Conditioning
from ganmodels.machine import Kernel
from ganmodels.networks.blocks import Pyramid, crop
from ganmodels.networks.discriminator import Trunk
from ganmodels.spaces import ImageSpace, Space
from ganmodels.spec import Spec
from ganmodels.types import Items, Labels, Latents

_EXPANSION = 2
_GROUP = 16
_SLOPE = 0.2
_GAIN = math.sqrt(2 / (1 + _SLOPE**2))

Width = Annotated[int, Field(ge=8, le=1024, multiple_of=8)]


class R3(Spec):
    """Residual blocks for images of 8 to 128 pixels; made for relativistic pairing with R1 and R2.

    ``widths`` count the channels from the smallest grid up, both networks alike; the last one
    holds for all larger grids. Each grid has ``blocks_per_grid`` blocks. Generated values are not
    bounded: the discriminator teaches the range.
    """

    kind: Literal["r3"] = "r3"
    widths: tuple[Width, ...] = Field(default=(128, 128, 64), min_length=1, max_length=6)
    blocks_per_grid: int = Field(default=2, ge=1, le=4)
    image_only: ClassVar[bool] = True
    kernel: ClassVar[Kernel] = "grouped_convolution"
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
        """A generator: (latents, labels) to images, about within [-1, 1]."""
        assert isinstance(space, ImageSpace)
        return R3Generator(self, latent, space, conditioning, classes)

    def trunk(self, space: Space, channels: int, conditioning: Conditioning, classes: int) -> Trunk:
        """A discriminator's trunk: (images, labels) to features."""
        assert isinstance(space, ImageSpace)
        return R3Trunk(self, space, channels, conditioning, classes)

    def wrap(self, head: nn.Module) -> nn.Module:
        """A discriminator's head as it is: nothing is normalised here."""
        return head

    def initialise(self, discriminator: nn.Module) -> None:
        """First weights of the heads; the trunk has its own."""
        for name, module in discriminator.named_modules():
            if not name.startswith("trunk."):
                initialise(module)

    def widths_of(self, pyramid: Pyramid) -> list[int]:
        """One width for each grid, from the smallest up."""
        grids = pyramid.halvings + 1
        return [self.widths[min(grid, len(self.widths) - 1)] for grid in range(grids)]


class Block(nn.Module):
    """1x1, grouped 3x3 at twice the width, and 1x1 convolutions beside a plain path.

    ``blocks`` is how many the whole network has: with more of them each starts smaller, and all
    as the identity.
    """

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        inner = _EXPANSION * width
        self.widen = nn.Conv2d(width, inner, 1)
        self.mix = nn.Conv2d(inner, inner, 3, padding=1, groups=inner // _GROUP)
        self.narrow = nn.Conv2d(inner, width, 1, bias=False)
        for layer in (self.widen, self.mix):
            initialise(layer, gain=_GAIN * blocks**-0.25)
        nn.init.zeros_(self.narrow.weight)

    def forward(self, items: Tensor) -> Tensor:
        """[batch, width, height, width] to the same shape."""
        residual = leaky_relu(self.widen(items), _SLOPE)
        residual = leaky_relu(self.mix(residual), _SLOPE)
        summed: Tensor = items + self.narrow(residual)
        return summed


class R3Generator(nn.Module):
    """Latents [batch, latent] and labels [batch] to images [batch, channels, height, width]."""

    def __init__(
        self, spec: R3, latent: int, space: ImageSpace, conditioning: Conditioning, classes: int
    ) -> None:
        super().__init__()
        self.conditioning, self.space, self.classes = conditioning, space, classes
        pyramid = Pyramid.of(space)
        widths = spec.widths_of(pyramid)
        self.basis = nn.Parameter(torch.randn(widths[0], pyramid.height, pyramid.width))
        latent_width = conditioning.latent_width(latent, classes)
        self.stem = initialise(nn.Linear(latent_width, widths[0], bias=False))
        self.widenings = _pointwise(widths)
        self.grids = _grids(widths, spec.blocks_per_grid)
        self.to_image = initialise(nn.Conv2d(widths[-1], space.channels, 1))

    def forward(self, latents: Latents, labels: Labels | None) -> Items:
        """Images, about within [-1, 1]."""
        joined = self.conditioning.join_latents(latents, labels, self.classes)
        items: Tensor = self.basis * self.stem(joined)[:, :, None, None]
        items = self.grids[0](items)
        for widening, blocks in zip(self.widenings, list(self.grids)[1:], strict=True):
            items = blocks(doubled(widening(items)))
        return crop(self.to_image(items), self.space)


class Grid(nn.Module):
    """Blocks at one resolution and, unless it is the last, the way to half of it."""

    def __init__(self, blocks: nn.Module, narrowing: nn.Module) -> None:
        super().__init__()
        self.blocks, self.narrowing = blocks, narrowing

    def forward(self, items: Tensor, is_last: bool) -> Tensor:
        """[batch, width, height, width], halved unless it is the last."""
        items = self.blocks(items)
        return items if is_last else self.narrowing(halved(items))


class R3Trunk(Trunk):
    """Images [batch, channels, height, width] and labels [batch] to features [batch, width]."""

    def __init__(
        self, spec: R3, space: ImageSpace, channels: int, conditioning: Conditioning, classes: int
    ) -> None:
        super().__init__()
        self.input = conditioning.item_input((channels, *space.shape[1:]), classes)
        pyramid = Pyramid.of(space)
        widths = spec.widths_of(pyramid)
        cell = 2**pyramid.halvings
        self.missing = (pyramid.height * cell - space.height, pyramid.width * cell - space.width)
        self.from_image = initialise(nn.Conv2d(self.input.channels, widths[-1], 1))
        # In the order in which they are passed, which is the order in which layers are frozen.
        grids, narrowings = _grids(widths[::-1], spec.blocks_per_grid), _pointwise(widths[::-1])
        pairs = zip(grids, [*narrowings, nn.Identity()], strict=True)
        self.grids = nn.ModuleList(Grid(*pair) for pair in pairs)
        self.width = widths[0]
        grid = (pyramid.height, pyramid.width)
        gather = nn.Conv2d(self.width, self.width, grid, groups=self.width, bias=False)
        self.gather = initialise(gather)

    def forward(self, items: Items, labels: Labels | None) -> Tensor:
        """One value for each channel of the smallest grid."""
        features: Tensor = self.from_image(self._filled(self.input(items, labels)))
        for index, grid in enumerate(self.grids):
            features = grid(features, is_last=index == len(self.grids) - 1)
        flat: Tensor = self.gather(features).flatten(1)
        return flat

    def _filled(self, items: Tensor) -> Tensor:
        """With zeros around it, as large as what the generator crops an image from."""
        rows, columns = self.missing
        top, left = rows // 2, columns // 2
        return pad(items, (left, columns - left, top, rows - top))


def _grids(widths: list[int], blocks_per_grid: int) -> nn.ModuleList:
    blocks = len(widths) * blocks_per_grid
    return nn.ModuleList(
        nn.Sequential(*(Block(width, blocks) for _ in range(blocks_per_grid))) for width in widths
    )


def _pointwise(widths: list[int]) -> nn.ModuleList:
    """What lies between two grids; nothing where the width stays."""
    return nn.ModuleList(
        nn.Identity() if before == after else initialise(nn.Conv2d(before, after, 1, bias=False))
        for before, after in pairwise(widths)
    )


def doubled(items: Tensor) -> Tensor:
    """[batch, width, height, width] at twice the resolution, interpolated linearly."""
    return conv_transpose2d(items, 4 * _smoothing(items), stride=2, padding=1, groups=_of(items))


def halved(items: Tensor) -> Tensor:
    """[batch, width, height, width] at half of the resolution, smoothed first."""
    return conv2d(items, _smoothing(items), stride=2, padding=1, groups=_of(items))


def _smoothing(items: Tensor) -> Tensor:
    """[1, 2, 1] after [1, 1] in both directions, with the sum 1, for each channel."""
    # Computed in place: a constant would be sent to the device at every call.
    place = torch.arange(4, dtype=items.dtype, device=items.device)
    line = (2 - (place - 1.5).abs()) / 4
    return torch.outer(line, line).expand(_of(items), 1, 4, 4)


def _of(items: Tensor) -> int:
    return items.shape[1]


def initialise(module: nn.Module, gain: float = 1.0) -> nn.Module:
    """Weights N(0, gain^2 / fan_in) and biases 0, if the module has weights."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        fan_in = module.weight[0].numel()
        nn.init.normal_(module.weight, std=gain / math.sqrt(fan_in))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=1 / math.sqrt(module.embedding_dim))
    return module
