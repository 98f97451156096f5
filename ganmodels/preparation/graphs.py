"""A network on a GPU, its kernels recorded once for each batch size and replayed as one."""

import threading

import torch
from torch import Tensor, nn

from ganmodels.preparation.fixed import FixedBatch
from ganmodels.types import Items, Labels

_WARM_UPS = 3


class _Recording:
    """One batch size: the memory that kernels read and write, and the kernels."""

    def __init__(self, network: nn.Module, batch: FixedBatch) -> None:
        self.inputs, self.labels = batch.inputs.clone(), batch.labels.clone()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        # Libraries choose kernels and take memory at first calls, which must not be recorded.
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                network(self.inputs, self.labels)
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.items: Tensor = network(self.inputs, self.labels)

    def replay(self, inputs: Tensor, labels: Labels) -> Items:
        """Items in memory of their own: the next batch is written over these."""
        self.inputs.copy_(inputs)
        self.labels.copy_(labels)
        self.graph.replay()
        return self.items.clone()


class Graphed(nn.Module):
    """(inputs, labels) of one of the batch sizes to items; other sizes run kernel by kernel.

    Not yet run on a GPU: the machines that this was written on had none.
    """

    @torch.inference_mode()
    def __init__(self, network: nn.Module, fixed: FixedBatch, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.network = network
        self._recordings = {size: _Recording(network, fixed.part(0, size)) for size in sizes}
        self._lock = threading.Lock()

    @torch.inference_mode()
    def forward(self, inputs: Tensor, labels: Labels) -> Items:
        """[batch, ...]; one batch at a time."""
        recording = self._recordings.get(len(inputs))
        if recording is None:
            items: Items = self.network(inputs, labels)
            return items
        with self._lock:
            return recording.replay(inputs, labels)
