"""Virtual batch normalisation: every item is normalised beside the same few others.

Source: Salimans et al. 2016 (arXiv:1606.03498), section 3.5.
"""

import torch
from torch import Tensor, nn

from ganmodels.latents import Latent
from ganmodels.types import Items, Labels, Latents

REFERENCE_ITEMS = 64


class VirtualNorm2d(nn.Module):
    """Normalises by the statistics of the reference and, for every other item, by its own too.

    The first ``REFERENCE_ITEMS`` of a batch are the reference. An item counts as one more of it,
    so that what becomes of it depends on no other item of its batch, in training or later.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, items: Tensor, labels: Labels | None) -> Tensor:
        """Normalise [REFERENCE_ITEMS + batch, channels, height, width]; labels are ignored."""
        values = items.to(torch.promote_types(items.dtype, torch.float32))
        reference, others = values[:REFERENCE_ITEMS], values[REFERENCE_ITEMS:]
        spread, centre = torch.var_mean(reference, (0, 2, 3), correction=0, keepdim=True)
        own_spread, own_centre = torch.var_mean(others, (2, 3), correction=0, keepdim=True)
        # Mean and variance of the reference with one more item, from those of both.
        share, apart = 1 / (len(reference) + 1), own_centre - centre
        joint_centre = centre + share * apart
        joint_spread = (1 - share) * (spread + share * apart.square()) + share * own_spread
        normalised = torch.cat(
            [_scaled(reference, centre, spread), _scaled(others, joint_centre, joint_spread)]
        )
        return (normalised * self.gain + self.bias).to(items.dtype)


def _scaled(values: Tensor, centre: Tensor, spread: Tensor) -> Tensor:
    return (values - centre) * (spread + 1e-5).rsqrt()


class Referenced(nn.Module):
    """A generator that sees the reference before each batch, also when it is sampled from.

    The reference goes through all layers again with every call, as their weights change; it is
    stored with the weights.
    """

    latents: Tensor
    labels: Tensor

    def __init__(self, generator: nn.Module, latents: Latents, labels: Labels) -> None:
        super().__init__()
        self.generator = generator
        self.register_buffer("latents", latents)
        self.register_buffer("labels", labels)

    def forward(self, latents: Latents, labels: Labels | None) -> Items:
        """Items [batch, *shape] of latents [batch, width] and labels [batch]."""
        named = None if labels is None else torch.cat([self.labels, labels])
        items: Items = self.generator(torch.cat([self.latents, latents]), named)
        return items[REFERENCE_ITEMS:]


def with_reference(generator: nn.Module, latent: Latent, classes: int) -> nn.Module:
    """The generator with a reference of random latents and all labels, where its layers need one.

    Latents are drawn like first weights, from PyTorch's own stream.
    """
    if not any(isinstance(module, VirtualNorm2d) for module in generator.modules()):
        return generator
    latents = latent.draw(REFERENCE_ITEMS, torch.default_generator)
    labels = torch.arange(REFERENCE_ITEMS) % max(1, classes)
    return Referenced(generator, latents.to(labels.device), labels)
