"""Where the items of a training lie: on its device, or in the machine's memory, from which each
batch is brought while the one before is played.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Where = Literal["resident", "streamed"]
# Of a GPU's free memory: the rest is for the training itself.
_LARGEST_SHARE = 0.4


class Shelf(Protocol):
    """Stored items, by the number of a draw."""

    def __len__(self) -> int:
        """How many items there are."""

    def take(self, draw: int, indices: Tensor, following: Callable[[], Tensor]) -> Tensor:
        """The items of draw number ``draw`` on the device, and which the next one's will be."""


def place(size_bytes: int, device: torch.device, wanted: Where | Literal["automatic"]) -> Where:
    """Where items of so many bytes are to lie: on the device if they fit beside a training."""
    if wanted != "automatic":
        return wanted
    if device.type != "cuda":
        return "resident"
    free, _ = torch.cuda.mem_get_info(device)
    return "resident" if size_bytes <= _LARGEST_SHARE * free else "streamed"


def shelve(items: NDArray[np.generic], device: torch.device, where: Where) -> Shelf:
    """The items, where they are to lie."""
    return Resident(items, device) if where == "resident" else Streamed(items, device)


class Resident:
    """All items lie on the device as they are stored."""

    def __init__(self, items: NDArray[np.generic], device: torch.device) -> None:
        self._items = torch.from_numpy(np.require(items, requirements="W")).to(device)

    def __len__(self) -> int:
        return len(self._items)

    def take(self, draw: int, indices: Tensor, following: Callable[[], Tensor]) -> Tensor:
        """Chosen on the device."""
        return self._items[indices]


class Streamed:
    """Items stay in the machine's memory; a thread gathers the next draw's while one is played."""

    def __init__(self, items: NDArray[np.generic], device: torch.device) -> None:
        self._items, self._device = items, device
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="streaming")
        self._next: tuple[int, Future[Tensor]] | None = None

    def __len__(self) -> int:
        return len(self._items)

    def take(self, draw: int, indices: Tensor, following: Callable[[], Tensor]) -> Tensor:
        """The items of a draw; those of the next one are gathered meanwhile."""
        ready = self._next[1].result() if self._next else None
        if ready is None or self._next is None or self._next[0] != draw:
            ready = self._gather(indices)
        # Which they are is found here: it is drawn from a generator that this thread sets.
        self._next = draw + 1, self._thread.submit(self._gather, following())
        return ready

    def _gather(self, indices: Tensor) -> Tensor:
        """A batch on the device; its copy may still be under way there, in the device's order."""
        chosen = self._items[indices.numpy()]
        if self._device.type != "cuda":
            return torch.from_numpy(chosen)
        # A GPU reads such memory by itself, and nobody waits for it.
        return torch.from_numpy(chosen).pin_memory().to(self._device, non_blocking=True)
