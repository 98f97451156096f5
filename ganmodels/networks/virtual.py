"""Virtual batch normalisation: every item is normalised beside the same few others.

Source: Salimans et al. 2016 (arXiv:1606.03498), section 3.5.
"""

from copy import deepcopy

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
        values = _precise(items)
        reference, others = values[:REFERENCE_ITEMS], values[REFERENCE_ITEMS:]
        spread, centre = _statistics(reference)
        normalised = torch.cat(
            [_scaled(reference, centre, spread), _beside(others, centre, spread)]
        )
        return (normalised * self.gain + self.bias).to(items.dtype)


class RememberedNorm2d(nn.Module):
    """A ``VirtualNorm2d`` that remembers the statistics of the reference, which it need not see."""

    centre: Tensor
    spread: Tensor

    def __init__(self, norm: VirtualNorm2d, reference: Items) -> None:
        super().__init__()
        self.gain, self.bias = norm.gain, norm.bias
        spread, centre = _statistics(_precise(reference))
        self.register_buffer("centre", centre)
        self.register_buffer("spread", spread)

    def forward(self, items: Tensor, labels: Labels | None) -> Tensor:
        """Normalise [batch, channels, height, width]; labels are ignored."""
        normalised = _beside(_precise(items), self.centre, self.spread)
        return (normalised * self.gain + self.bias).to(items.dtype)


def _precise(items: Items) -> Items:
    return items.to(torch.promote_types(items.dtype, torch.float32))


def _statistics(reference: Items) -> tuple[Tensor, Tensor]:
    """Variance and mean of each channel."""
    return torch.var_mean(reference, (0, 2, 3), correction=0, keepdim=True)


def _beside(others: Items, centre: Tensor, spread: Tensor) -> Items:
    """Each item normalised by the statistics of the reference with this one item more."""
    own_spread, own_centre = torch.var_mean(others, (2, 3), correction=0, keepdim=True)
    share, apart = 1 / (REFERENCE_ITEMS + 1), own_centre - centre
    joint_centre = centre + share * apart
    joint_spread = (1 - share) * (spread + share * apart.square()) + share * own_spread
    return _scaled(others, joint_centre, joint_spread)


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

    @torch.no_grad()
    def folded(self) -> nn.Module:
        """A copy that does the same in evaluation, where the reference looks always alike."""
        copy = deepcopy(self)
        generator = copy.generator
        seen: dict[nn.Module, Items] = {}

        def note(norm: nn.Module, given: tuple[Items], normalised: Items) -> None:
            seen[norm] = given[0][:REFERENCE_ITEMS]

        norms = {name: m for name, m in generator.named_modules() if isinstance(m, VirtualNorm2d)}
        hooks = [norm.register_forward_hook(note) for norm in norms.values()]
        copy(self.latents[:1], self.labels[:1])
        for hook in hooks:
            hook.remove()
        for name, norm in norms.items():
            generator.set_submodule(name, RememberedNorm2d(norm, seen[norm]))
        return generator


def with_reference(generator: nn.Module, latent: Latent, classes: int) -> nn.Module:
    """The generator with a reference of random latents and all labels, where its layers need one.

    Latents are drawn like first weights, from PyTorch's own stream.
    """
    if not any(isinstance(module, VirtualNorm2d) for module in generator.modules()):
        return generator
    latents = latent.draw(REFERENCE_ITEMS, torch.default_generator)
    labels = torch.arange(REFERENCE_ITEMS) % max(1, classes)
    return Referenced(generator, latents.to(labels.device), labels)
