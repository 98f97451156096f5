"""Batch normalisation folded into the layer before it, where the network's own calls show it.

In evaluation what a norm makes of a layer, (Wx + b - mean) * factor + bias with
factor = gain / sqrt(variance + eps), is a layer too: W * factor and (b - mean) * factor + bias.
"""

import threading
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from operator import getitem
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from ganmodels.conditioning import ItemInput, affine
from ganmodels.networks.blocks import Plain

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
# Where the outputs of a layer lie in its weight. Subclasses may compute otherwise.
_OUTPUT_AXIS = {nn.Linear: 0, nn.Conv2d: 0, nn.ConvTranspose2d: 1}
_PASSING = (nn.Identity, ItemInput, Plain)


@runtime_checkable
class Foldable(Protocol):
    """A module that knows a quicker one, which does the same in evaluation."""

    def folded(self) -> nn.Module:
        """The quicker one."""


class _Pair(NamedTuple):
    """A layer, and the name of the norm that alone reads what it makes."""

    layer: nn.Module
    norm: str


def quick_copy(network: nn.Module) -> nn.Module:
    """A copy of a network, or the quicker one that the network itself knows."""
    return network.folded() if isinstance(network, Foldable) else deepcopy(network)


def fold(network: nn.Module) -> int:
    """Fold what can be folded, in place; returns how many norms are gone.

    A norm goes into a linear layer or a convolution if the layer is called once and nothing but
    the norm reads what it makes, which is seen by following symbols through ``forward``. Where
    that is impossible, norms stay: a network that is not understood is as exact as before.
    """
    _bake(network)
    before = count_norms(network)
    for name, module in list(network.named_modules()):
        if name and isinstance(module, Foldable):
            network.set_submodule(name, module.folded())
    for layer, norm in _pairs(network):
        _absorb(layer, network.get_submodule(norm))
        network.set_submodule(norm, nn.Identity())
    return before - count_norms(network)


def count_norms(network: nn.Module) -> int:
    """Batch norms that a network still computes."""
    return sum(isinstance(module, NORMS) for module in network.modules())


def _bake(network: nn.Module) -> None:
    """Weights that are computed at every call are computed once."""
    for module in network.modules():
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, name)


# Tracers replace ``nn.Module.__call__`` for all threads; two at once would not put it back.
_tracing = threading.Lock()


class _Tracer(fx.Tracer):
    """Looks into modules with norms in them; any other is one step, whatever it does inside.

    Modules that other threads call meanwhile are called as ever.
    """

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Note the call of a module, if it is one of the network that is traced."""
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Note that a parameter is read, if it is one of the network that is traced."""
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        """Whether a module is one step."""
        if type(module) in _PASSING:
            return False
        return isinstance(module, NORMS) or not count_norms(module)


def _pairs(network: nn.Module) -> list[_Pair]:
    if not count_norms(network):
        return []
    try:
        with _tracing:
            graph = _Tracer().trace(network)
    # A forward pass may do anything with symbols, and raise anything.
    except Exception:
        return []
    calls = [node for node in graph.nodes if node.op == "call_module"]
    times = Counter(id(network.get_submodule(node.target)) for node in calls)
    pairs = [pair for node in calls if (pair := _pair(network, node))]
    return [
        pair
        for pair in pairs
        if times[id(pair.layer)] == times[id(network.get_submodule(pair.norm))] == 1
    ]


def _pair(network: nn.Module, node: fx.Node) -> _Pair | None:
    """The norm of a node with the layer before it, if it can be folded."""
    norm = network.get_submodule(str(node.target))
    if not isinstance(norm, NORMS) or norm.training or norm.running_mean is None:
        return None
    source = _read_once(node.args[0])
    maps = source is not None and _makes_maps(source, norm.num_features)
    if source is not None and maps:
        source = _read_once(source.args[0])
    if source is None or source.op != "call_module":
        return None
    layer = network.get_submodule(str(source.target))
    return _Pair(layer, str(node.target)) if _fits(layer, norm.num_features, maps) else None


def _read_once(argument: object) -> fx.Node | None:
    """The node behind an argument, if nothing else reads it."""
    return argument if isinstance(argument, fx.Node) and len(argument.users) == 1 else None


def _fits(layer: nn.Module, channels: int, maps: bool) -> bool:
    """Whether each output of a layer belongs to one channel of what comes after it."""
    if type(layer) not in _OUTPUT_AXIS or getattr(layer, "groups", 1) > 1:
        return False
    weight = layer.weight
    assert isinstance(weight, Tensor)
    outputs = weight.shape[_OUTPUT_AXIS[type(layer)]]
    if maps:
        return type(layer) is nn.Linear and outputs % channels == 0
    return outputs == channels


def _makes_maps(node: fx.Node, channels: int) -> bool:
    """Whether rows of features become maps, each channel the next features of a row."""
    shape = node.args[1:]
    if node.op == "call_method" and node.target in ("reshape", "view"):
        sizes = shape[0] if shape and isinstance(shape[0], tuple | list) else shape
        return list(sizes)[:2] == [-1, channels]
    return node.target is getitem and shape == ((Ellipsis, None, None),)


@torch.no_grad()
def _absorb(layer: nn.Module, norm: nn.Module) -> None:
    assert isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
    assert isinstance(norm, NORMS)
    weight, axis = layer.weight, _OUTPUT_AXIS[type(layer)]
    factor, shift = affine(norm)
    features = weight.shape[axis] // len(factor)
    factor, shift = factor.repeat_interleave(features), shift.repeat_interleave(features)
    columns = [1] * weight.ndim
    columns[axis] = -1
    bias = shift if layer.bias is None else shift + layer.bias.double() * factor
    layer.weight = _frozen(weight.double() * factor.reshape(columns), weight)
    layer.bias = _frozen(bias, weight)


def _frozen(values: Tensor, like: Tensor) -> nn.Parameter:
    return nn.Parameter(values.to(like.dtype), requires_grad=False)
