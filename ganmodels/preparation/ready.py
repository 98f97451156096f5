"""A network that takes inputs as they come and computes in a number format of its own."""

from typing import Literal

import torch
from torch import Tensor, nn

from ganmodels.types import Items, Labels

Precision = Literal["float32", "bfloat16"]


class Ready(nn.Module):
    """(inputs, labels) to items in the network's precision, without gradients."""

    def __init__(self, network: nn.Module, precision: Precision) -> None:
        super().__init__()
        self.network = network
        self.dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32

    @torch.inference_mode()
    def forward(self, inputs: Tensor, labels: Labels) -> Items:
        """Items [batch, ...]; images go in with their channels last in memory."""
        given = inputs.to(self.dtype)
        if given.ndim == 4:
            given = given.contiguous(memory_format=torch.channels_last)
        items: Items = self.network(given, labels)
        return items
