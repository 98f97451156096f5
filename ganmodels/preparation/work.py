"""How much a network computes for one item, counted: the same number on every machine."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ganmodels.types import Items, Labels

LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


class Work(NamedTuple):
    """Multiply-adds for one item, of all layers and of those whose channels all meet."""

    total: int
    dense: int


@torch.inference_mode()
def count(network: nn.Module, inputs: Items, labels: Labels) -> Work:
    """The work for one item, from a forward pass of it."""
    total = dense = 0

    def add(layer: nn.Module, given: tuple[Tensor], made: Tensor) -> None:
        nonlocal total, dense
        assert isinstance(layer, LAYERS)
        values = given[0] if isinstance(layer, nn.ConvTranspose2d) else made
        channels = layer.weight.shape[0]
        # Each weight is used once at each place.
        products = layer.weight.numel() * values.numel() // channels
        total += products
        dense += products if getattr(layer, "groups", 1) == 1 else 0

    layers = [module for module in network.modules() if isinstance(module, LAYERS)]
    hooks = [layer.register_forward_hook(add) for layer in layers]
    network(inputs[:1], labels[:1])
    for hook in hooks:
        hook.remove()
    return Work(total, dense)
