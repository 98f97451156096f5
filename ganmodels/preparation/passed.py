"""What passes the layers of a network when it makes items of a batch."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from ganmodels.preparation.fixed import FixedBatch


class Passed(NamedTuple):
    """What a layer read, and what it made of it."""

    given: Tensor
    made: Tensor


def passed(
    network: nn.Module, batch: FixedBatch, kinds: Sequence[type[nn.Module]]
) -> dict[str, Passed]:
    """What passed each layer of some kinds, by its name; of one called twice, the last time."""
    found: dict[str, Passed] = {}
    names = {id(layer): name for name, layer in network.named_modules()}

    def note(layer: nn.Module, given: tuple[Tensor], made: Tensor) -> None:
        found[names[id(layer)]] = Passed(given[0], made)

    layers = [layer for layer in network.modules() if isinstance(layer, tuple(kinds))]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    batch.through(network)
    for hook in hooks:
        hook.remove()
    return found
