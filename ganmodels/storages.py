"""How much memory tensors hold, from the first look at each until it is gone."""

import weakref
from collections.abc import Callable

import torch


class Storages:
    """Bytes of the storages that live, and the most there were at once.

    ``taken`` says what a storage of so many bytes takes of the memory that is counted.
    """

    def __init__(self, taken: Callable[[int], int] = int) -> None:
        self.live_bytes = self.peak_bytes = 0
        self._taken = taken
        self._held: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def note(self, storage: torch.UntypedStorage) -> None:
        """Count a storage, unless it is counted already, until nothing holds it."""
        key, size = id(storage), self._taken(storage.nbytes())
        if key in self._held:
            return

        def gone(_: object) -> None:
            del self._held[key]
            self.live_bytes -= size

        self._held[key] = weakref.ref(storage, gone)
        self.live_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
