"""A network on a GPU, its kernels recorded once for each batch size and replayed as one."""

import threading
from functools import cache

import torch
from torch import Tensor, nn

from ganmodels.preparation.fixed import FixedBatch
from ganmodels.types import Items, Labels

_WARM_UPS = 3
# A process can record one thing at a time.
_RECORDING = threading.Lock()


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """The one on which all is recorded: libraries keep memory for each that they have seen."""
    return torch.cuda.Stream(device)


class _Recording:
    """One batch size: the memory that kernels read and write, and the kernels."""

    def __init__(self, network: nn.Module, batch: FixedBatch, before: "_Recording | None") -> None:
        """Shares the memory of the recording made before it."""
        self.inputs, self.labels = batch.inputs.clone(), batch.labels.clone()
        stream = _stream(self.inputs.device)
        stream.wait_stream(torch.cuda.current_stream())
        # Libraries choose kernels and take memory at first calls, which must not be recorded.
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                network(self.inputs, self.labels)
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        pool = before.graph.pool() if before else None
        # Other threads go on using the GPU meanwhile, for models that are in memory.
        with torch.cuda.graph(self.graph, pool, stream, capture_error_mode="thread_local"):
            self.items: Tensor = network(self.inputs, self.labels)

    def replay(self, inputs: Tensor, labels: Labels) -> Items:
        """Items in memory of their own: the next batch is written over these."""
        self.inputs.copy_(inputs)
        self.labels.copy_(labels)
        self.graph.replay()
        return self.items.clone()


class Graphed(nn.Module):
    """(inputs, labels) of one of the batch sizes to items; other sizes run kernel by kernel.

    All sizes share their memory: one is replayed at a time, and its items are copied out of it.
    Not yet run on a GPU: the machines that this was written on had none.
    """

    @torch.inference_mode()
    def __init__(self, network: nn.Module, fixed: FixedBatch, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.network = network
        self._device, self._lock = fixed.inputs.device, threading.Lock()
        self._recordings: dict[int, _Recording] = {}
        last = None
        with _RECORDING, torch.cuda.device(self._device):
            # The largest first: the others find room in what it took.
            for size in sorted(sizes, reverse=True):
                last = self._recordings[size] = _Recording(network, fixed.part(0, size), last)

    @torch.inference_mode()
    def forward(self, inputs: Tensor, labels: Labels) -> Items:
        """[batch, ...]; one batch at a time."""
        recording = self._recordings.get(len(inputs))
        if recording is None:
            items: Items = self.network(inputs, labels)
            return items
        with self._lock, torch.cuda.device(self._device):
            return recording.replay(inputs, labels)
