"""What two network families share: shapes of image pyramids, normalisation and initialisation."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from ganmodels.conditioning import Conditioning
from ganmodels.networks.virtual import VirtualNorm2d
from ganmodels.spaces import ImageSpace

SMALLEST_EDGE = 8
LARGEST_EDGE = 128

GeneratorNorm = Literal["batch", "virtual", "none"]
DiscriminatorNorm = Literal["batch", "spectral", "none"]


@dataclass(frozen=True)
class Pyramid:
    """How often an image is halved until its shorter edge is 4 to 7 pixels, and what remains.

    ``height`` and ``width`` belong to the smallest grid; they are rounded up, so a generator
    that doubles the grid ``halvings`` times covers the image and is cropped to it.
    """

    halvings: int
    height: int
    width: int

    @classmethod
    def of(cls, space: ImageSpace) -> "Pyramid":
        """The pyramid of an image space with edges from 8 to 128."""
        shorter = min(space.height, space.width)
        halvings = max(1, (shorter // 4).bit_length() - 1)
        cell = 2**halvings
        return cls(halvings, -(-space.height // cell), -(-space.width // cell))


def crop(images: Tensor, space: ImageSpace) -> Tensor:
    """The centre [.., height, width] of images that are at least that large."""
    top = (images.shape[2] - space.height) // 2
    left = (images.shape[3] - space.width) // 2
    return images[:, :, top : top + space.height, left : left + space.width]


def generator_norm(
    norm: GeneratorNorm, conditioning: Conditioning, channels: int, classes: int
) -> nn.Module:
    """The generator's normalisation of one feature map: (items, labels) to items."""
    if norm == "virtual":
        return VirtualNorm2d(channels)
    return Plain() if norm == "none" else conditioning.norm(channels, classes)


class Plain(nn.Module):
    """No normalisation: items pass, labels are ignored."""

    def forward(self, items: Tensor, labels: Tensor | None) -> Tensor:
        """Return the items."""
        return items


def discriminator_norm(norm: DiscriminatorNorm, channels: int) -> nn.Module:
    """What follows a layer of the discriminator."""
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.Identity()


def discriminator_layer(layer: nn.Module, norm: DiscriminatorNorm) -> nn.Module:
    """The layer itself, its weight divided by its largest singular value where asked for."""
    return spectral_norm(layer) if norm == "spectral" else layer


def spectral_head(head: nn.Module, norm: DiscriminatorNorm) -> nn.Module:
    """A last layer, spectrally normalised where the others are."""
    for module in list(head.modules()):
        if isinstance(module, nn.Linear | nn.Embedding):
            discriminator_layer(module, norm)
    return head


@contextmanager
def untraced(network: nn.Module) -> Iterator[None]:
    """The network works as in training, on batches' own statistics, and remembers nothing of it.

    No running statistic, counter or singular vector moves, so looking on changes no match.
    """
    network.eval()
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.training, norm.track_running_stats = True, False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
        network.train()


def he_initialise(module: nn.Module) -> None:
    """Weights N(0, 2/fan_in) for LeakyReLU(0.2) and biases 0, if the module is a layer."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.kaiming_normal_(raw_weight(module), a=0.2)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def raw_weight(module: nn.Module) -> Tensor:
    """The trained tensor; under spectral normalisation ``weight`` is computed from it."""
    if parametrize.is_parametrized(module):
        return module.parametrizations.weight.original  # type: ignore[union-attr, return-value]
    return module.weight  # type: ignore[return-value]
