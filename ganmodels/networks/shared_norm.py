"""Batch normalisation over a batch of which each of several processes has an equal share.

PyTorch's own for that (``nn.SyncBatchNorm``) takes no tensors on a CPU, and would wait for the
others also where one process only looks on.
"""

import torch
from torch import Tensor, nn

from ganmodels.several import Group


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
        values = items.to(torch.promote_types(items.dtype, torch.float32))
        over = [dimension for dimension in range(items.ndim) if dimension != 1]
        own = torch.stack(torch.var_mean(values, over, correction=0))
        spreads, centres = self._group.rows(own).unbind(1)
        centre = centres.mean(0)
        # Shares are of one size, so this is the variance over all items.
        spread = spreads.mean(0) + (centres - centre).square().mean(0)
        self._remember(centre, spread, self._group.size * items.numel() // items.shape[1])
        factor = (spread + self.eps).rsqrt()
        shift = -centre * factor
        if self.affine:
            factor, shift = factor * self.weight, shift * self.weight + self.bias
        shape = (1, -1, *[1] * (items.ndim - 2))
        return torch.addcmul(shift.view(shape), values, factor.view(shape)).to(items.dtype)

    @torch.no_grad()
    def _remember(self, centre: Tensor, spread: Tensor, count: int) -> None:
        assert self.running_mean is not None and self.running_var is not None
        assert self.momentum is not None and self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(centre, self.momentum)
        self.running_var.lerp_(spread * (count / max(1, count - 1)), self.momentum)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions."""


def share_norms(network: nn.Module, group: Group) -> None:
    """Let every batch normalisation of a network take its statistics over the whole group."""
    if group.size == 1:
        return
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            network.set_submodule(name, SharedNorm(module, group))
