"""Starting from another training's weights: transfer learning, and FreezeD."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from ganmodels.shapes import shapes_only
from ganmodels.spec import Spec

if TYPE_CHECKING:
    from ganmodels.config import TrainConfig

Weights = Mapping[str, Mapping[str, Tensor]]
Names = tuple[str, ...]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

_LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


class Start(Spec):
    """The checkpoint whose averaged weights both networks start from.

    The first ``freeze_discriminator_layers`` layers of the discriminator never learn: with little
    data they would forget what they know. Source: Mo et al. 2020 (arXiv:2002.10964).
    """

    checkpoint: Digest
    freeze_discriminator_layers: int = Field(default=0, ge=0, le=64)


class Fit(NamedTuple):
    """Names of tensors, ``player/name``, that are taken over, and of those that start anew."""

    taken: Names
    new: Names


def fit(config: TrainConfig, weights: Weights) -> Fit:
    """Which weights, by player and name, the networks of a configuration can take over.

    A tensor is taken over where it has the same name and shape: networks for other classes or
    channels keep all but the layers that see them.
    """
    with shapes_only():
        networks = config.game.networks(config)
    taken: list[str] = []
    new: list[str] = []
    for player, network in networks.items():
        held = weights.get(player, {})
        for name, tensor in network.state_dict().items():
            if not tensor.is_floating_point():
                continue
            fits = name in held and held[name].shape == tensor.shape
            (taken if fits else new).append(f"{player}/{name}")
    return Fit(tuple(taken), tuple(new))


@torch.no_grad()
def adopt(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Overwrite what fits, in place; counters and labels are nobody's but the network's own."""
    for name, tensor in network.state_dict().items():
        fits = name in weights and weights[name].shape == tensor.shape
        if fits and tensor.is_floating_point():
            tensor.copy_(weights[name])


def layer_count(network: nn.Module) -> int:
    """How many layers there are to freeze."""
    return sum(isinstance(module, _LAYERS) for module in network.modules())


def frozen_modules(network: nn.Module, layers: int) -> Iterator[tuple[str, nn.Module]]:
    """The first layers and the normalisation between them, by name.

    What labels look like is no part of it: another dataset's mean something else.
    """
    seen = 0
    for name, module in network.named_modules() if layers else ():
        seen += isinstance(module, _LAYERS)
        if seen > layers:
            return
        is_part = not list(module.children()) and not isinstance(module, nn.Embedding)
        if isinstance(module, _LAYERS) or is_part:
            yield name, module


def freeze(network: nn.Module, layers: int) -> None:
    """The first layers, and the normalisation between them, learn nothing any more."""
    for _, module in frozen_modules(network, layers):
        module.requires_grad_(False)


def first_anew(config: TrainConfig, found: Fit) -> str | None:
    """A tensor of the discriminator that would be frozen as it was drawn; None where all is well.

    ``found`` is how the configuration's networks fit the weights that they start from.
    """
    if config.start is None:
        return None
    with shapes_only():
        discriminator = config.game.networks(config)["discriminator"]
    frozen = frozen_modules(discriminator, config.start.freeze_discriminator_layers)
    starts = tuple(f"discriminator/{name}." for name, _ in frozen)
    return next((name for name in found.new if name.startswith(starts)), None)
