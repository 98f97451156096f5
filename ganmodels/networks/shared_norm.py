"""Batch normalisation over a batch of which each of several processes has an equal share.

PyTorch's own for that (``nn.SyncBatchNorm``) takes no tensors on a CPU, and would wait for the
others also where one process only looks on.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ganmodels.several import Group

_BACKWARD = torch.ops.aten.native_batch_norm_backward


class SharedNorm(nn.BatchNorm2d):
    """Normalises by everybody's items; weights and statistics are those of the norm it replaces.

    Items are [batch, channels, ...]. Where statistics are not remembered nobody else is asked.
    """

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d, group: Group) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine)
        self._group = group
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked

    def forward(self, items: Tensor) -> Tensor:
        """The same shape and type."""
        if not (self.training and self.track_running_stats):
            return super().forward(items)
        centre, spread = self._statistics(items.detach())
        self._remember(centre, spread, self._group.size * items.numel() // items.shape[1])
        gain = self.weight if self.affine else torch.ones_like(centre)
        shift = self.bias if self.affine else torch.zeros_like(centre)
        normalised: Tensor = _Normalise.apply(  # type: ignore[no-untyped-call]
            items, gain, shift, centre, spread, self.eps, self._group
        )
        return normalised

    def _statistics(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance [channels] of everybody's items, in float32."""
        # These stay as they are; they ask for statistics of their type, not of the items'.
        kept = torch.zeros(2, items.shape[1], device=items.device)
        own = torch.batch_norm_update_stats(items, kept[0], kept[1], 0.0)
        centres, spreads = self._group.rows(torch.stack(own)).unbind(1)
        centre = centres.mean(0)
        # Shares are of one size, so this is the variance over all items.
        return centre, spreads.mean(0) + (centres - centre).square().mean(0)

    @torch.no_grad()
    def _remember(self, centre: Tensor, spread: Tensor, count: int) -> None:
        assert self.running_mean is not None and self.running_var is not None
        assert self.momentum is not None and self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(centre, self.momentum)
        self.running_var.lerp_(spread * (count / max(1, count - 1)), self.momentum)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions."""


class _Normalise(torch.autograd.Function):
    """Normalisation by statistics of all items; they too depend on each item.

    Built of PyTorch's own kernels, which read the items once: composed of sums and products the
    same made a step of DCGAN a third slower.
    """

    @staticmethod
    def forward(
        ctx: Any,
        items: Tensor,
        gain: Tensor,
        shift: Tensor,
        centre: Tensor,
        spread: Tensor,
        eps: float,
        group: Group,
    ) -> Tensor:
        ctx.save_for_backward(items, gain, centre, spread)
        ctx.eps, ctx.group = eps, group
        return _given(items, gain, shift, centre, spread, eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        items, gain, centre, spread = ctx.saved_tensors
        scale, wanted = (spread + ctx.eps).rsqrt(), [True, True, True]
        at_items, at_gain, at_shift = _BACKWARD(
            gradients[0], items, gain, None, None, centre, scale, True, ctx.eps, wanted
        )
        # The kernel takes the statistics for those of these items: what they do to all is added.
        own = torch.stack([at_gain, at_shift]) * (items.shape[1] / items.numel())
        beyond = (own - ctx.group.rows(own).mean(0)) * gain * scale
        at_items += _given(items, beyond[0], beyond[1], centre, spread, ctx.eps)
        return at_items, at_gain, at_shift, None, None, None, None


def _given(
    items: Tensor, gain: Tensor, shift: Tensor, centre: Tensor, spread: Tensor, eps: float
) -> Tensor:
    """(items - centre) / sqrt(spread + eps) * gain + shift."""
    return torch.native_batch_norm(items, gain, shift, centre, spread, False, 0.0, eps)[0]


def share_norms(network: nn.Module, group: Group) -> None:
    """Let every batch normalisation of a network take its statistics over the whole group."""
    if group.size == 1:
        return
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            network.set_submodule(name, SharedNorm(module, group))
