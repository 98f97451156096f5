"""Features: what the layers of a discriminator hold of an item, by name."""

import copy
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ganmodels.data.batches import to_network
from ganmodels.networks.discriminator import Company, Discriminator
from ganmodels.scoring import Scorer, padded
from ganmodels.spaces import ImageSpace, Space

# What the trunk gives, on which all heads judge.
PENULTIMATE = "penultimate"
# Behind a layer's name: the mean of each of its maps.
_POOLED = ":pool"
_LAYERS = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d

Features = NDArray[np.float32]


class Layer(NamedTuple):
    """A layer and the shape of what it holds of one item."""

    name: str
    shape: tuple[int, ...]


# Found by judging a blank item, which takes longer than to judge one that was asked about.
_found: WeakKeyDictionary[Scorer, list[Layer]] = WeakKeyDictionary()


def layers(scorer: Scorer) -> list[Layer]:
    """All layers in the order in which an item passes them, the penultimate one last.

    Layers are the parts of the trunk, by their place in it, that learn weights; what they give is
    taken before any activation that the trunk itself applies. Of maps there is a pooled layer too.
    """
    if scorer not in _found:
        _found[scorer] = _find_layers(scorer)
    return _found[scorer]


@torch.inference_mode()
def _find_layers(scorer: Scorer) -> list[Layer]:
    blank, names = _blank(scorer.space), [*_stages(scorer.discriminator), PENULTIMATE]
    labels = scorer.told(blank, np.zeros(1, dtype=np.int64))
    held = _Observed(scorer.discriminator, names)(
        to_network(blank, scorer.space, scorer.device),
        None if labels is None else labels.to(scorer.device),
        scorer.company,
    )
    pairs = zip(names, held, strict=True)
    return [layer for name, values in pairs for layer in _views(name, values)]


def features(
    scorer: Scorer, items: NDArray[np.generic], asked: NDArray[np.int64], layer: str
) -> Features:
    """What a layer holds [n, *shape] of stored items [n, ...]; no item's depend on the others.

    Items are judged under the labels that are ``asked`` [n], beside the company and in batches of
    the size that ``Scorer.score`` has for them.
    """
    values = _held(scorer, items, asked, layer.removesuffix(_POOLED))
    pooled = values.flatten(2).mean(2) if layer.endswith(_POOLED) else values
    found: Features = pooled.numpy()
    return found


def _views(name: str, values: Tensor) -> Iterator[Layer]:
    yield Layer(name, tuple(values.shape[1:]))
    if values.dim() > 2:
        yield Layer(name + _POOLED, tuple(values.shape[1:2]))


def _blank(space: Space) -> NDArray[np.generic]:
    """One stored item of zeros."""
    if isinstance(space, ImageSpace):
        return np.zeros((1, space.height, space.width, space.channels), dtype=np.uint8)
    return np.zeros((1, *space.shape), dtype=np.float32)


def _stages(discriminator: Discriminator) -> list[str]:
    """Names of the trunk's parts: its own ones, and the members of its lists."""
    found = []
    for name, part in discriminator.trunk.named_children():
        if isinstance(part, nn.ModuleList | nn.Sequential):
            members = {f"{name}.{place}": one for place, one in part.named_children()}
        else:
            members = {name: part}
        found += [place for place, one in members.items() if _learns(one)]
    return found


def _learns(part: nn.Module) -> bool:
    return any(isinstance(module, _LAYERS) for module in part.modules())


@torch.inference_mode()
def _held(
    scorer: Scorer, items: NDArray[np.generic], asked: NDArray[np.int64], name: str
) -> Tensor:
    """What the named layer holds of the items, on the CPU."""
    judged = to_network(items, scorer.space, scorer.device)
    size = scorer.batch_size
    batches, labels = list(padded(judged, size)), scorer.told(items, asked)
    told: list[Tensor | None] = [None] * len(batches)
    if labels is not None:
        told = [batch.to(scorer.device) for batch, _ in padded(labels, size)]
    observed = _Observed(scorer.discriminator, [name])
    parts = [
        observed(batch, named, scorer.company)[0][:count].float().cpu()
        for (batch, count), named in zip(batches, told, strict=True)
    ]
    return torch.cat(parts)


class _Observed:
    """A discriminator that notes what some of its layers give.

    It is a copy over the same weights: others may be using the discriminator itself just now.
    """

    def __init__(self, discriminator: Discriminator, names: list[str]) -> None:
        tensors = [*discriminator.parameters(), *discriminator.buffers()]
        shared = {id(tensor): tensor for tensor in tensors}
        self._copy: Discriminator = copy.deepcopy(discriminator, shared)
        self._names, self._noted = names, dict[str, Tensor]()
        for name in names:
            place = "" if name == PENULTIMATE else name
            self._copy.trunk.get_submodule(place).register_forward_hook(partial(self._note, name))

    def _note(self, name: str, module: nn.Module, given: Any, values: Tensor) -> None:
        self._noted[name] = values

    def __call__(
        self, items: Tensor, labels: Tensor | None, company: Company | None
    ) -> list[Tensor]:
        """What each of the layers gives."""
        self._copy.seen(items, labels, company)
        return [self._noted[name] for name in self._names]
