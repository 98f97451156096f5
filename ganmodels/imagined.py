"""Tensors without values: code that trains runs on them, and what it would hold is counted.

Each stands for one on a CPU, so that autograd, autocast and optimisers do what they do there, and
hides one on the meta device, which knows the shape and layout of every result. Nothing of PyTorch
is told that they are not real.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._C import _disabled_torch_function_impl
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ganmodels.storages import Storages

_CPU, _META = torch.device("cpu"), torch.device("meta")
# What every number that is read out comes to: counters have gone far, pools are full.
_FAR = 2**31
_DRAWN_IN_PLACE = frozenset({"aten::normal_", "aten::uniform_", "aten::bernoulli_"})
_DRAWN: Mapping[str, torch.dtype] = {
    "aten::rand": torch.float32,
    "aten::randn": torch.float32,
    "aten::randint": torch.int64,
    "aten::randperm": torch.int64,
}


class Imagined(Tensor):
    """Looks like a tensor on a CPU; computing with it works within an ``Imagination`` only."""

    __torch_function__ = _disabled_torch_function_impl  # type: ignore[assignment]
    hidden: Tensor

    @staticmethod
    def __new__(cls, hidden: Tensor) -> "Imagined":
        """A tensor that hides this one of the meta device."""
        made: Imagined = Tensor._make_wrapper_subclass(
            cls,
            hidden.shape,
            strides=hidden.stride(),
            storage_offset=hidden.storage_offset(),
            dtype=hidden.dtype,
            device=_CPU,
        )
        made.hidden = hidden
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if id(self) not in memo:
            copy = torch.empty_like(self)
            is_parameter = isinstance(self, torch.nn.Parameter)
            memo[id(self)] = torch.nn.Parameter(copy, self.requires_grad) if is_parameter else copy
        found: Tensor = memo[id(self)]
        return found

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        raise RuntimeError("an imagined tensor has left its imagination")


class _Layout(NamedTuple):
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype


class _Outcome(NamedTuple):
    result: Any
    flops: int


class Imagination(TorchDispatchMode):
    """While it is entered all tensors are imagined, and what they would take is counted.

    ``storages`` counts what those that exist would occupy, ``flops`` the floating-point operations
    of all products and convolutions so far. ``taken`` says what a tensor of so many bytes occupies.
    Random numbers are not drawn; a number that is read out is a large one, as late in a training.
    """

    def __init__(self, taken: Callable[[int], int] = int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.storages, self.flops = Storages(taken), 0
        self._seen: dict[Any, _Outcome] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """The result of an operator, as far as it is known without values."""
        known: dict[int, Tensor] = {}
        given = [_hidden(one, known) for one in args]
        named = {name: _hidden(one, known) for name, one in (kwargs or {}).items()}
        if _is_pure(func):
            result = self._repeated(func, given, named)
        else:
            result = _rule(func)(*given, **named)
        return self._shown(result, known)

    def _repeated(self, func: Any, given: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """What becomes of tensors like these is found out once: it takes a tenth of a
        millisecond, and steps repeat themselves.
        """
        key = (func, _likeness(given), *((name, _likeness(one)) for name, one in named.items()))
        seen = self._seen.get(key)
        if seen is None:
            result = _rule(func)(*given, **named)
            formula = _FLOPS.get(func.overloadpacket)
            flops = formula(*given, **named, out_val=result) if formula else 0
            seen = self._seen[key] = _Outcome(_layout(result), flops)
        self.flops += seen.flops
        return _laid_out(seen.result)

    def _shown(self, result: Any, known: Mapping[int, Tensor]) -> Any:
        """Results as imagined tensors; what was changed in place is what it was before."""
        if isinstance(result, Tensor):
            if id(result) in known:
                return known[id(result)]
            self.storages.note(result.untyped_storage())
            return Imagined(result)
        if isinstance(result, list | tuple):
            return type(result)([self._shown(one, known) for one in result])
        return result


def _hidden(given: Any, known: dict[int, Tensor]) -> Any:
    """An argument with meta tensors in place of others; imagined ones are noted as known."""
    if isinstance(given, Imagined):
        known[id(given.hidden)] = given
        return given.hidden
    if isinstance(given, Tensor):
        return given.to(_META)
    if isinstance(given, list | tuple):
        return [_hidden(one, known) for one in given]
    return given


def _convolution_flops(items: Tensor, weight: Tensor, *rest: Any, out_val: Tensor) -> int:
    """Each value of the larger side meets one group's share of the filters.

    ``rest``: bias, stride, padding, dilation, whether it is transposed, and more.
    """
    seen = items if rest[4] else out_val
    return 2 * seen.numel() * weight[0].numel()


def _convolution_backward_flops(
    gradient: Tensor, items: Tensor, weight: Tensor, *rest: Any, out_val: Sequence[Tensor | None]
) -> int:
    """As the way forward, once for the items and once for the filters, as far as they are wanted.

    PyTorch's own count takes filters of many groups for those of one.
    """
    seen = items if rest[4] else gradient
    wanted = sum(one is not None for one in out_val[:2])
    return wanted * 2 * seen.numel() * weight[0].numel()


_FLOPS: Mapping[Any, Callable[..., int]] = {
    **flop_registry,
    torch.ops.aten.convolution: _convolution_flops,
    torch.ops.aten.convolution_backward: _convolution_backward_flops,
}


@cache
def _is_pure(func: Any) -> bool:
    """Whether an operator changes nothing and its results share no memory with what it is given."""
    schema = func._schema
    aliased = any(one.alias_info for one in (*schema.arguments, *schema.returns))
    return bool(func.namespace == "aten" and schema.returns and not aliased)


def _likeness(given: Any) -> Any:
    """What a result may depend on; 1, 1.0 and True are not the same."""
    if isinstance(given, Tensor):
        return given.shape, given.stride(), given.dtype
    if isinstance(given, list):
        return tuple([_likeness(one) for one in given])
    return type(given), given


def _layout(result: Any) -> Any:
    if isinstance(result, Tensor):
        return _Layout(result.shape, result.stride(), result.dtype)
    return [_layout(one) for one in result] if isinstance(result, list | tuple) else result


def _laid_out(result: Any) -> Any:
    if isinstance(result, _Layout):
        return torch.empty_strided(*result[:2], dtype=result.dtype, device=_META)
    return [_laid_out(one) for one in result] if isinstance(result, list) else result


@cache
def _rule(func: Any) -> Callable[..., Any]:
    """What an operator makes of meta tensors."""
    name, names = func._schema.name, {argument.name for argument in func._schema.arguments}
    if name == "aten::_local_scalar_dense":
        return lambda *given: _FAR
    # Optimisers of one kernel: all is in place, and nothing is made.
    if name.startswith("aten::_fused_"):
        return lambda *given, **named: None
    if name in _DRAWN_IN_PLACE:
        return lambda target, *given, **named: target
    if name in _DRAWN:
        return _undrawn(_DRAWN[name])
    if "device" in names:
        return lambda *given, **named: func(*given, **{**named, "device": _META})
    return func  # type: ignore[no-any-return]


def _undrawn(dtype: torch.dtype) -> Callable[..., Tensor]:
    def made(*given: Any, **named: Any) -> Tensor:
        size = next((one for one in given if isinstance(one, list)), given[0])
        return torch.empty(size, dtype=named.get("dtype") or dtype, device=_META)

    return made
